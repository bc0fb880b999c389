# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For how long mail waits in a mailbox that nobody reads."""

from __future__ import annotations

import os
import time
import types
from datetime import datetime

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils.mailbox import unread
from ansible_collections.mailops.postmaster.plugins.module_utils.mailbox.unread import DAY, unread_days
from ansible_collections.mailops.postmaster.plugins.module_utils.mailbox.waiting import came

NOW = datetime(2026, 6, 1, 12).timestamp()


def days(path):
    return unread_days(str(path), lambda: NOW)


def message(came_days_ago, field="Subject: x"):
    return f"From x@far.example {time.ctime(NOW - came_days_ago * DAY)}\n{field}\n\nhello\n\n"


def mbox(folder, text, read=60.0, written=0.0):
    """An mbox that was read and written so many days ago."""
    path = folder / "alice"
    path.write_text(text)
    os.utime(path, (NOW - read * DAY, NOW - written * DAY))
    return path


def maildir(folder, **messages):
    """A Maildir, whose messages came so many days ago; a field may stand beside the days."""
    path = folder / "Maildir"
    for name in ("new", "cur", "tmp"):
        (path / name).mkdir(parents=True)
    for name, (age, field) in messages.items():
        file = path / name.replace("_", "/", 1)
        file.write_text(f"{field}\n\nhello\n")
        os.utime(file, (NOW - age * DAY, NOW - age * DAY))
    return path


PLAIN, OWN = "Subject: x", "X-Postmaster-Token: t1"
OLD = message(40)
MBOXES = {
    "nothing in it": ("", {}, 0),
    "a message that waits": (OLD, {}, 40),
    "two that wait": (OLD + message(3), {}, 40),
    "read since": (OLD, {"read": 1, "written": 40}, 0),
    "read since, and new mail": (OLD + message(3), {"read": 20}, 3),
    "new mail after a long time without any": (message(80) + message(1), {"read": 79}, 1),
    "read and kept": (message(40, "Status: RO") + message(3), {}, 3),
    "seen in the list, and not opened": (message(40, "Status: O") + message(3), {}, 3),
    "a field that only begins like the mark": (message(40, "Status-Text: RO"), {}, 40),
    "the mark in the body": (OLD + "Status: RO\n\n", {}, 40),
    "marked new": (message(40, "Status: N"), {}, 40),
    "messages of the proof only": (message(40, OWN) + message(0, OWN), {}, 0),
    "messages of the proof before another": (message(50, OWN) + OLD, {}, 40),
    "a line From without a date": ("From x\n\nhello\n\n", {"written": 35}, 35),
}


@pytest.mark.parametrize(("text", "times", "waits"), MBOXES.values(), ids=MBOXES)
def test_an_mbox_waits_since_its_first_message_came_that_nobody_saw(tmp_path, text, times, waits):
    assert days(mbox(tmp_path, text, **times)) == waits


@pytest.mark.parametrize(("text", "waits"), [(OLD, 40), (message(40, "Status: RO"), 0)])
def test_where_no_times_of_access_are_kept_the_mark_alone_counts(tmp_path, monkeypatch, text, waits):
    path = mbox(tmp_path, text, read=1)
    assert days(path) == 0
    monkeypatch.setattr(os, "statvfs", lambda _path: types.SimpleNamespace(f_flag=os.ST_NOATIME))
    assert days(path) == waits


@pytest.mark.parametrize(
    ("messages", "waits"),
    [
        ({}, 0),
        ({"new_a": (1, PLAIN), "new_b": (40, PLAIN)}, 40),
        ({"cur_a": (40, PLAIN)}, 0),
        ({"cur_a": (40, PLAIN), "new_b": (2, PLAIN)}, 2),
        ({"new_a": (40, OWN)}, 0),
        ({"new_a": (50, OWN), "new_b": (40, PLAIN)}, 40),
        ({"new_.hidden": (40, PLAIN)}, 0),
    ],
)
def test_a_maildir_waits_since_its_oldest_new_message_came(tmp_path, messages, waits):
    assert days(maildir(tmp_path, **messages)) == waits


@pytest.mark.parametrize("text", [OLD, message(80) + message(0, OWN)])
def test_to_look_is_not_to_read(tmp_path, text):
    path = mbox(tmp_path, text)
    before = path.stat()
    days(path)
    after = path.stat()
    assert (after.st_atime_ns, after.st_mtime_ns) == (before.st_atime_ns, before.st_mtime_ns)


def test_nothing_is_read_after_the_first_message_that_waits(tmp_path, monkeypatch):
    monkeypatch.setattr(unread, "PIECE", 4096)
    fed = []

    class Counting(unread.Scanner):
        def feed(self, piece):
            fed.append(piece)
            return super().feed(piece)

    monkeypatch.setattr(unread, "Scanner", Counting)
    assert days(mbox(tmp_path, OLD * 1000)) == 40
    assert len(fed) == 1


@pytest.mark.parametrize("name", ["missing", "."])
def test_what_is_no_mailbox_has_nothing_that_waits(tmp_path, name):
    assert days(tmp_path / name) == 0


def test_a_pipe_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert days(tmp_path / "pipe") == 0


def test_of_a_mailbox_that_may_not_be_opened_nothing_is_known(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(path)

    path = mbox(tmp_path, OLD)
    monkeypatch.setattr(unread, "open_quietly", refuse)
    assert days(path) is None


@pytest.mark.parametrize(
    ("line", "date"),
    [
        (b"From x@far.example Thu Jan  1 00:02:03 2026", datetime(2026, 1, 1, 0, 2)),
        (b"From x@far.example Thu Jan  1 00:02 CET 2026\r", datetime(2026, 1, 1, 0, 2)),
        (b"From - Mon Nov 23 01:00:00 2026 +0100", datetime(2026, 11, 23, 1)),
        (b"From x Mon Feb 30 01:00:00 2026", None),
        (b"From x Mon Nov 23", None),
        (b"From \xff", None),
    ],
)
def test_the_line_from_says_when_a_message_came(line, date):
    assert came(line + b"\nSubject: Fri Jan  2 00:00:00 2026\n") == (date and date.timestamp())
