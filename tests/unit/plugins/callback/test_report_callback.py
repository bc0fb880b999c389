# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The callback keeps the evidence of every host where it is told to, and nowhere else, for its owner alone."""

from __future__ import annotations

import json
import os
from types import SimpleNamespace

import pytest
from ansible_collections.mailops.postmaster.plugins.callback.report import CallbackModule, keep

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


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_the_evidence_is_for_its_owner_alone(tmp_path, mask):
    old = os.umask(mask)
    try:
        ended(tmp_path / "new", PROOF)
    finally:
        os.umask(old)
    assert [oct((tmp_path / name).stat().st_mode & 0o777) for name in ("new", "new/mx1.json")] == ["0o700", "0o600"]


@pytest.mark.parametrize("before", ["a link", "a file that everybody reads", "a link to nothing"])
def test_what_is_there_already_is_replaced_and_not_followed(tmp_path, before):
    other, kept = tmp_path / "other", tmp_path / "new" / "mx1.json"
    kept.parent.mkdir()
    if before != "a link to nothing":
        other.write_text("theirs")
    if before == "a file that everybody reads":
        kept.write_text("old")
        kept.chmod(0o666)
    else:
        kept.symlink_to(other)
    ended(kept.parent, PROOF)
    assert (kept.is_symlink(), kept.stat().st_mode & 0o777) == (False, 0o600)
    assert [path.read_text() for path in (other,) if path.exists()] == ["theirs"] * other.exists()
    assert list(kept.parent.iterdir()) == [kept]


def test_the_name_of_a_host_leads_nowhere_else(tmp_path):
    keep(str(tmp_path / "new"), "../../mx1", PROOF)
    assert [path.name for path in tmp_path.rglob("*.json")] == [".._.._mx1.json"]
