# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""With whose rights root may read a path: those of the first account on the way that can exchange what lies below it.

Root's own files lie in directories that root alone can write. Whoever owns a directory on the way, or may write to it,
can put a link to any file there; what that account may not read itself is then not read for it either. What is not
there yet in a directory that others may write to, be it a sticky one, any of them can put there.
"""

from __future__ import annotations

import os
import pwd
import stat

from .access_list import list_gives_writing
from .mounter import NOBODY
from .reader import Rights
from .walk import Walk, seen


def rights_on(path: str) -> Rights | None:
    """The rights to read ``path`` with; None where nobody but root has a say.

    Where that cannot be seen they are nobody's: root may not look at what a user has mounted (FUSE). Who is not root
    has no rights to lend, and reads with its own.
    """
    if os.geteuid():
        return None
    try:
        found = holder(path)
    except (OSError, ValueError):  # links in a circle, a name that no file can have, or what root may not look at
        return Rights(NOBODY, NOBODY)
    if found is None:
        return None
    return _of(found.st_uid) if found.st_uid else writer(found)


def holder(path: str) -> os.stat_result | None:
    """What on the way of a path is the first thing that somebody else than root can exchange: an entry of
    another account, or a directory of root's that others may write to. None where nobody but root has a say.

    Links of root's are followed, for nobody else can have made them. Raises OSError where they go round in a circle,
    and where something cannot be looked at.
    """
    walk, top = Walk(os.path.join(os.getcwd(), path)), os.lstat("/")
    if _is_held("/", top):
        return top
    for place, found in walk:
        if not found:
            folder = seen(walk.folder)
            return folder if folder and _is_open(walk.folder, folder) else None
        if found.st_uid == 0 and stat.S_ISLNK(found.st_mode):
            walk.follow(os.readlink(place))
        elif _is_held(place, found):
            return found
    return None


def writer(folder: os.stat_result) -> Rights:
    """The rights of who else may write to a directory of root's: nobody, in its group or not."""
    return Rights(NOBODY, NOBODY if folder.st_mode & stat.S_IWOTH else folder.st_gid or NOBODY)


def _is_held(place: str, found: os.stat_result) -> bool:
    """Whether somebody else than root can exchange a file, or what is in a directory. In a sticky one each entry is its
    owner's."""
    return bool(found.st_uid or (_is_open(place, found) and not found.st_mode & stat.S_ISVTX))


def _is_open(place: str, found: os.stat_result) -> bool:
    """Whether others may write to a directory; what is in a file is its writers' own."""
    if not stat.S_ISDIR(found.st_mode):
        return False
    by_group = found.st_mode & stat.S_IWGRP and found.st_gid
    return bool(by_group or found.st_mode & stat.S_IWOTH or list_gives_writing(place, found))


def _of(uid: int) -> Rights:
    try:
        found = pwd.getpwuid(uid)
    except KeyError:
        return Rights(uid, NOBODY)
    return Rights(uid, found.pw_gid, tuple(os.getgrouplist(found.pw_name, found.pw_gid)))
