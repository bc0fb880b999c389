# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The locks of an mbox, all that MTAs and mail readers use: MAILBOX.lock, fcntl and flock.

Programs take them in different orders (Debian policy 11.6 names one). So nobody is waited for while one is held: what
cannot be had at once is tried again from the beginning.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from typing import TYPE_CHECKING, Callable

from .descent import as_root
from .inside import unlink_in
from .reader import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .descent import Spot

PATIENCE = 5.0  # seconds
INTERVAL = 0.05  # seconds between two attempts
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
LOCKS = (fcntl.lockf, fcntl.flock)


@contextlib.contextmanager
def locked(
    spot: Spot, handle: int, patience: float = PATIENCE, pause: Callable[[float], None] = time.sleep
) -> Iterator[None]:
    """Hold the locks of the mbox at ``spot``, which is open for writing.

    Raises OSError, and RefusedError where another program holds one for longer than ``patience`` in seconds.
    """
    end = time.monotonic() + patience
    while not _lock(spot, handle):
        if time.monotonic() >= end:
            raise RefusedError("is locked by another program")
        pause(INTERVAL)
    try:
        yield
    finally:
        _unlock(spot, handle)


def _lock(spot: Spot, handle: int) -> bool:
    with as_root(spot.above):
        try:
            lock = os.open(_name(spot), NEW, 0o644, dir_fd=spot.folder)
        except FileExistsError:
            return False
        try:
            os.write(lock, b"%d\n" % os.getpid())  # liblockfile removes the lock of a process that has ended
        finally:
            os.close(lock)
    try:
        for take in LOCKS:
            take(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _unlock(spot, handle)
        return False
    except BaseException:
        _unlock(spot, handle)
        raise
    return True


def _unlock(spot: Spot, handle: int) -> None:
    for give in LOCKS:
        give(handle, fcntl.LOCK_UN)
    with as_root(spot.above):
        unlink_in(spot.folder, _name(spot))


def _name(spot: Spot) -> str:
    return f"{spot.name}.lock"
