# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""With whose rights root may read a path: those of the first account on the way that can exchange what lies below it.

Root's own files lie in directories that root alone can write. Whoever owns a directory on the way, or may write to it,
can put a link to any file there; what that account may not read itself is then not read for it either.
"""

from __future__ import annotations

import os
import pwd
import stat

from .reader import Rights
from .walk import Walk

NOBODY = 65534
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def rights_on(path: str) -> Rights | None:
    """The rights to read ``path`` with; None where nobody but root has a say, or where there is nothing.

    Who is not root has no rights to lend, and reads with its own.
    """
    if os.geteuid():
        return None
    walk = Walk(os.path.join(os.getcwd(), path))
    if held := _held(os.lstat("/")):
        return held
    try:
        for place, found in walk:
            if not found:  # what is not there is nobody's
                return None
            if found.st_uid == 0 and stat.S_ISLNK(found.st_mode):
                walk.follow(os.readlink(place))
            elif held := _held(found):
                return held
    except (OSError, ValueError):  # links in a circle, or a name that no file can have
        return None
    return None


def _held(found: os.stat_result) -> Rights | None:
    """The rights of who else than root can exchange a file, or what is in a directory."""
    if found.st_uid:
        return _of(found.st_uid)
    open_to = found.st_mode & OTHERS_WRITE
    if not stat.S_ISDIR(found.st_mode) or not open_to or found.st_mode & stat.S_ISVTX:
        return None  # a file's content is its writers' own; in a sticky directory each entry is its owner's
    if found.st_gid == 0 and not open_to & stat.S_IWOTH:
        return None
    return Rights(NOBODY, NOBODY if open_to & stat.S_IWOTH else found.st_gid)


def _of(uid: int) -> Rights:
    try:
        found = pwd.getpwuid(uid)
    except KeyError:
        return Rights(uid, NOBODY)
    return Rights(uid, found.pw_gid, tuple(os.getgrouplist(found.pw_name, found.pw_gid)))
