# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One call of the module brings both the configuration and the aliases to what is wanted."""

from __future__ import annotations

import ast
import os

import pytest
import yaml
from ansible.module_utils import basic
from ansible_collections.mailops.postmaster.plugins.module_utils._system.host import Completed, Host
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction import timer
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction.payload import pack
from ansible_collections.mailops.postmaster.plugins.modules import config_transaction, mta_info

LISTEN = ["127.0.0.1", "192.0.2.1", "0.0.0.0", "::", "2001:db8::1"]  # two of them are nobody's
LOOKED = ("mta", "installed", "replaced", "addresses", "packages_missing", "system", "short_name", "names")


@pytest.fixture
def run(run_module, tmp_path, monkeypatch):
    """A run with a file and an alias, both of which may be there already."""
    monkeypatch.setattr(timer.Timer, "arm", lambda *_given: None)
    monkeypatch.setattr(timer.Timer, "disarm", lambda *_given: None)
    owner = {"owner": str(os.getuid()), "group": str(os.getgid())}

    def once(check=False, **more):
        params = {
            "files": [{"path": str(tmp_path / "main.cf"), "content": "new\n", **owner}],
            "aliases": {"path": str(tmp_path / "aliases"), "entries": {"postmaster": "alice"}, "rebuild": []},
            "state_dir": str(tmp_path / "state"),
            **more,
        }
        return run_module(config_transaction, params, check=check, diff=True)

    return once


@pytest.mark.parametrize("there", [{}, {"main.cf": "new\n"}, {"aliases": "postmaster: alice\n"}])
def test_whatever_differs_is_changed_and_shown(run, tmp_path, there):
    for name, text in there.items():
        (tmp_path / name).write_text(text)
    result = run()
    assert result["changed"]
    assert [os.path.basename(diff["before_header"]).split()[0] for diff in result["diff"]] == [
        name for name in ("main.cf", "aliases") if name not in there
    ]
    assert (tmp_path / "main.cf").read_text() == "new\n"
    assert (tmp_path / "aliases").read_text() == "postmaster: alice\n"
    again = run()
    assert (again["changed"], again["diff"]) == (False, [])
    assert again["aliases"]["entries"] == {"postmaster": {"state": "present"}}


SECRET = "tr0ub4dor&3"


def test_contents_travel_where_nobody_looks(run, tmp_path):
    owner = {"owner": str(os.getuid()), "group": str(os.getgid())}
    files = [{"path": str(tmp_path / name), **owner} for name in ("main.cf", "public")]
    contents = pack([f"password {SECRET}\n", "shown\n"])
    result = run(files=[{**files[0], "secret": True, "mode": "0600"}, files[1]], contents=contents)
    assert (tmp_path / "main.cf").read_text() == f"password {SECRET}\n"
    assert [SECRET in str(result), contents in str(result), "shown" in str(result["diff"])] == [False, False, True]
    assert str(tmp_path / "main.cf") in str(result["diff"])


def test_the_host_logs_no_contents(run, tmp_path, monkeypatch):
    logged = []
    monkeypatch.setattr(basic.AnsibleModule, "log", lambda _module, *words, **more: logged.append((words, more)))
    files = [{"path": str(tmp_path / "main.cf"), "owner": str(os.getuid()), "group": str(os.getgid())}]
    run(files=files, contents=pack([SECRET]))
    assert "main.cf" in str(logged)
    assert not [text for text in (SECRET, pack([SECRET])) if text in str(logged)]


def test_a_file_without_content_is_a_mistake(run, tmp_path):
    failed = run(files=[{"path": str(tmp_path / "main.cf")}])
    assert failed["msg"] == f"files: {tmp_path}/main.cf has no content; allowed: a text, which may be empty"


def test_check_mode_writes_neither(run, tmp_path):
    result = run(check=True)
    assert result["changed"]
    assert result["aliases"]["entries"] == {"postmaster": {"state": "added"}}
    assert list(tmp_path.iterdir()) == []


def test_the_configuration_and_the_aliases_come_back_together(run, tmp_path):
    (tmp_path / "aliases").write_text("postmaster: bob\n")
    changed = run(confirm_timeout=600)
    assert changed["state"] == "pending"
    assert run(state="rollback", transaction=changed["transaction"])["state"] == "rolled_back"
    assert (tmp_path / "aliases").read_text() == "postmaster: bob\n"
    assert not (tmp_path / "main.cf").exists()


def test_aliases_that_cannot_be_compiled_bring_the_configuration_back(run, tmp_path):
    (tmp_path / "aliases").write_text("postmaster: bob\n")
    failed = run(aliases={"path": str(tmp_path / "aliases"), "entries": {"a": "b"}, "rebuild": ["false"]})
    assert (failed["failed"], failed["state"]) == (True, "rolled_back")
    assert (tmp_path / "aliases").read_text() == "postmaster: bob\n"
    assert not (tmp_path / "main.cf").exists()


def test_a_host_is_looked_at_and_nothing_is_changed(run, tmp_path, monkeypatch):
    monkeypatch.setattr(Host, "ask", lambda *_given, **_how: Completed((), 1, "postfix installed\n", ""))
    table = {"path": str(tmp_path / "aliases"), "entries": {}}
    (tmp_path / "aliases").write_text("ops: root\n")
    found = run(
        state="gathered", names=["root", "ops", "nosuch"], packages=["postfix", "rspamd"], listen=LISTEN, aliases=table
    )
    assert (found["changed"], found["state"], found["packages_missing"]) == (False, "unchanged", ["rspamd"])
    assert found["names"] == {"root": "account", "ops": "alias", "nosuch": "none"}
    assert found["foreign"] == ["192.0.2.1", "2001:db8::1"]
    assert os.listdir(tmp_path) == ["aliases"]


@pytest.mark.parametrize(
    ("others", "said"), [("alice: ops\nops: postmaster\n", "alice -> ops -> postmaster"), ("", "")]
)
def test_a_loop_through_the_table_as_it_is_is_told_when_the_host_is_looked_at(run, tmp_path, others, said):
    (tmp_path / "aliases").write_text(others + ":fail: Gone (see web\nwhat is this\n")
    table = {"path": str(tmp_path / "aliases"), "entries": {"postmaster": "alice"}}
    found = run(state="gathered", aliases=table)
    assert (found["failed"], said in found.get("msg", "")) == (bool(said), True)
    assert (tmp_path / "aliases").read_text() == others + ":fail: Gone (see web\nwhat is this\n"


@pytest.mark.parametrize(("packages", "tagged"), [(["postfix"], "alias"), ([], "none")])
def test_a_tag_is_none_where_no_backend_is_to_be_set_up(run, tmp_path, monkeypatch, packages, tagged):
    monkeypatch.setattr(Host, "ask", lambda *_given, **_how: Completed((), 1, "", ""))
    (tmp_path / "aliases").write_text("ops: root\na+b: root\n")
    table = {"path": str(tmp_path / "aliases"), "entries": {}}
    names = ["ops+tag", "a+b", "nosuch+tag"]
    found = run(state="gathered", names=names, packages=packages, aliases=table)
    assert found["names"] == {"ops+tag": tagged, "a+b": "alias", "nosuch+tag": "none"}


def test_a_look_names_what_it_finds_as_mta_info_does(run):
    found = run(state="gathered", aliases={"entries": {}})
    own = {"changed", "failed", "invocation", "state", "transaction", "foreign"}
    assert found.keys() - own == {*LOOKED} <= yaml.safe_load(mta_info.RETURN).keys()


@pytest.mark.parametrize("state", config_transaction.STATES)
def test_what_a_state_needs_is_sent_to_the_host(state):
    module, work = config_transaction.STATES[state]
    with open(config_transaction.__file__, encoding="utf-8") as file:
        imported = [node for node in ast.walk(ast.parse(file.read())) if isinstance(node, ast.ImportFrom)]
    assert (config_transaction.UTILS + module, work) in [(node.module, node.names[0].name) for node in imported]


def test_what_was_moved_aside_is_a_warning(run, tmp_path, monkeypatch):
    # where a test before has loaded the controller's parts of Ansible, a warning goes to its display
    told = []
    monkeypatch.setattr(basic.AnsibleModule, "warn", lambda _self, text, **_more: told.append(text))
    for name in (".main.cf.next", ".aliases.next"):
        (tmp_path / name).mkdir()
    run()
    for name in (".main.cf.next", ".aliases.next"):
        assert any(f"{tmp_path / name} is a directory, and was in the way" in text for text in told)
