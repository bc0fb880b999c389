# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who has mounted what is at a path. A file system of FUSE says of its files what its mounter wants: that they are
root's, too. So all of it is the mounter's here (mount.fuse3(8), user_id)."""

from __future__ import annotations

import os
import re

from .mounts import mounts

NOBODY = 65534  # an account and a group that own nothing
MOUNT_ID = re.compile(r"^mnt_id:\s*([0-9]+)$", re.MULTILINE)
USER_ID = re.compile(r"\buser_id=([0-9]+)\b")


def held(path: str, found: os.stat_result) -> os.stat_result:
    """What was ``found`` at a path, as its owner who has mounted it, if that is not root.

    Raises OSError where it cannot be looked at.
    """
    return _on_its_mount(path) if found.st_dev != os.lstat("/").st_dev else found


def _on_its_mount(path: str) -> os.stat_result:
    """The same of what is mounted there now, and not of what was a moment ago."""
    handle = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(handle)
        with open(f"/proc/self/fdinfo/{handle}", encoding="ascii") as file:
            number = MOUNT_ID.search(file.read())
        uid = mounter(number[1] if number else "")
    finally:
        os.close(handle)
    return os.stat_result((*found[:4], uid, *found[5:10])) if uid else found


def mounter(number: str) -> int:
    """The uid of who has mounted the mount with this number (proc(5), mountinfo); nobody's if it has gone."""
    for mount in mounts():
        if mount.number == number:
            by = USER_ID.search(mount.options) if mount.kind.startswith("fuse") else None
            return int(by[1]) if by else 0
    return NOBODY
