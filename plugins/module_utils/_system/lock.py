# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock of a host: one change of its mail configuration at a time, and nobody but root can hold it.

It is a file in the directory of state, which belongs to root and which others cannot enter. Root has a second one for
the host: all directories of state share its service, its timer and its units. Everybody takes that one last, so that no
two wait for each other. A boot removes it.

Whoever holds a lock writes there who that is: the number of the process, the name of the program, and the time in
seconds since the epoch. That text is shown to whoever is refused, and is believed for nothing else.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
import sys
import time
from typing import TYPE_CHECKING

from ..errors import UserError
from .files import make_folder
from .reader import RefusedError, kind
from .trust import account, trusted, way, writers

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = "/var/lib/mailops-postmaster"  # for root, unless a module is told otherwise
OWN_FOLDER = "~/.local/state/mailops-postmaster"  # for another account
HOST = "/run/mailops-postmaster"  # the directory of the lock that all directories of state of root share
NAME = "lock"
HOLDER = re.compile(r"([0-9]{1,10}) ([\w.+-]{1,64}) ([0-9]{1,11})\n", re.ASCII)


def state_folder() -> str:
    """The directory of state of this account."""
    return FOLDER if os.geteuid() == 0 else os.path.expanduser(OWN_FOLDER)


def check_private(folder: str) -> None:
    """Raise UserError where a directory of state is there and others can change what is in it."""
    _target, doubt, loose = way(folder)
    doubt = doubt or ("its directory belongs to another account" if loose else "")
    try:
        found = os.lstat(folder)
    except FileNotFoundError:
        found = None
    if found and not stat.S_ISDIR(found.st_mode):
        doubt = f"it is {kind(found.st_mode)}"
    elif found and found.st_uid not in trusted():
        doubt = f"it belongs to {account(found.st_uid)}"
    elif found and writers(folder, found):
        doubt = f"it can be written by {writers(folder, found)}"
    if doubt:
        raise UserError(
            f"the directory of state {folder} is not safe: {doubt}. Nothing was changed. It must be a directory of"
            f" {account(os.geteuid())}, mode 0700, in directories that nobody else can write"
        )


@contextlib.contextmanager
def lock(folder: str, wait: bool = False) -> Iterator[None]:
    """Hold the lock in a directory of state, which is made where there is none, and that of the host, until the end.

    Who does not ``wait`` for them is refused by UserError, which names the holder.
    """
    with _lock(folder, wait), _lock(HOST, wait) if os.geteuid() == 0 else contextlib.nullcontext():
        yield


@contextlib.contextmanager
def _lock(folder: str, wait: bool) -> Iterator[None]:
    check_private(folder)
    make_folder(folder, 0o700)
    path = os.path.join(folder, NAME)
    handle = _open(path)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"another transaction is under way on this host: {_holder(handle)} holds {path}. Nothing was changed."
                " Wait until it has ended, and try again"
            ) from None
        _say(handle, f"{os.getpid()} {_program()} {int(time.time())}\n")
        try:
            yield
        finally:
            _say(handle, "")
    finally:
        os.close(handle)


def _open(path: str) -> int:
    """The lock itself; raises UserError where it is not a file of root's own."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        handle = os.open(path, flags, 0o600)
        found = os.fstat(handle)
        reason = ""
        if not stat.S_ISREG(found.st_mode):
            reason = f"is {kind(found.st_mode)}"
        elif found.st_uid not in trusted():
            reason = f"belongs to {account(found.st_uid)}"
        elif writers(handle, found):
            reason = f"can be written by {writers(handle, found)}"
        if reason:
            os.close(handle)
            raise RefusedError(reason)
    except (OSError, RefusedError) as error:
        reason = (error.strerror or "") if isinstance(error, OSError) else str(error)
        raise UserError(
            f"the lock {path} cannot be used: {reason or error}. Nothing was changed. Remove it if no change is under"
            " way"
        ) from error
    return handle


def _say(handle: int, text: str) -> None:
    """Write who holds the lock. Where there is no room for that the lock is held all the same."""
    with contextlib.suppress(OSError):
        os.ftruncate(handle, 0)
        os.pwrite(handle, text.encode("ascii"), 0)


def _holder(handle: int) -> str:
    """Who says that it holds the lock, if it is still there."""
    found = HOLDER.fullmatch(os.pread(handle, 200, 0).decode("ascii", "replace"))
    if not found or not os.path.exists(f"/proc/{found[1]}"):
        return "a process that does not say who it is"
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(int(found[3])))
    return f"process {found[1]} ({found[2]}), since {since},"


def _program() -> str:
    """The name of this program, which may be anything, in characters that can be shown."""
    return re.sub(r"[^\w.+-]", "_", os.path.basename(sys.argv[0] if sys.argv else ""), flags=re.ASCII)[:64] or "python"
