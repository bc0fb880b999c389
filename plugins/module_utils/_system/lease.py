# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files on which a program holds a lease for writing, which the owner of a file can (fcntl(2), F_SETLEASE).

Nobody else can open such a file until the program gives it free. The kernel takes the lease away after
/proc/sys/fs/lease-break-time seconds, 45 by default, from the first try on. A program can take a new one, again and
again. So one process waits for all of them together only so long. A rename waits for no lease.
"""

from __future__ import annotations

import errno
import os
import re
import time

from .trust import account

SECONDS = 60.0  # that a process waits for all leases together
INTERVAL = 0.1
LOCKS = "/proc/locks"  # proc(5)
HOLDER = re.compile(r"\d+: LEASE +\w+ +\w+ (\d+) [0-9a-f]+:[0-9a-f]+:(\d+) ", re.ASCII)


class Patience:
    """The seconds that are left to wait."""

    def __init__(self, seconds: float) -> None:
        self.left = seconds

    def wait(self) -> bool:
        """Wait a moment; say whether there was time for that."""
        if self.left <= 0:
            return False
        time.sleep(INTERVAL)
        self.left -= INTERVAL
        return True


PATIENCE = Patience(SECONDS)


def open_free(path: str, flags: int, wait: bool) -> int:
    """os.open with ``flags``, O_NONBLOCK among them; a lease is waited for, or not.

    Raises BlockingIOError, which names the holder, where it does not end in time.
    """
    handle = _open(path, flags)
    while handle is None and wait and PATIENCE.wait():
        handle = _open(path, flags)
    if handle is None:
        text = f"is held by a lease of {_holder(path)}: end that process and try again"
        raise BlockingIOError(errno.EWOULDBLOCK, text, path)
    return handle


def _open(path: str, flags: int) -> int | None:
    """A descriptor; None while there is a lease."""
    try:
        return os.open(path, flags)
    except BlockingIOError:
        return None


def _holder(path: str) -> str:
    """Who holds the lease, as far as the kernel says."""
    try:
        inode = str(os.lstat(path).st_ino)
        with open(LOCKS, encoding="ascii", errors="replace") as file:
            pid = next(found[1] for found in map(HOLDER.match, file) if found and found[2] == inode)
        return f"process {pid} of {account(os.stat(f'/proc/{pid}').st_uid)}"
    except (OSError, StopIteration):
        return "a process that is not seen"
