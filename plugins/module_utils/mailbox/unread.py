# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether anybody reads a mailbox in which mail waits (RFC 822 section 6.3 wants postmaster's mail read by a person).

An mbox waits for its reader from the time of the last access, where something was written to it since; that is how
shells and mail readers have always known of new mail. A message in a Maildir's ``new`` waits since it came.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import Callable

DAY = 86400.0  # seconds


def unread_days(path: str, now: Callable[[], float] = time.time) -> int | None:
    """For how many whole days mail in a mailbox has waited without anybody looking; 0 where none waits.

    None where that cannot be known: on a file system that keeps no times of access.
    """
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        waiting = [entry.stat().st_mtime for entry in os.scandir(os.path.join(path, "new"))]
        return _days(min(waiting), now) if waiting else 0
    with contextlib.suppress(FileNotFoundError):
        found = os.stat(path)
        if os.path.isdir(path) or not found.st_size or found.st_atime >= found.st_mtime:
            return 0
        return None if os.statvfs(path).f_flag & os.ST_NOATIME else _days(found.st_atime, now)
    return 0


def _days(since: float, now: Callable[[], float]) -> int:
    return max(0, int((now() - since) // DAY))
