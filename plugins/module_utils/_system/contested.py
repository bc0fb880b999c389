# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file that comes back to a directory whose owner works against that, as fast as he can.

The new file is written in a directory that he cannot enter. It is known by its descriptor, so that he may rename it.
Only the last step is in his reach, and that is a rename of some microseconds. What he puts in its way goes into the
same directory, which stays if anything is in it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import time
from typing import TYPE_CHECKING

from .beside import ASIDE
from .inside import FOLDER
from .remarks import remark

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .image import Image

CONTEST = 10.0  # seconds in which the last step is tried
NEW = "new"  # the name of the new file in the directory that nobody else can enter
TAKEN = (errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY)  # something is in its place


def put(target: str, image: Image | None) -> None:
    """Put a file in place, whatever is there, or take away what is there; raises OSError."""
    path, name = os.path.split(target)
    folder = os.open(path, FOLDER)
    try:
        with _apart(folder, path) as apart:
            if image:
                _write(apart, image)
            end, number = time.monotonic() + CONTEST, 0
            while not (image and _placed(apart, folder, name, time.monotonic() > end)):
                number += 1
                with contextlib.suppress(FileNotFoundError):
                    os.rename(name, str(number), src_dir_fd=folder, dst_dir_fd=apart)
                if not image:
                    break
        os.fsync(folder)
    finally:
        os.close(folder)


@contextlib.contextmanager
def _apart(folder: int, path: str) -> Iterator[int]:
    """A descriptor of a new directory, which only this account can enter; it goes at the end if nothing is in it."""
    name = ASIDE + secrets.token_hex(8)
    os.mkdir(name, 0o700, dir_fd=folder)
    apart = os.open(name, FOLDER, dir_fd=folder)
    try:
        found = os.fstat(apart)
        if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & ~0o700:
            raise OSError(errno.EPERM, "was exchanged by the owner of its directory", os.path.join(path, name))
        yield apart
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(NEW, dir_fd=apart)
        if os.listdir(apart):
            remark(f"what was in the way of a file in {path} was moved to {os.path.join(path, name)}; look who made it")
        os.close(apart)
        with contextlib.suppress(OSError):  # it is not empty, or has another name now
            os.rmdir(name, dir_fd=folder)


def _write(apart: int, image: Image) -> None:
    """Write the new file, on disk and whole, with its owner and mode before it has a content."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(NEW, flags, 0o600, dir_fd=apart), "wb") as file:
        os.fchown(file.fileno(), image.uid, image.gid)
        os.fchmod(file.fileno(), image.mode)
        file.write(image.content)
        file.flush()
        os.fsync(file.fileno())


def _placed(apart: int, folder: int, name: str, last: bool) -> bool:
    """Try the last step; whether it was done. Raises OSError where this was the ``last`` try, or it cannot be done."""
    try:
        os.rename(NEW, name, src_dir_fd=apart, dst_dir_fd=folder)
    except OSError as error:
        if last or error.errno not in TAKEN:
            raise
        return False
    return True
