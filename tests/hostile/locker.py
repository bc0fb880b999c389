# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a local user does to hold changes up.

She locks the directories that are named, and everything in them that she may read, with each kind of lock that there
is, also what comes there meanwhile. systemd is told when she holds the first ones.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import sys
import time

OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
PACE = 0.02  # seconds between two looks for what is new, so that the host has time for others
KINDS = (fcntl.lockf, fcntl.LOCK_SH), (fcntl.flock, fcntl.LOCK_EX)


def lock(path: str) -> None:
    """Hold what can be held, to the end of this process."""
    with contextlib.suppress(OSError):  # it is not hers to read, or has gone
        handle = os.open(path, OPEN)
        for take, how in KINDS:
            with contextlib.suppress(OSError):
                take(handle, how | fcntl.LOCK_NB)


def hold(folders: list[str]) -> None:
    """Lock for ever."""
    for folder in folders:
        lock(folder)
    known: set[tuple[str, int]] = set()
    told = False
    while True:
        for folder in folders:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_file(follow_symlinks=False) and (folder, entry.inode()) not in known:
                        known.add((folder, entry.inode()))
                        lock(entry.path)
        if not told:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
                systemd.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"].replace("@", "\0", 1))
            told = True
        time.sleep(PACE)


if __name__ == "__main__":
    hold([folder for folder in sys.argv[1:] if os.access(folder, os.R_OK | os.X_OK)])
