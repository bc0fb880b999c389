# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For how long mail waits in a mailbox that nobody reads."""

from __future__ import annotations

import os
import types

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils.mailbox.unread import DAY, unread_days

NOW = 1_000 * DAY


def mbox(folder, text="From x\n\nhello\n", read=0, written=0):
    """An mbox that was read and written so many days ago."""
    path = folder / "alice"
    path.write_text(text)
    os.utime(path, (NOW - read * DAY, NOW - written * DAY))
    return path


def maildir(folder, **messages):
    """A Maildir, whose messages came so many days ago."""
    path = folder / "Maildir"
    for name in ("new", "cur", "tmp"):
        (path / name).mkdir(parents=True)
    for name, days in messages.items():
        file = path / name.replace("_", "/", 1)
        file.write_text("hello\n")
        os.utime(file, (NOW - days * DAY, NOW - days * DAY))
    return path


def days(path):
    return unread_days(str(path), lambda: NOW)


@pytest.mark.parametrize(
    ("mailbox", "waits"),
    [
        ({"read": 40, "written": 1}, 40),
        ({"read": 40, "written": 39}, 40),
        ({"read": 0.5, "written": 0.2}, 0),
        ({"read": 1, "written": 40}, 0),
        ({"read": 40, "written": 40}, 0),
        ({"text": "", "read": 40, "written": 1}, 0),
    ],
)
def test_an_mbox_waits_since_it_was_last_read_where_it_was_written_to_after_that(tmp_path, mailbox, waits):
    assert days(mbox(tmp_path, **mailbox)) == waits


@pytest.mark.parametrize(
    ("messages", "waits"),
    [({}, 0), ({"new_a": 40, "new_b": 1}, 40), ({"cur_a": 40}, 0), ({"cur_a": 40, "new_b": 2}, 2)],
)
def test_a_maildir_waits_since_its_oldest_new_message_came(tmp_path, messages, waits):
    assert days(maildir(tmp_path, **messages)) == waits


def test_where_no_times_of_access_are_kept_nothing_is_known(tmp_path, monkeypatch):
    path = mbox(tmp_path, read=40, written=1)
    monkeypatch.setattr(os, "statvfs", lambda _path: types.SimpleNamespace(f_flag=os.ST_NOATIME))
    assert days(path) is None


@pytest.mark.parametrize("name", ["missing", "."])
def test_what_is_no_mailbox_has_nothing_that_waits(tmp_path, name):
    assert days(tmp_path / name) == 0
