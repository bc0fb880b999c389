# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module says what was found and what is missing, and changes nothing."""

from __future__ import annotations

import os
import time

import pytest
from ansible_collections.mailops.postmaster.plugins.modules import mailbox_find

MESSAGE = "From a Mon\nReceived: from b\nX-Postmaster-Token: t1\n\nhello\n\n"


@pytest.mark.parametrize("check", [False, True])
def test_found_and_missing_tokens_are_returned(run_module, tmp_path, check):
    box = tmp_path / "alice"
    box.write_text(MESSAGE * 2)
    params = {"tokens": ["t1", "t2", "t2"], "mailboxes": [str(box), str(tmp_path / "none")], "timeout": 0}
    result = run_module(mailbox_find, params, check=check)
    (found,) = result["found"]
    assert found.pop("seconds") >= 0
    assert found == {
        "token": "t1",
        "mailbox": str(box),
        "count": 2,
        "headers": {"X-Postmaster-Token": "t1", "Received": ["from b"]},
    }
    assert result["missing"] == [{"token": "t2"}]
    assert result["changed"] is False


def test_bad_input_fails_the_task_with_the_option_s_name(run_module, tmp_path):
    result = run_module(mailbox_find, {"tokens": ["a b"], "mailboxes": [str(tmp_path / "none")]})
    assert result["failed"]
    assert result["msg"].startswith("tokens: 'a b' ")


def test_a_mailbox_that_cannot_be_read_is_a_verdict_and_no_failure(run_module, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    box = tmp_path / "alice"
    box.write_text(MESSAGE)
    params = {"tokens": ["t1", "t2"], "mailboxes": [str(tmp_path / "pipe"), str(box)], "timeout": 0, "deadline": 30}
    result = run_module(mailbox_find, params)
    assert not result["failed"]
    assert result["verdict"] == "inconclusive"
    assert [row["token"] for row in result["found"]] == ["t1"]
    (row,) = result["inconclusive"]
    assert row["mailbox"] == str(tmp_path / "pipe")
    assert "is a FIFO" in row["reason"]


def test_the_deadline_ends_a_longer_wait_and_is_no_verdict(run_module, tmp_path):
    params = {"tokens": ["t1"], "mailboxes": [str(tmp_path / "none")], "timeout": 600, "deadline": 1}
    begun = time.monotonic()
    result = run_module(mailbox_find, params)
    assert time.monotonic() - begun < 1 + 5
    assert result["verdict"] == "inconclusive"
    assert "the deadline of 1 s was over" in result["inconclusive"][0]["reason"]
