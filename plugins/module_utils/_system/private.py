# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories that nobody else can enter, in the directory of state, for as long as something is checked or compiled.

A program that is killed leaves its own one behind. The next change removes it: ``sweep``. One that a living process
uses, as a run in check mode does beside a change, is locked (flock(2)): that lock ends with its process.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
import tempfile
from typing import TYPE_CHECKING

from .inside import FOLDER
from .names import listed, remove

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "stage-"  # what the names of these directories begin with
FORM = re.compile(re.escape(PREFIX) + "[a-z0-9_]{8}")  # and what tempfile.mkdtemp adds


@contextlib.contextmanager
def private_folder(state: str) -> Iterator[str]:
    """A directory of mode 0700 below ``state``, or that of temporary files where ``state`` is not there yet. It is
    removed at the end."""
    while True:
        folder = tempfile.mkdtemp(prefix=PREFIX, dir=state if os.path.isdir(state) else None)
        with _opened(folder) as handle:
            if handle is None or not _locked(handle, folder):
                continue  # it was swept away before it was locked
            try:
                yield folder
            finally:
                remove(folder)
            return


def sweep(state: str) -> None:
    """Remove what was interrupted. Only who holds the lock of the host may do so."""
    for name in listed(state):
        path = os.path.join(state, name)
        if FORM.fullmatch(name):
            with _opened(path) as handle:
                if handle is not None and _is_own(handle) and _locked(handle, path, fcntl.LOCK_NB):
                    remove(path)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[int | None]:
    """A descriptor of a directory; None where there is none."""
    handle = None
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        handle = os.open(path, FOLDER)
    try:
        yield handle
    finally:
        if handle is not None:
            os.close(handle)


def _is_own(handle: int) -> bool:
    """Whether a directory is as ``private_folder`` makes it."""
    found = os.fstat(handle)
    return found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IRWXG | stat.S_IRWXO)


def _locked(handle: int, path: str, how: int = 0) -> bool:
    """Lock a directory; whether that was done, and it still has its name."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | how)
        return os.path.samestat(os.fstat(handle), os.lstat(path))
    except (BlockingIOError, FileNotFoundError):
        return False
