# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever way a result leaves a module, its texts are clean."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils import runner
from ansible_collections.mailops.postmaster.plugins.module_utils.errors import UserError
from ansible_collections.mailops.postmaster.plugins.module_utils.runner import run
from ansible_collections.mailops.postmaster.plugins.modules import config_transaction, mail_aliases

HOSTILE = "a\x1b]0;owned\x07\u202eb\udc9b"
SEEN = "a\\x1b]0;owned\\x07\\u202eb\\x9b"


def answer():
    return {"findings": [{"where": [HOSTILE]}], HOSTILE: 1, "diff": [{"before": HOSTILE}], "warnings": [HOSTILE]}


def failed():
    return {**answer(), "failed": True, "msg": HOSTILE}


def mistake():
    raise UserError(HOSTILE, kept={HOSTILE: HOSTILE}, warnings=[HOSTILE])


def no_file():
    raise FileNotFoundError(2, HOSTILE, HOSTILE)


@pytest.mark.parametrize("work", [answer, failed, mistake, no_file], ids=lambda work: work.__name__)
def test_a_result_is_clean(run_module, work):
    module = SimpleNamespace(main=lambda: run(lambda _params, _check: work(), argument_spec={}))
    said = str(run_module(module, {}))
    assert SEEN.replace("\\", "\\\\") in said
    assert not any(character in said for character in HOSTILE if not character.isprintable())


def denied():
    raise PermissionError(13, "Permission denied", "/etc/x")


WHO = "; the module runs as uid 1000: connect as root, or set become to true"


@pytest.mark.parametrize(
    ("work", "only_root", "uid", "said"),
    [
        (answer, True, 1000, "only root can do this" + WHO),
        (denied, True, 0, "/etc/x: Permission denied"),
        (denied, False, 0, "/etc/x: Permission denied"),
        (denied, False, 1000, "/etc/x: Permission denied" + WHO),
        (no_file, False, 1000, f"{SEEN}: {SEEN}"),
    ],
)
def test_who_is_not_root_is_told_so_in_one_sentence(run_module, root, work, only_root, uid, said):
    root(uid)
    module = SimpleNamespace(main=lambda: run(lambda _params, _check: work(), root=only_root, argument_spec={}))
    assert run_module(module, {})["msg"] == said


def test_only_root_changes_a_configuration(run_module, root, tmp_path):
    root(1000)
    result = run_module(config_transaction, {"state_dir": str(tmp_path / "state")})
    assert result["msg"] == "only root can do this" + WHO
    assert not (tmp_path / "state").exists()


def test_a_hostile_line_of_a_table_is_clean(run_module, tmp_path):
    (tmp_path / "aliases").write_text("root: \x1b[31mbob\n", encoding="utf-8")
    params = {"path": str(tmp_path / "aliases"), "entries": {"postmaster": "alice"}, "rebuild": []}
    (diff,) = run_module(mail_aliases, params, diff=True)["diff"]
    assert diff["before"] == "root: \\x1b[31mbob\n"
    assert (tmp_path / "aliases").read_text(encoding="utf-8") == "root: \x1b[31mbob\npostmaster: alice\n"


def test_what_asks_for_the_options_alone_gets_its_own_exception(monkeypatch):
    """As ansible-test does, which puts a class of its own in the place of Ansible's."""

    class AskedError(RuntimeError):
        pass

    def asked(**_spec):
        raise AskedError

    monkeypatch.setattr(runner, "AnsibleModule", asked)
    with pytest.raises(AskedError):
        config_transaction.main()
