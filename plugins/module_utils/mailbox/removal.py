# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Removes the messages of a proof from a mailbox, where no message of others can be lost.

In a Maildir a message is a file, and its file is unlinked. An mbox is cut off, under all its locks, where the messages
at its very end are those of the proof. Everything else stays, for whatever reason.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from .._system.descent import as_root, open_spot
from .._system.inside import entries, folder_of, seen_in, set_times, unlink_in
from .._system.mbox_lock import locked
from .._system.reader import OPEN, RefusedError, open_plain, read_up_to
from .maildir import FOLDERS
from .mbox import message_starts
from .own import is_own

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from .._system.descent import Spot

LARGEST = 1 << 16  # octets of a message that is removed
END = 1 << 20  # octets at the end of an mbox that are looked at
WRITE = OPEN & ~os.O_ACCMODE | os.O_RDWR


class Before(NamedTuple):
    """An mbox before the proof: its inode, its size, and when it was changed, in nanoseconds."""

    inode: int
    size: int
    mtime: int


def from_maildir(handle: int, tokens: Collection[str], names: Iterable[str]) -> int:
    """Unlink the messages of the proof among those of the ``names``, which are those before the flags; how many."""
    wanted, removed = {name.partition(":")[0] for name in names}, 0
    for folder in FOLDERS:
        with folder_of(handle, folder) as opened:
            with entries(opened) as listed:
                found = [entry.name for entry in listed if entry.name.partition(":")[0] in wanted]
            for name in found:
                if is_own(_message(opened, name), tokens):
                    unlink_in(opened, name)
                    removed += 1
    return removed


def _message(opened: int, name: str) -> bytes:
    handle = open_plain(name, folder=opened)
    try:
        return read_up_to(handle, LARGEST)
    finally:
        os.close(handle)


def from_mbox(spot: Spot, tokens: Collection[str], before: Before | None) -> int:
    """Cut off the messages of the proof that end an mbox; how many.

    Where it is then what it was ``before``, so is its time: nobody is told of new mail.
    """
    handle = open_spot(spot._replace(follow=False), WRITE)
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            raise RefusedError("is no mbox, or has a second name")
        with locked(spot, handle):
            return _cut(spot, handle, tokens, before)
    finally:
        os.close(handle)


def _cut(spot: Spot, handle: int, tokens: Collection[str], before: Before | None) -> int:
    found = os.fstat(handle)
    with as_root(spot.above):
        there = seen_in(spot.folder, spot.name)
    if not os.path.samestat(found, there):
        raise RefusedError("was exchanged meanwhile")
    end, removed = found.st_size, 0
    for start in reversed(message_starts(handle, max(0, end - END), end)):
        message = os.pread(handle, end - start, start)
        if end - start > LARGEST or not is_own(message, tokens):
            break
        end, removed = start, removed + 1
    if removed and os.fstat(handle).st_size == found.st_size:
        os.ftruncate(handle, end)
        os.fsync(handle)
        if before and (found.st_ino, end) == (before.inode, before.size):
            set_times(handle, found.st_atime_ns, before.mtime)
        return removed
    return 0
