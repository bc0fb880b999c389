# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The callback keeps the evidence of every host where it is told to, and nowhere else."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from ansible_collections.mailops.postmaster.plugins.callback.report import CallbackModule

PROOF = {"verdict": "pass", "summary": "all is well", "domains": []}


def ended(directory, result):
    """The callback after a play in which one task on one host had this result."""
    callback = CallbackModule()
    callback.get_option = {"directory": str(directory) if directory else ""}.get
    callback.v2_runner_on_ok(SimpleNamespace(result=result, host=SimpleNamespace(get_name=lambda: "mx1")))
    callback.v2_playbook_on_stats(None)


@pytest.mark.parametrize(
    ("chosen", "result", "kept"), [(True, PROOF, ["mx1.json"]), (True, {"ping": "pong"}, []), (False, PROOF, [])]
)
def test_the_evidence_is_kept(tmp_path, chosen, result, kept):
    ended(tmp_path / "new" if chosen else None, result)
    assert sorted(path.name for path in tmp_path.rglob("*.json")) == kept
    assert all(json.loads(path.read_text()) == result for path in tmp_path.rglob("*.json"))
