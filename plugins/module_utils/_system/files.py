# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files on the disk of the host: read as images, and put in place whole.

Beside a file in a transaction are, for as long as it lasts, a copy of what was there before, and the new one until it
is put in place: all that needs room on the disk is done before anything is changed, and the way back is a rename.
"""

from __future__ import annotations

import contextlib
import fcntl
import grp
import os
import pwd
import shutil
import stat
from typing import TYPE_CHECKING, Any, BinaryIO

from ..errors import UserError
from .image import Change, Image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping


def read_image(path: str) -> Image | None:
    """The file as it is, links followed; None where there is none."""
    try:
        with open(path, "rb") as file:
            found = os.fstat(file.fileno())
            return Image(file.read(), found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode))
    except FileNotFoundError:
        return None


def write_image(path: str, image: Image) -> None:
    """Put a file in place whole: written beside, flushed to disk, renamed. A link is kept and its target written."""
    target = os.path.realpath(path)
    _prepare(target, image)
    _put(target)


def prepare(changes: Iterable[Change]) -> None:
    """Write what is wanted beside what is there. That is kept beside, too, until ``restore`` or ``forget``."""
    wanted = _wanted(changes)
    for target in wanted:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        keep(target)
    for target, image in wanted.items():
        _prepare(target, image)


def swap(changes: Iterable[Change]) -> None:
    """Put what was prepared in place."""
    for target in _wanted(changes):
        _put(target)


def _wanted(changes: Iterable[Change]) -> dict[str, Image]:
    return {os.path.realpath(change.path): change.after for change in changes if change.changed}


def keep(path: str) -> None:
    """Keep a copy of a file beside it, where there is one."""
    target = os.path.realpath(path)
    image = read_image(target)
    if image:
        with _new(_next(target)) as file:
            file.write(image.content)
            file.flush()  # before the time of the file is set to what it was
            os.fchown(file.fileno(), image.uid, image.gid)
            shutil.copystat(target, _next(target))
        os.rename(_next(target), _before(target))
        sync_folder(os.path.dirname(target))


def restore(path: str, image: Image | None) -> None:
    """Bring a file back to what it was, which may be: not there. Nothing is written where that is so already."""
    target = os.path.realpath(path)
    if image and read_image(target) != image:
        if read_image(_before(target)) == image:
            os.replace(_before(target), target)
        else:
            write_image(target, image)
    if not image and os.path.lexists(target):
        os.unlink(target)
    with contextlib.suppress(FileNotFoundError):
        sync_folder(os.path.dirname(target))
    forget(target)


def forget(path: str) -> None:
    """Remove what is kept beside a file."""
    target = os.path.realpath(path)
    for beside in (_before(target), _next(target)):
        if os.path.lexists(beside):
            os.unlink(beside)


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
def lock(path: str, wait: bool = False) -> Iterator[None]:
    """A lock on a file, or on a directory; held until the end. Who does not ``wait`` for it is refused."""
    handle = os.open(path, os.O_RDONLY if os.path.isdir(path) else os.O_RDONLY | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise UserError(f"another transaction is under way on this host (it holds {path}); try again") from None
    finally:
        os.close(handle)


def _before(target: str) -> str:
    return os.path.join(os.path.dirname(target), f".{os.path.basename(target)}.before")


def _next(target: str) -> str:
    return os.path.join(os.path.dirname(target), f".{os.path.basename(target)}.next")


@contextlib.contextmanager
def _new(path: str) -> Iterator[BinaryIO]:
    """A file that is written from its beginning, and on disk at the end; gone where that fails."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(path)
        raise


def _prepare(target: str, image: Image) -> None:
    """Write the new file beside the old one, with the old one's extended attributes.

    It has its owner and mode before it has a content: what was for all to read may be a secret now.
    """
    with _new(_next(target)) as file:
        with contextlib.suppress(FileNotFoundError):
            shutil.copystat(target, _next(target))
            os.utime(_next(target))
        os.fchown(file.fileno(), image.uid, image.gid)
        os.fchmod(file.fileno(), image.mode)
        file.write(image.content)


def _put(target: str) -> None:
    try:
        os.rename(_next(target), target)
    except BaseException:
        os.unlink(_next(target))
        raise
    sync_folder(os.path.dirname(target))


def _number(name: str, look_up: Callable[[str], int], kind: str) -> int:
    try:
        return int(name) if name.isdigit() else look_up(name)
    except KeyError:
        raise UserError(f"{kind}: there is no {kind} {name!r} on this host") from None
