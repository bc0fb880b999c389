# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is mounted in the name space of this process, as the kernel says it: proc(5), mountinfo."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MOUNTS = "/proc/self/mountinfo"


def mount_points() -> frozenset[str]:
    """Where something is mounted; none where the kernel does not say."""
    return frozenset(place for place, _kind in _mounts())


def kind_of(path: str) -> str:
    """The type of the file system that a path without links is on, or will be on; empty where that is not known."""
    found = ("", "")
    for place, kind in _mounts():
        # of two with the same place, the later one covers the other
        if len(place) >= len(found[0]) and (path == place or path.startswith(place.rstrip("/") + "/")):
            found = (place, kind)
    return found[1]


def _mounts() -> Iterator[tuple[str, str]]:
    """Each mount point, and the type of its file system."""
    try:
        with open(MOUNTS, encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                # optional fields, any number of them, end with a dash
                fields, _dash, rest = line.partition(" - ")
                yield _unescaped(fields.split(" ")[4]), rest.split(" ")[0]
    except OSError:
        return


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)
