# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which processes hold which sockets, as far as that can be seen (proc_pid_fd(5)).

Any account can have very many descriptors and processes. So of each process only the first descriptors are looked at:
a daemon opens its listening sockets early. Those of system accounts are looked at first, and all only for so long.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

PROC = "/proc"
MOST = 4096  # descriptors of one process
SECONDS = 2.0  # for all processes
SOCKET = re.compile(r"socket:\[([0-9]+)\]")  # of a file the whole path is shown


def holders(inodes: Collection[str], uid_min: int, proc: str = PROC) -> dict[str, dict[int, str]]:
    """The processes that hold each socket, with the names of their programs; ``uid_min`` is the first uid of people."""
    found: dict[str, dict[int, str]] = {inode: {} for inode in inodes}
    until = time.monotonic() + SECONDS
    for pid in _by_account(uid_min, proc):
        if time.monotonic() > until:
            break
        for inode in _sockets(f"{proc}/{pid}/fd"):
            if inode in found:
                found[inode][pid] = _target(f"{proc}/{pid}/exe").split("/")[-1].partition(" ")[0]
    return found


def _by_account(uid_min: int, proc: str) -> list[int]:
    """The processes, those of people last."""
    ranks = {}
    for pid in map(int, filter(str.isdigit, os.listdir(proc))):
        with contextlib.suppress(OSError):
            ranks[pid] = os.stat(f"{proc}/{pid}").st_uid >= uid_min
    return sorted(ranks, key=lambda pid: (ranks[pid], pid))


def _sockets(folder: str) -> Iterator[str]:
    """The sockets among the first descriptors of a process."""
    with contextlib.suppress(OSError), os.scandir(folder) as listed:
        for entry in itertools.islice(listed, MOST):
            held = SOCKET.fullmatch(_target(entry.path))
            if held:
                yield held[1]


def _target(link: str) -> str:
    """Where a link leads; empty if it has gone, or may not be seen."""
    try:
        return os.readlink(link)
    except OSError:
        return ""
