# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether anybody reads a mailbox in which mail waits (RFC 822 section 6.3 wants postmaster's mail read by a person).

A message of an mbox waits since it came where that was after the last access to the file and no mail reader has marked
it; on a file system that keeps no times of access, the mark alone decides. A message in a Maildir's ``new`` waits
since it came. The messages of the proof wait for nobody. What reads the file without being a reader, as a backup may,
hides that nobody does; it never makes a warning.
"""

from __future__ import annotations

import os
import stat
import time
from typing import Callable

from .maildir import header_block
from .mbox import PIECE, Scanner
from .quiet import open_quietly
from .waiting import came, waits

DAY = 86400.0  # seconds


def unread_days(path: str, now: Callable[[], float] = time.time) -> int | None:
    """For how many whole days the first message that waits in a mailbox has done so; 0 where none waits.

    None where the mailbox may not be opened.
    """
    try:
        since = _waits_since(path)
    except FileNotFoundError:  # no mail has come yet, or what has is just being read
        return 0
    except PermissionError:
        return None
    return 0 if since is None else max(0, int((now() - since) // DAY))


def _waits_since(path: str) -> float | None:
    found = os.stat(path)
    if stat.S_ISDIR(found.st_mode):
        return _in_maildir(path)
    return _in_mbox(path, found) if stat.S_ISREG(found.st_mode) else None


def _in_maildir(path: str) -> float | None:
    with os.scandir(os.path.join(path, "new")) as entries:
        messages = sorted((entry.stat().st_mtime, entry.path) for entry in entries if entry.name[0] != ".")
    return next((since for since, message in messages if waits(header_block(message))), None)


def _in_mbox(path: str, found: os.stat_result) -> float | None:
    """Mail is appended, so that the first message that waits is the oldest one; nothing after it is read."""
    accessed = 0.0 if os.statvfs(path).f_flag & os.ST_NOATIME else found.st_atime
    if accessed >= found.st_mtime:
        return None
    scanner = Scanner()
    with open_quietly(path) as file:
        for piece in iter(lambda: file.read(PIECE), b""):
            for block in scanner.feed(piece):
                since = came(block) or found.st_mtime
                if since > accessed and waits(block):
                    return since
    return None
