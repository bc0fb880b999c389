# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is mounted in the name space of this process, as the kernel says it: proc(5), mountinfo."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

MOUNTS = "/proc/self/mountinfo"


class Mount(NamedTuple):
    """A mount: its ``number``, the ``device`` (MAJOR:MINOR), the ``place``, the ``kind`` of the file system, and the
    ``options`` of that."""

    number: str
    device: str
    place: str
    kind: str
    options: str


def mounts() -> Iterator[Mount]:
    """All there are, the first ones first; raises OSError where the kernel does not say."""
    with open(MOUNTS, encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            # optional fields, any number of them, end with a dash
            fields, _dash, rest = line.rstrip("\n").partition(" - ")
            number, _parent, device, _root, place, *_more = fields.split(" ")
            kind, _source, options = rest.split(" ", 2)
            yield Mount(number, device, _unescaped(place), kind, options)


def mount_points() -> frozenset[str]:
    """Where something is mounted; none where the kernel does not say."""
    return frozenset(mount.place for mount in _known())


def kind_of(path: str) -> str:
    """The type of the file system that a path without links is on, or will be on; empty where that is not known."""
    found = ("", "")
    for mount in _known():
        place = mount.place
        # of two with the same place, the later one covers the other
        if len(place) >= len(found[0]) and (path == place or path.startswith(place.rstrip("/") + "/")):
            found = (place, mount.kind)
    return found[1]


def _known() -> Iterator[Mount]:
    with contextlib.suppress(OSError):
        yield from mounts()


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)
