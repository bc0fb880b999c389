# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The deadline ends what comes before a change, and never a change."""

from __future__ import annotations

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system.deadline import Deadline
from ansible_collections.mailops.postmaster.plugins.module_utils._system.host import Host
from ansible_collections.mailops.postmaster.plugins.module_utils.aliases.apply import apply
from ansible_collections.mailops.postmaster.plugins.module_utils.errors import OverdueError
from ansible_collections.mailops.postmaster.plugins.modules import config_transaction


@pytest.fixture
def live(tmp_path):
    (tmp_path / "live").mkdir()
    path = tmp_path / "live" / "main.cf"
    path.write_text("old\n")
    return path


def params(live, **more):
    file = {"path": str(live), "content": "new\n", "mode": "0644"}
    return {"files": [file], "stage": str(live.parent), "state_dir": str(live.parents[1] / "state"), **more}


def test_a_check_that_does_not_end_changes_nothing(run_module, live):
    result = run_module(config_transaction, params(live, check=[["sleep", "60"]], deadline=0.5))
    assert result["failed"]
    assert result["msg"] == "`sleep 60` had not ended after 0.5 s, the deadline of the module; nothing was changed"
    assert live.read_text() == "old\n"


def test_a_table_that_is_being_written_is_compiled_after_the_deadline_too(tmp_path):
    path, compiled = tmp_path / "aliases", tmp_path / "compiled"
    path.write_text("alice: bob\n")
    options = {
        "path": str(path),
        "entries": {"postmaster": "alice"},
        "strategy": "merge",
        "compiled": [str(compiled)],
        "rebuild": ["touch", str(compiled)],
    }
    host = Host(Deadline(0))
    with pytest.raises(OverdueError):
        host.run(["true"])
    assert apply(host, options, False, str(tmp_path))["rebuilt"]
    assert compiled.exists()
