# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way down a path to what somebody else may own, with no more rights than that takes.

Root goes as far as there is nothing but root's, name by name, by descriptors. The first entry of somebody else's, be it
a file, a directory or a link, is opened and all below it with the rights of its owner: whatever that account puts
there, it leads nowhere that the account could not go by itself. For a child process (reader, worker): the rights stay.

Who names a path is not who owns what is there: a user can name any file of root's. So for a path of a user's the rights
of that account are taken at once. And what root opens is looked at before, because that can do something by itself: a
device may rewind or reset, and a message of /proc/kmsg that root reads is gone.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import stat
from collections import deque
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from .reader import OF_THE_PROGRAM, OPEN, RefusedError, Rights, file_system, kind, of_the_program, quietly, take
from .walk import LINKS, names

if TYPE_CHECKING:
    from collections.abc import Iterator

PATH = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
ROOT = Rights(0, 0)
# file systems in which each file is a door to the kernel (filesystems(5))
OF_THE_KERNEL = frozenset(
    (
        *("binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "efivarfs", "fusectl", "mqueue"),
        *("proc", "pstore", "securityfs", "selinuxfs", "sysfs", "tracefs"),
    )
)


class Spot(NamedTuple):
    """Where a path ends: a descriptor of the ``folder`` and the ``name`` in it.

    ``owner`` is whose the entry is; None where that does not count, because the process is not root's, or took its
    rights before. A link there is ``follow``-ed where the process has no more than some account's rights. Only root can
    use the folder where ``above`` is true: the entry is the first on the way that is not root's.
    """

    folder: int
    name: str
    owner: int | None
    follow: bool
    above: bool = False


def descend(path: str, rights: Rights | None = None) -> Spot:
    """Take the rights that count for ``path`` and say where it ends. The caller closes the folder.

    These are the ``rights`` of the account that named it, where that was not root. Raises OSError, FileNotFoundError
    where there is nothing.
    """
    if "\0" in path:
        raise RefusedError("has a name that no file can have")
    is_root = os.geteuid() == 0 or os.getuid() == 0
    if rights or not is_root:
        if rights and is_root:
            take(rights)
        folder, name = os.path.split(os.path.abspath(path))
        return Spot(os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC), name or ".", None, follow=True)
    take(ROOT)
    with contextlib.ExitStack() as opened:
        return _descend(path, opened)


def _descend(path: str, opened: contextlib.ExitStack) -> Spot:
    folder = _keep(opened, os.open("/", PATH))
    todo, links = deque(names(path)), 0
    while todo:
        name = todo.popleft()
        entry = _keep(opened, os.open(name, PATH, dir_fd=folder))
        found = os.fstat(entry)
        if found.st_uid:
            return _of_another(found, Spot(folder, name, found.st_uid, follow=True), entry, list(todo))
        if stat.S_ISLNK(found.st_mode):
            links += 1
            if links > LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            target = os.readlink("", dir_fd=entry)
            todo.extendleft(reversed(names(target)))
            folder = _keep(opened, os.open("/", PATH)) if target.startswith("/") else folder
        elif todo:
            folder = entry
        else:
            return Spot(os.dup(folder), name, 0, follow=False)
    return Spot(os.dup(folder), ".", 0, follow=False)


def _of_another(found: os.stat_result, here: Spot, entry: int, rest: list[str]) -> Spot:
    """Go on with the rights of the owner of the entry ``here``."""
    take(_rights(found.st_uid, found.st_gid))
    if not rest:
        return here._replace(folder=os.dup(here.folder), above=True)
    if stat.S_ISDIR(found.st_mode):
        way, start = rest[:-1], entry
    else:
        way, start = [here.name, *rest[:-1]], here.folder
    folder = os.open("/".join(way) or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=start)
    return Spot(folder, rest[-1], found.st_uid, follow=True)


def open_spot(spot: Spot, flags: int = OPEN) -> int:
    """A descriptor of the regular file or the directory at a spot, as it was when it was opened.

    Raises OSError, and RefusedError where it is neither.
    """
    if spot.above:
        return _open_above(spot, flags)
    if spot.owner == 0:
        with contextlib.ExitStack() as opened:
            return _open_same(spot, flags, os.fstat(_keep(opened, os.open(spot.name, PATH, dir_fd=spot.folder))))
    handle = quietly(spot.name, flags & ~os.O_NOFOLLOW if spot.follow else flags, spot.folder)
    reason = _why_not(os.fstat(handle), spot)
    if reason:
        os.close(handle)
        raise RefusedError(reason)
    return handle


def _why_not(found: os.stat_result, spot: Spot) -> str:
    """Why what is at a spot is not opened, or not used; empty where it is."""
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        return f"is {kind(found.st_mode)}, neither a regular file nor a directory"
    if of_the_program(found):
        return OF_THE_PROGRAM
    if file_system(found.st_dev) in OF_THE_KERNEL:
        return f"is no mailbox: it is in {file_system(found.st_dev)}, which the kernel makes"
    if spot.owner == 0 and stat.S_ISREG(found.st_mode) and found.st_nlink > 1:
        return "has a second name"
    return ""


def _open_above(spot: Spot, flags: int) -> int:
    """An entry of somebody else's in a folder of root's: of that account's alone is what is opened by root."""
    with as_root(), contextlib.ExitStack() as opened:
        found = os.fstat(_keep(opened, os.open(spot.name, PATH, dir_fd=spot.folder)))
        if not stat.S_ISLNK(found.st_mode):
            return _open_same(spot, flags, found)
    return open_spot(spot._replace(above=False), flags)


def _open_same(spot: Spot, flags: int, found: os.stat_result) -> int:
    reason = _why_not(found, spot)
    if reason:
        raise RefusedError(reason)
    handle = quietly(spot.name, flags, spot.folder)
    opened = os.fstat(handle)
    if not os.path.samestat(found, opened) or opened.st_uid != spot.owner:
        os.close(handle)
        raise RefusedError("was exchanged while it was opened")
    return handle


@contextlib.contextmanager
def as_root(needed: bool = True) -> Iterator[None]:
    """Have root's rights for a moment, where they are ``needed`` for a folder of root's."""
    if not needed:
        yield
        return
    mine = Rights(os.geteuid(), os.getegid(), tuple(os.getgroups()))
    take(ROOT)
    try:
        yield
    finally:
        take(mine)


@lru_cache(maxsize=64)
def _rights(uid: int, gid: int) -> Rights:
    """The rights of an account, and those of a number that is no account's: mail of virtual users has such owners."""
    try:
        found = pwd.getpwuid(uid)
        return Rights(uid, found.pw_gid, tuple(os.getgrouplist(found.pw_name, found.pw_gid)))
    except KeyError:
        return Rights(uid, gid)


def _keep(opened: contextlib.ExitStack, handle: int) -> int:
    opened.callback(os.close, handle)
    return handle
