# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who has mounted what is at a path. A file system of FUSE says of its files what its mounter wants: that they are
root's, too. So all of it is the mounter's here (mount.fuse3(8), user_id)."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from .walk import lstat

if TYPE_CHECKING:
    from collections.abc import Iterable

MOUNTS = "/proc/self/mountinfo"
NOBODY = 65534  # an account and a group that own nothing
MOUNT_ID = re.compile(r"^mnt_id:\s*([0-9]+)$", re.MULTILINE)
USER_ID = re.compile(r"\buser_id=([0-9]+)\b")


def seen(path: str) -> os.stat_result | None:
    """What is there, a link as itself, and as its owner who has mounted it, if that is not root; None for nothing.

    Raises OSError where it cannot be looked at.
    """
    found = lstat(path)
    return _held(path) if found and found.st_dev != os.lstat("/").st_dev else found


def _held(path: str) -> os.stat_result:
    """The same of what is mounted there now, and not of what was a moment ago."""
    handle = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(handle)
        with open(f"/proc/self/fdinfo/{handle}", encoding="ascii") as file:
            number = MOUNT_ID.search(file.read())
        with open(MOUNTS, encoding="utf-8", errors="surrogateescape") as file:
            uid = mounter(number[1] if number else "", file)
    finally:
        os.close(handle)
    return os.stat_result((*found[:4], uid, *found[5:10])) if uid else found


def mounter(number: str, mounts: Iterable[str]) -> int:
    """The uid of who has mounted the mount with this number, by mountinfo (proc(5)); nobody's if it has gone."""
    for line in mounts:
        fields, _dash, rest = line.partition(" - ")
        if fields.split(" ", 1)[0] == number:
            kind, _source, options = rest.split(" ", 2)
            by = USER_ID.search(options) if kind.startswith("fuse") else None
            return int(by[1]) if by else 0
    return NOBODY
