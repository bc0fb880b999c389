# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files on the disk of the host: read as images, and put in place whole."""

from __future__ import annotations

import contextlib
import fcntl
import grp
import os
import pwd
import stat
import tempfile
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from .plan import Change, Image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


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
    folder = os.path.dirname(target)
    handle, temporary = tempfile.mkstemp(prefix=".transaction-", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(image.content)
            os.fchown(file.fileno(), image.uid, image.gid)
            os.fchmod(file.fileno(), image.mode)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise
    sync_folder(folder)


def restore(path: str, image: Image | None) -> None:
    """Bring a file back to what it was, which may be: not there."""
    if image:
        write_image(path, image)
    else:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
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
    return Change(file["path"], read_image(file["path"]), wanted)


@contextlib.contextmanager
def lock(path: str) -> Iterator[None]:
    """The one lock of the host; held until the end, and never waited for."""
    with open(path, "a", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"another transaction is under way on this host (it holds {path}); try again") from None
        yield


def _number(name: str, look_up: Callable[[str], int], kind: str) -> int:
    try:
        return int(name) if name.isdigit() else look_up(name)
    except KeyError:
        raise UserError(f"{kind}: there is no {kind} {name!r} on this host") from None
