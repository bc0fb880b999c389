# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of Debian's package manager: the locks that keep others from the packages, and packages that are kept."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import os
import shutil
import time
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

CACHE = "/var/cache/apt/archives"
DPKG = "/var/lib/dpkg"
STATUS = f"{DPKG}/status"  # which packages are there
LOCKS = (f"{DPKG}/lock-frontend", f"{DPKG}/lock")
INTERVAL = 0.2  # seconds between two looks at a lock


def copy_cached(names: Collection[str], folder: str) -> None:
    """Copy to a directory what apt has kept of these packages."""
    for path in glob.glob(os.path.join(CACHE, "*.deb")):
        if os.path.basename(path).partition("_")[0] in names:
            shutil.copy2(path, folder)


def kept(folder: str, name: str, version: str) -> list[str]:
    """The files of a package in a directory."""
    return glob.glob(os.path.join(folder, f"{name}_{version.replace(':', '%3a')}_*.deb"))


@contextlib.contextmanager
def locked(seconds: float) -> Iterator[None]:
    """Wait until nobody else works on the packages: what an interrupted apt has started may still do.

    dpkg does not take the first of the locks itself when it is told so.
    """
    until = time.monotonic() + seconds
    with contextlib.ExitStack() as files:
        for path in reversed(LOCKS):
            file = files.enter_context(open(path, "a", encoding="ascii"))
            while not _lock(file):
                if time.monotonic() > until:
                    raise OSError(errno.EBUSY, "somebody else works on the packages", path)
                time.sleep(INTERVAL)
            if path != LOCKS[0]:
                fcntl.lockf(file, fcntl.LOCK_UN)
        yield


def _lock(file: IO[str]) -> bool:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
