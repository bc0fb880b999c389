# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one door to files that others own: .forward files, included lists, mailboxes, spools.

Whoever owns a directory can put anything there, and exchange it between two looks: a link to a file of root's, a FIFO,
a device, a file without end. So a file is opened

1. by a child process that has the rights of the account that counts, and that account cannot signal or trace,
2. without following a link, without waiting for a writer, and without becoming a terminal's owner (open(2)),
3. and is looked at only then, by fstat: what was opened is what is read.

At most ``limit`` octets are read, and the child is killed after ``seconds``.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
import select
import signal
import stat
import time
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Callable, NamedTuple, NoReturn

from .mounts import mounts

if TYPE_CHECKING:
    from collections.abc import Collection

    from .host import Account

LIMIT = 1 << 20  # octets of a file that is read whole
SECONDS = 5.0  # for one look
ENDING = 0.5  # seconds for a killed child to end; one that waits in the kernel for a file system may not
PIECE = 1 << 16
OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
OF_THE_PROGRAM = "is in /proc, where nothing is read for others"
DONE, REFUSED, UNSEEN, FAILED = b"d", b"r", b"u", b"f"  # the first octet of what a child says


class RefusedError(Exception):
    """What is there is not a file that may be read; the text says why, after the file's name: "is a FIFO"."""


class UnseenError(RefusedError):
    """It may be a good file, but it was not read: it is too large, or did not answer in time."""


class Rights(NamedTuple):
    """The numbers that the kernel goes by when a file is opened (credentials(7))."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()

    @staticmethod
    def of(account: Account) -> Rights:
        """The rights that an account has after a login."""
        return Rights(account.uid, account.gid, tuple(os.getgrouplist(account.name, account.gid)))


@dataclass(frozen=True)
class Content:
    """A regular file as it was when it was opened. ``mtime`` in seconds since the epoch, ``size`` in octets."""

    data: bytes
    uid: int
    gid: int
    mode: int
    mtime: float
    size: int

    @property
    def text(self) -> str:
        """Bytes that are not UTF-8 survive (surrogateescape)."""
        return self.data.decode("utf-8", "surrogateescape")


def read(
    path: str,
    rights: Rights | None,
    *,
    limit: int = LIMIT,
    seconds: float = SECONDS,
    owners: Collection[int] | None = None,
    single: bool = False,
    follow: bool = False,
) -> Content:
    """The regular file at ``path``, read with ``rights`` (None: those of this process).

    ``owners`` are the uids of which one must own it; a ``single`` file has no other name. ``follow`` is for programs
    that follow links themselves: each link is then followed with the same rights. Raises OSError where it cannot be
    opened, and RefusedError where it is no such file, is longer than ``limit``, or did not answer in time.
    """

    def work() -> bytes:
        handle = open_plain(path, owners=owners, single=single, follow=follow)
        found = os.fstat(handle)
        if found.st_size > limit:
            raise UnseenError(f"is larger than {limit} octets")
        data = read_up_to(handle, limit + 1)
        if len(data) > limit:
            raise UnseenError(f"is larger than {limit} octets")
        seen = Content(b"", found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode), found.st_mtime, len(data))
        return json.dumps({**asdict(seen), "data": ""}).encode() + b"\n" + data

    head, _newline, data = call(rights, work, seconds=seconds, limit=limit + PIECE).partition(b"\n")
    return Content(**{**json.loads(head), "data": data})


def open_plain(
    path: str,
    *,
    owners: Collection[int] | None = None,
    single: bool = False,
    follow: bool = False,
    folder: int | None = None,
) -> int:
    """A descriptor of the regular file at ``path``, its time of access left as it is; see ``read``.

    ``folder`` is the descriptor of the directory that a relative ``path`` begins at.
    """
    try:
        handle = quietly(path, OPEN & ~os.O_NOFOLLOW if follow else OPEN, folder)
    except ValueError as error:  # a NUL, or what cannot be encoded
        raise RefusedError("has a name that no file can have") from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise RefusedError("is a link, which is not followed" if not follow else "is a link to itself") from error
        if error.errno == errno.ENXIO:
            raise RefusedError("is not a regular file") from error
        if error.errno == errno.EWOULDBLOCK:
            raise UnseenError("is held by a lease of another program") from error
        raise
    reason = _why_not(os.fstat(handle), owners, single)
    if reason:
        os.close(handle)
        raise RefusedError(reason)
    return handle


def _why_not(found: os.stat_result, owners: Collection[int] | None, single: bool) -> str:
    """Why a file that was opened is not read; empty where it is."""
    if not stat.S_ISREG(found.st_mode):
        return f"is {kind(found.st_mode)}, not a regular file"
    if owners is not None and found.st_uid not in owners:
        return f"belongs to uid {found.st_uid}"
    if single and found.st_nlink != 1:
        return f"has {found.st_nlink} names"
    return OF_THE_PROGRAM if of_the_program(found) else ""


def open_owned(path: str) -> int:
    """A descriptor of root's own file that lies in somebody else's directory: no link leads to it, it has one name."""
    flags = os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC
    *above, name = [part for part in path.split("/") if part not in ("", ".")]
    folder = os.open("/", flags)
    try:
        for part in above:
            below = os.open(part, flags, dir_fd=folder)
            os.close(folder)
            folder = below
        handle = os.open(name, OPEN, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):  # a link
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path) from error
        raise
    finally:
        os.close(folder)
    found = os.fstat(handle)
    if found.st_uid == 0 and found.st_nlink == 1 and stat.S_ISREG(found.st_mode):
        return handle
    os.close(handle)
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)


def quietly(path: str, flags: int, folder: int | None = None) -> int:
    """os.open with ``flags``; the time of access stays, because shells and mail readers go by it."""
    try:
        return os.open(path, flags | getattr(os, "O_NOATIME", 0), dir_fd=folder)
    except PermissionError:  # only the owner of a file, and root, may ask for that
        return os.open(path, flags, dir_fd=folder)


def of_the_program(found: os.stat_result) -> bool:
    """Whether this is a file of procfs, opened for somebody else: there this process shows him what is root's."""
    return os.geteuid() != os.getuid() and file_system(found.st_dev) == "proc"


@lru_cache(maxsize=64)
def file_system(device: int) -> str:
    """The type of a file system, empty where it is not known. By the mounts: each instance of procfs has a device of
    its own (proc(5))."""
    number = f"{os.major(device)}:{os.minor(device)}"
    return next((mount.kind for mount in mounts() if mount.device == number), "")


def kind(mode: int) -> str:
    """What a file is, in words."""
    kinds = {
        stat.S_IFDIR: "a directory",
        stat.S_IFIFO: "a FIFO",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
        stat.S_IFLNK: "a link",
    }
    return kinds.get(stat.S_IFMT(mode), "a file")


def read_up_to(handle: int, limit: int) -> bytes:
    """At most ``limit`` octets from where the descriptor stands."""
    pieces, left = [], limit
    while left > 0:
        piece = os.read(handle, min(left, PIECE))
        if not piece:
            break
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def call(
    rights: Rights | None,
    work: Callable[[], bytes],
    *,
    seconds: float = SECONDS,
    limit: int = LIMIT,
    memory: int | None = None,
) -> bytes:
    """What ``work`` returns, done by a child process with ``rights``; it is killed after ``seconds``.

    It may take so many octets of ``memory`` more than this process has. Raises what ``work`` raises of OSError and
    RefusedError, and RefusedError where it says more than ``limit`` octets, has not ended in time, or has no memory.
    Without root's rights the child has those of this process.
    """
    out, into = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if not child:
        _be_child(rights, partial(_within, memory, work), into)
    os.close(into)
    try:
        said = _hear(out, time.monotonic() + seconds, limit + 1)
    finally:
        os.close(out)
        end(child)
    if said is None:
        raise UnseenError(f"did not answer within {seconds:g} s")
    kind_of, data = said[:1], said[1:]
    if kind_of == DONE and len(data) <= limit:
        return data
    if kind_of in (REFUSED, UNSEEN):
        raise (RefusedError if kind_of == REFUSED else UnseenError)(data.decode("utf-8", "surrogateescape"))
    if kind_of == FAILED:
        raise OSError(*json.loads(data))
    raise UnseenError("is more than can be read" if kind_of == DONE else "cannot be read: the reader ended")


def _within(memory: int | None, work: Callable[[], bytes]) -> bytes:
    """What ``work`` returns, with so many octets of memory more than there are now."""
    if memory is None:
        return work()
    with open("/proc/self/statm", "rb") as file:
        most = int(file.read().split()[0]) * resource.getpagesize() + memory
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (most if hard < 0 else min(most, hard), hard))
    try:
        return work()
    except MemoryError:
        raise RefusedError(f"needs more than {memory} octets of memory") from None


def _be_child(rights: Rights | None, work: Callable[[], bytes], into: int) -> NoReturn:
    """The child's whole life. Its real uid stays root's: nobody whose rights it takes may signal or trace it."""
    try:
        try:
            be_alone(into)
            if rights and os.geteuid() == 0:
                take(rights)
            said = DONE + work()
        except RefusedError as error:
            said = (UNSEEN if isinstance(error, UnseenError) else REFUSED) + str(error).encode(
                "utf-8", "surrogateescape"
            )
        except OSError as error:
            said = FAILED + json.dumps([error.errno, error.strerror, error.filename]).encode()
        view = memoryview(said)
        while view:
            view = view[os.write(into, view) :]
        os.close(into)  # a thread that hangs in the kernel would keep it open
    finally:
        os._exit(0)


def take(rights: Rights) -> None:
    """Have ``rights`` in this process, which is root's; the real uid stays root's, so that it can take others later."""
    os.seteuid(0)
    os.setgroups(rights.groups)
    os.setegid(rights.gid)
    os.seteuid(rights.uid)


def be_alone(*kept: int) -> None:
    """Let go of all that the parent has, but for the descriptors that are ``kept``.

    A child that hangs outlives its parent, and nobody may wait for its output, nor for what else it has open. And by
    /proc/self whoever's rights it takes gets at its descriptors, and at the directory where it stands.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    os.chdir("/")
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc/self/fd"):
            if int(name) > 2 and int(name) not in kept:
                with contextlib.suppress(OSError):
                    os.close(int(name))


def end(child: int) -> None:
    """Kill a child, and wait a moment until it has ended: not even SIGKILL ends a process that waits for FUSE."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    try:
        handle = os.pidfd_open(child)
    except (AttributeError, OSError):  # a Python or a kernel without pidfd_open(2)
        os.waitpid(child, 0)
        return
    try:
        if select.select([handle], [], [], ENDING)[0]:
            os.waitpid(child, 0)
    finally:
        os.close(handle)


def _hear(out: int, until: float, limit: int) -> bytes | None:
    """All that a child says; None where it has not ended by then. More than ``limit`` octets are not taken."""
    pieces, size = [], 0
    while size <= limit:
        left = until - time.monotonic()
        if left <= 0 or not select.select([out], [], [], left)[0]:
            return None
        piece = os.read(out, PIECE)
        if not piece:
            break
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)
