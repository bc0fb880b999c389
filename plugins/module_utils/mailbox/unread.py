# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether anybody reads a mailbox in which mail waits (RFC 822 section 6.3 wants postmaster's mail read by a person).

A message of an mbox waits since it came where that was after the last access to the file and no mail reader has marked
it; on a file system that keeps no times of access, the mark alone decides. A message in a Maildir's ``new`` waits
since it came. The messages of the proof wait for nobody. What reads the file without being a reader, as a backup may,
hides that nobody does; it never makes a warning.

Mail is appended, so that in a large mbox the first message after the last access is found by halving. Of what is there
to look at only a part is: where that does not tell, nothing is known, and the reason is said.
"""

from __future__ import annotations

import heapq
import os
import stat
from typing import TYPE_CHECKING

from .._system.inside import entries, folder_of
from .._system.reader import RefusedError
from .maildir import header_block
from .mbox import PIECE, header_blocks
from .waiting import came, waits

if TYPE_CHECKING:
    from .._system.deadline import Deadline

DAY = 86400.0  # seconds
PART = 64 << 20  # octets of an mbox that are looked at
OLDEST = 1000  # messages of a Maildir that are looked at


def waits_since(handle: int, budget: Deadline) -> float | None:
    """When the first message came that waits in the mailbox behind a descriptor; None where none does.

    Raises RefusedError where that cannot be known within the ``budget``.
    """
    found = os.fstat(handle)
    return _in_maildir(handle, budget) if stat.S_ISDIR(found.st_mode) else _in_mbox(handle, found, budget)


def _in_maildir(handle: int, budget: Deadline) -> float | None:
    with folder_of(handle, "new") as opened, entries(opened) as found:
        times = ((_time(entry), entry.name) for entry in found if entry.name[0] != ".")
        for number, (since, name) in enumerate(heapq.nsmallest(OLDEST, times), 1):
            if _waits(opened, name):
                return since
            if number == OLDEST or budget.over:
                raise RefusedError(f"begins with {number} messages of the proof; delete them")
    return None


def _time(entry: os.DirEntry[str]) -> float:
    try:
        return entry.stat(follow_symlinks=False).st_mtime
    except FileNotFoundError:
        return 0.0


def _waits(opened: int, name: str) -> bool:
    try:
        return waits(header_block(opened, name))
    except (OSError, RefusedError):  # read meanwhile, or no message
        return False


def _in_mbox(handle: int, found: os.stat_result, budget: Deadline) -> float | None:
    """Mail is appended, so that the first message that waits is the oldest one; nothing after it is read.

    A message without a date came when the one before it did.
    """
    accessed = 0.0 if os.fstatvfs(handle).f_flag & os.ST_NOATIME else found.st_atime
    if accessed >= found.st_mtime:
        return None
    since, begun = found.st_mtime, 0
    if found.st_size > PART:
        since, begun = accessed, _first_after(handle, found.st_size, accessed)
    low = begun
    while low < found.st_size:
        if budget.over or low - begun >= PART:
            raise RefusedError(f"is {found.st_size} octets long, and only {low - begun} were looked at")
        high = min(low + PIECE, found.st_size)
        for block in header_blocks(handle, low, high):
            since = came(block) or since
            if since > accessed and waits(block):
                return since
        low = high
    return None


def _first_after(handle: int, size: int, accessed: float) -> int:
    """An offset before the first message that came after the last access, and little before it."""
    low, high = 0, size
    while high - low > PIECE:
        middle = (low + high) // 2
        dates = map(came, header_blocks(handle, middle, middle + PIECE))
        date = next((date for date in dates if date), None)
        low, high = (middle, high) if date and date <= accessed else (low, middle)
    return low
