# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose rights count at a path: there, root works with these rights and no others.

Only root can exchange what is in a directory of root's. So the path is followed from its beginning (``way.py``), and
the first directory that is not root's alone decides: whoever may change it decides what is found below.
"""

from __future__ import annotations

import os
import pwd

from .mounter import NOBODY
from .reader import Rights
from .way import holder, writer


def rights_at(path: str) -> Rights | None:
    """The rights of the account that may change what is at ``path``; None where only root may.

    Below a directory of root's in which a group, or everybody, may write, they are those of nobody in that group.
    Raises OSError where a directory cannot be looked at; what does not exist yet in a directory of root's alone is made
    by root, and so is root's.
    """
    found = holder(path)
    if found is None:
        return None
    return _login(found.st_uid, found.st_gid) if found.st_uid else writer(found)


def _login(uid: int, gid: int) -> Rights:
    """The rights that the account with this number has after a login, and those of its directory's group: that can be
    one that the account is not in (Sendmail's), but root's, which is no group for a purpose, counts for nothing."""
    try:
        found = pwd.getpwuid(uid)
    except KeyError:
        return Rights(uid, gid or NOBODY)
    groups = {*os.getgrouplist(found.pw_name, found.pw_gid), gid} - {0}
    return Rights(uid, found.pw_gid, tuple(sorted(groups)))
