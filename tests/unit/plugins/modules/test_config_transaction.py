# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One call of the module brings both the configuration and the aliases to what is wanted."""

from __future__ import annotations

import os

import pytest
from ansible_collections.mailops.postmaster.plugins.modules import config_transaction


@pytest.fixture
def run(run_module, tmp_path):
    """A run with a file and an alias, both of which may be there already."""
    owner = {"owner": str(os.getuid()), "group": str(os.getgid())}

    def once(check=False):
        params = {
            "files": [{"path": str(tmp_path / "main.cf"), "content": "new\n", **owner}],
            "aliases": {"path": str(tmp_path / "aliases"), "entries": {"postmaster": "alice"}, "rebuild": []},
            "state_dir": str(tmp_path / "state"),
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


def test_check_mode_writes_neither(run, tmp_path):
    result = run(check=True)
    assert result["changed"]
    assert result["aliases"]["entries"] == {"postmaster": {"state": "added"}}
    assert list(tmp_path.iterdir()) == []
