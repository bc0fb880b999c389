# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way along a path, name by name. Whoever goes it says which links are followed (path_resolution(7))."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from .mounter import held

if TYPE_CHECKING:
    from collections.abc import Iterator

LINKS = 40  # that are followed, as the kernel does


class Walk:
    """Yields each place on an absolute path, and what is there: None where nothing is, or can be.

    ``folder`` is the directory of that place. ``here`` is where the path leads, as far as it was gone.
    """

    def __init__(self, path: str) -> None:
        self.here = self.folder = "/"
        self._rest = names(path)[::-1]
        self._links = 0

    def __iter__(self) -> Iterator[tuple[str, os.stat_result | None]]:
        while self._rest:
            name = self._rest.pop()
            if name == "..":
                self.here = os.path.dirname(self.here)
                continue
            self.folder, self.here = self.here, os.path.join(self.here, name)
            yield self.here, seen(self.here)

    @property
    def last(self) -> bool:
        """Whether there is no name left."""
        return not self._rest

    def follow(self, target: str) -> None:
        """Go on where the link leads that was yielded last. Raises OSError where links go round in a circle."""
        self._links += 1
        if self._links > LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), self.here)
        self.here = "/" if os.path.isabs(target) else self.folder
        self._rest += names(target)[::-1]


def names(path: str) -> list[str]:
    """The names of a path, the first one first."""
    return [name for name in path.split("/") if name not in ("", ".")]


def seen(path: str) -> os.stat_result | None:
    """What is there, a link as itself, and all that a user has mounted as the user's (mounter.py); None for nothing.

    Raises OSError where it cannot be looked at.
    """
    found = lstat(path)
    try:
        return found and held(path, found)
    except FileNotFoundError:  # it has gone meanwhile
        return None


def lstat(path: str) -> os.stat_result | None:
    """What is there, a link as itself; None where nothing is, or can be."""
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return None
        raise
