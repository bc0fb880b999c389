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
from ansible_collections.mailops.postmaster.plugins.module_utils._system.deadline import Deadline
from ansible_collections.mailops.postmaster.plugins.module_utils._system.reader import RefusedError
from ansible_collections.mailops.postmaster.plugins.module_utils.mailbox import unread
from ansible_collections.mailops.postmaster.plugins.module_utils.mailbox.unread import DAY, waits_since
from ansible_collections.mailops.postmaster.plugins.module_utils.mailbox.waiting import came

NOW = datetime(2026, 6, 1, 12).timestamp()


def days(path):
    handle = os.open(path, os.O_RDONLY | os.O_NOATIME)
    try:
        since = waits_since(handle, Deadline(60))
    finally:
        os.close(handle)
    return 0 if since is None else int((NOW - since) // DAY)


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
    monkeypatch.setattr(os, "fstatvfs", lambda _handle: types.SimpleNamespace(f_flag=os.ST_NOATIME))
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


def reads(monkeypatch):
    """The offsets that are read from now on."""
    offsets = []
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda handle, size, offset: offsets.append(offset) or pread(handle, size, offset))
    return offsets


def test_nothing_is_read_after_the_first_message_that_waits(tmp_path, monkeypatch):
    monkeypatch.setattr(unread, "PIECE", 4096)
    path = mbox(tmp_path, OLD * 1000)
    offsets = reads(monkeypatch)
    assert days(path) == 40
    assert max(offsets) < 4096


def large(folder, monkeypatch, *messages, read):
    """A large mbox, which was read so many days ago, of which little may be looked at."""
    monkeypatch.setattr(unread, "PIECE", 1 << 12)
    monkeypatch.setattr(unread, "PART", 1 << 14)
    return mbox(folder, "".join(messages), read=read)


@pytest.mark.parametrize(("read", "waits"), [(500.5, 500), (20.5, 20), (3.5, 3), (0.5, 0)])
def test_of_a_large_mbox_only_the_part_that_nobody_read_is_looked_at(tmp_path, monkeypatch, read, waits):
    path = large(tmp_path, monkeypatch, *[message(1000 - number / 10) for number in range(9999)], read=read)
    offsets = reads(monkeypatch)
    assert days(path) == waits
    assert len(offsets) < 300


@pytest.mark.parametrize("line", ["From x\n", "From x Fri Jan  1 00:00:00 0000\n", f"From x {'Jan ' * 99} 9\n"])
def test_lines_from_without_a_date_do_not_hide_what_waits(tmp_path, monkeypatch, line):
    odd = f"{line}Subject: x\n\nhello\n\n"
    old = [message(1000 - number / 10) + (odd if number % 3 else "") for number in range(999)]
    assert days(large(tmp_path, monkeypatch, *old, message(5) * 3, read=10)) == 5


@pytest.mark.parametrize("field", [OWN, "Status: RO"])
def test_where_a_part_does_not_tell_nothing_is_known(tmp_path, monkeypatch, field):
    path = large(tmp_path, monkeypatch, *[message(9, field)] * 999, message(5), read=20)
    with pytest.raises(RefusedError, match=r"is \d+ octets long, and only \d+ were looked at"):
        days(path)


def test_where_there_is_no_time_nothing_is_known(tmp_path):
    with mbox(tmp_path, OLD).open("rb") as file, pytest.raises(RefusedError, match="only 0 were looked at"):
        waits_since(file.fileno(), Deadline(0))


def test_of_a_large_maildir_only_the_oldest_messages_are_opened(tmp_path, monkeypatch):
    opened = []
    block = unread.header_block
    monkeypatch.setattr(unread, "header_block", lambda folder, name: opened.append(name) or block(folder, name))
    assert days(maildir(tmp_path, **{f"new_{age}": (age, PLAIN) for age in range(50)})) == 49
    assert opened == ["49"]


def test_a_maildir_full_of_messages_of_the_proof_is_looked_at_in_part(tmp_path, monkeypatch):
    monkeypatch.setattr(unread, "OLDEST", 10)
    path = maildir(tmp_path, **{f"new_{age}": (age, OWN) for age in range(50)})
    with pytest.raises(RefusedError, match="begins with 10 messages of the proof"):
        days(path)


@pytest.mark.parametrize(
    ("line", "date"),
    [
        (b"From x@far.example Thu Jan  1 00:02:03 2026", datetime(2026, 1, 1, 0, 2)),
        (b"From x@far.example Thu Jan  1 00:02 CET 2026\r", datetime(2026, 1, 1, 0, 2)),
        (b"From - Mon Nov 23 01:00:00 2026 +0100", datetime(2026, 11, 23, 1)),
        (b"From x Mon Feb 30 01:00:00 2026", None),
        (b"From x Mon Nov 23", None),
        (b"From \xff", None),
        (b"From x Mon Nov 23 01:00:00 0000", None),
        (b"From x Mon Nov 23 01:00:00 99999", None),
        (b"From x Mon Nov 99 99:99:99 2026", None),
        (b"From x Mon Nov " + b"9" * 5000 + b" 01:00:00 2026", None),
        (b"From x Mon Nov" + b" " * 99999 + b"23 01:00:00 2026", None),
        (b"From " + b"Jan " * 250_000, None),
        (b"From " + b"Jan 1 00:00 x " * 99999, None),
        (b"From Jan 1 00:00 2020 Mon Nov 23 01:00:00 2026", datetime(2026, 11, 23, 1)),
    ],
)
def test_the_line_from_says_when_a_message_came(line, date):
    assert came(line + b"\nSubject: Fri Jan  2 00:00:00 2026\n") == (date and date.timestamp())
