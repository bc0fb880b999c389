# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files on the disk of the host: read as images, and put in place whole.

Beside a file in a transaction are, for as long as it lasts, a copy of what was there before, and the new one until it
is put in place: all that needs room on the disk is done before anything is changed, and the way back is a rename.
Every mode is said: nothing depends on the umask of whoever runs this. ``obstacles.py`` says beforehand what cannot be
replaced, and where others could lead the path elsewhere. ``beside.py`` has the names of the two, and what becomes of
other things that stand there.
"""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import pwd
import shutil
import stat
import time
from typing import TYPE_CHECKING, Any, BinaryIO

from ..errors import UserError
from . import beside, contested
from .access_list import take_list
from .beside import before_of, clear, make_way, move_aside, next_of
from .image import READABLE, Change, Image
from .lease import open_free
from .reader import kind
from .remarks import remarked
from .trust import way

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

FOLDER_MODE = 0o755  # of a directory that a file needs
LARGEST = 1 << 29  # octets of a file: it is read whole, and is kept in the journal
RACES = 5  # that a rollback may lose against whoever puts things in its way, before it is a contest: contested.py
LOST = (errno.EEXIST, errno.EINVAL, errno.EISDIR, errno.ENOENT, errno.ENOTDIR, errno.ENOTEMPTY)  # what it then gets
UNREADABLE = (errno.EFBIG, errno.EINVAL, errno.EWOULDBLOCK)  # what ``_there`` says of what it does not read
OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY  # waits for nobody, where it is a FIFO


def read_image(path: str, wait: bool = True) -> Image | None:
    """The file as it is, links followed; None where there is none. Raises OSError where it is no regular file.

    ``wait``: whether to wait where another program holds a lease on it; see ``lease.py``.
    """
    with _there(path, wait) as handle:
        return None if handle is None else _image(handle)


@contextlib.contextmanager
def _there(path: str, wait: bool = True, *, through: bool = True) -> Iterator[int | None]:
    """A descriptor of the regular file at the end of a path; see ``trust.py`` for what is followed."""
    target, doubt, loose = way(path, through=through)
    try:
        handle = open_free(target, OPEN | os.O_NOFOLLOW, wait)
    except FileNotFoundError:
        yield None
        return
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.ELOOP):
            raise OSError(errno.EINVAL, "is a socket, a device or a link, not a regular file", path) from error
        raise
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, f"is {kind(found.st_mode)}, not a regular file", path)
        if doubt:
            raise OSError(errno.EINVAL, f"is not safe to read: {doubt}", path)
        if loose and found.st_nlink != 1:
            raise OSError(errno.EINVAL, f"has {found.st_nlink} names, and its directory belongs to another", path)
        if found.st_size > LARGEST:
            raise OSError(errno.EFBIG, f"is larger than {LARGEST} octets", path)
        yield handle
    finally:
        os.close(handle)


def give_to_root(path: str) -> None:
    """Make a file root's own. Raises OSError where others could have led the path to it; see ``trust.py``."""
    with _there(path) as handle:
        if handle is not None:
            os.fchown(handle, 0, 0)


def freshen(path: str, source: str) -> None:
    """Give what was compiled from a source the time of now, and to the source, too, where its own is a time to come.

    So Postfix, Sendmail and make(1) do not find it older than its source. Raises OSError as ``give_to_root`` does.
    """
    with _there(source) as text, _there(path) as made:
        now = time.time_ns()
        if text is not None and os.fstat(text).st_mtime_ns > now:
            os.utime(text, ns=(now, now))
        if made is not None:
            os.utime(made, ns=(now, now))


def _image(handle: int) -> Image:
    found = os.fstat(handle)
    with open(handle, "rb", closefd=False) as file:
        return Image(file.read(found.st_size), found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode))


def size(path: str) -> int:
    """The octets of a file; 0 where there is none."""
    with contextlib.suppress(FileNotFoundError):
        return os.stat(path).st_size
    return 0


def real(path: str) -> str:
    """Where a path leads. A link that somebody else can put there is not followed: it is what is replaced."""
    return way(path).target


def _end(path: str) -> str:
    """Where a path leads that had no link at its end when it was noted: one that is there now is not followed."""
    return way(path, through=False).target


def write_image(path: str, image: Image) -> None:
    """Put a file in place whole: written beside, flushed to disk, renamed. A link is kept and its target written."""
    put_file(real(path), image)


def put_file(target: str, image: Image) -> None:
    """The same, but in the place of a link, and not of what it leads to."""
    _prepare(target, image)
    _put(target)


def put_link(target: str, to: str) -> None:
    """Put a link in place, of whatever is there but a directory."""
    clear(next_of(target))
    os.symlink(to, next_of(target))
    _put(target)


def write_copy(made: str, path: str, source: Image, mode: int | None = None) -> None:
    """Put what a program has made of ``source`` in place, as ``write_image`` does, and never as a whole in memory.

    Owner and ``mode`` are those of what it replaces. Where there is nothing, whoever may read both the source and what
    the program has made may read it: Sendmail's own tables are for fewer than their texts.
    """
    target = real(path)
    with _there(made) as handle, _new(next_of(target)) as file:
        if handle is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), made)
        uid, gid, kept = source.uid, source.gid, source.mode & READABLE & os.fstat(handle).st_mode
        with _there(target, through=False) as old:
            if old is not None:
                found = os.fstat(old)
                uid, gid, kept = found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)
                copy_attributes(old, file.fileno())
        os.fchown(file.fileno(), uid, gid)
        os.fchmod(file.fileno(), kept if mode is None else mode)
        with open(handle, "rb", closefd=False) as content:
            shutil.copyfileobj(content, file)
    _put(target)


def change_line(path: str, changed: Callable[[bytes], tuple[int, bytes]]) -> None:
    """Change octets of the first line of a file of root's own in their place, for which a full disk has room.

    ``changed`` gets the line, and returns where the octets begin and what they become.
    """
    with open(path, "r+b") as file:
        at, octets = changed(file.readline())
        file.seek(at)
        file.write(octets)
        file.flush()
        os.fsync(file.fileno())


def prepare(changes: Iterable[Change]) -> None:
    """Write what is wanted beside what is there. That is kept beside, too, until ``restore`` or ``forget``."""
    wanted = _wanted(changes)
    for target in wanted:
        make_folder(os.path.dirname(target))
        keep(target)
    for target, change in wanted.items():
        _prepare(target, change.after, listed=not change.secret)


def swap(changes: Iterable[Change]) -> None:
    """Put what was prepared in place."""
    for target in _wanted(changes):
        _put(target)


def _wanted(changes: Iterable[Change]) -> dict[str, Change]:
    return {real(change.path): change for change in changes if change.changed}


def keep(path: str) -> None:
    """Keep a copy of a file beside it, where there is one."""
    target = real(path)
    with _there(target, through=False) as handle:
        if handle is None:
            return
        image, found = _image(handle), os.fstat(handle)
        with _new(next_of(target)) as file:
            file.write(image.content)
            file.flush()  # before the time of the file is set to what it was
            os.fchown(file.fileno(), image.uid, image.gid)
            copy_attributes(handle, file.fileno())
            os.fchmod(file.fileno(), image.mode)
            os.utime(file.fileno(), ns=(found.st_atime_ns, found.st_mtime_ns))
    make_way(before_of(target))
    os.rename(next_of(target), before_of(target))
    sync_folder(os.path.dirname(target))


def copy_attributes(source: int, target: int | str) -> None:
    """Copy the extended attributes, as far as the file system takes them."""
    with contextlib.suppress(OSError):
        for name in os.listxattr(source):
            with contextlib.suppress(OSError):
                os.setxattr(target, name, os.getxattr(source, name))


def restore(path: str, image: Image | None) -> None:
    """Bring a file back to what it was, which may be: not there. Nothing is written where that is so already.

    What cannot be read in its place is moved aside, a link, too. It waits for nobody: see ``lease.py``.
    """
    target = _end(path)
    for _race in range(RACES):
        try:
            _bring_back(target, image)
            break
        except OSError as error:
            if error.errno not in LOST:
                raise
    else:
        contested.put(target, image)
    with contextlib.suppress(FileNotFoundError):
        sync_folder(os.path.dirname(target))
    beside.forget(target)


def _bring_back(target: str, image: Image | None) -> None:
    try:
        with _there(target, wait=False, through=False):
            pass
    except OSError as error:
        if error.errno not in UNREADABLE:
            raise
        move_aside(target, error.strerror or str(error))
    if not image:
        if os.path.lexists(target):  # a disk that is read-only refuses to remove what is not there, too
            with contextlib.suppress(FileNotFoundError):
                os.unlink(target)
    elif not _is(target, image):
        if _is(before_of(target), image):
            os.replace(before_of(target), target)
        else:
            put_file(target, image)


def _is(path: str, image: Image) -> bool:
    """Whether there is such a file. Whatever is as long is read, and nothing else."""
    try:
        with _there(path, wait=False, through=False) as handle:
            return handle is not None and os.fstat(handle).st_size == len(image.content) and _image(handle) == image
    except OSError as error:
        if error.errno not in UNREADABLE:
            raise
        return False


def forget(path: str, tell: bool = True) -> None:
    """Remove what is kept beside a file; see ``beside.py``."""
    with remarked(f"what is beside {path} could not be removed"):
        beside.forget(_end(path), tell)


def make_folder(path: str, mode: int = FOLDER_MODE) -> None:
    """Make a directory with this mode, and those above it that are missing; one that is there stays as it is."""
    if os.path.isdir(path):
        return
    make_folder(os.path.dirname(path))
    before = os.umask(0)  # so that it has its mode from its first moment on
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, mode)
    finally:
        os.umask(before)
    sync_folder(os.path.dirname(path))


def sync_folder(folder: str) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def change(file: Mapping[str, Any]) -> Change:
    """One entry of ``files`` against what is there; owners are names or numbers, the mode is octal."""
    wanted = Image(
        file["content"].encode("utf-8", "surrogateescape"),
        _number(file["owner"], lambda name: pwd.getpwnam(name).pw_uid, "owner"),
        _number(file["group"], lambda name: grp.getgrnam(name).gr_gid, "group"),
        int(file["mode"], 8),
    )
    return Change(file["path"], read_image(file["path"]), wanted, file.get("secret", False))


@contextlib.contextmanager
def _new(path: str) -> Iterator[BinaryIO]:
    """A new file, with nothing of what an interrupted change has left there; on disk at the end, gone if that fails."""
    clear(path)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(path)
        raise


def _prepare(target: str, image: Image, *, listed: bool = True) -> None:
    """Write the new file beside the old one, with the old one's extended attributes.

    It has its owner and mode before it has a content: what was for all to read may be a secret now. Such a file is not
    ``listed``: it has no access list, neither that of the old one nor one that its directory gives.
    """
    with _new(next_of(target)) as file:
        with contextlib.suppress(OSError), _there(target, through=False) as handle:  # what is no file has none
            if handle is not None:
                copy_attributes(handle, file.fileno())
        if not listed:
            take_list(file.fileno())
        os.fchown(file.fileno(), image.uid, image.gid)
        os.fchmod(file.fileno(), image.mode)
        file.write(image.content)


def _put(target: str) -> None:
    try:
        os.rename(next_of(target), target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(next_of(target))
        raise
    sync_folder(os.path.dirname(target))


def _number(name: str, look_up: Callable[[str], int], kind: str) -> int:
    try:
        return int(name) if name.isdigit() else look_up(name)
    except KeyError:
        raise UserError(f"{kind}: there is no {kind} {name!r} on this host") from None
