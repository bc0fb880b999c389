# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in a directory that is open: by its descriptor and a name, so that whatever its owner does no other directory
is meant. No link is followed. The rights are those of this process."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

from .reader import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@contextlib.contextmanager
def folder_of(handle: int, folder: str) -> Iterator[int]:
    """A folder of a Maildir, as a descriptor. Raises FileNotFoundError, and RefusedError where it is no directory."""
    try:
        opened = os.open(folder, FOLDER, dir_fd=handle)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise RefusedError(f"has a {folder} that is a link or a file, not a directory") from error
        raise
    try:
        if os.fstat(handle).st_uid == 0 != os.fstat(opened).st_uid:
            raise RefusedError(f"belongs to root, and its {folder} to somebody else")
        yield opened
    finally:
        os.close(opened)


@contextlib.contextmanager
def entries(folder: int) -> Iterator[Iterator[os.DirEntry[str]]]:
    """What is in a directory, as it is listed."""
    with os.scandir(folder) as found:
        yield found


def seen_in(folder: int, name: str) -> os.stat_result:
    """What has this name, a link as itself; raises OSError."""
    return os.stat(name, dir_fd=folder, follow_symlinks=False)


def unlink_in(folder: int, name: str) -> None:
    """Remove a file; raises OSError."""
    os.unlink(name, dir_fd=folder)


def rename_in(folder: int, name: str, new: str) -> None:
    """Give whatever has this name another one; raises OSError."""
    os.rename(name, new, src_dir_fd=folder, dst_dir_fd=folder)


def set_times(handle: int, accessed: int, changed: int) -> None:
    """Set the times of a file that is open, in nanoseconds since the epoch."""
    os.utime(handle, ns=(accessed, changed))
