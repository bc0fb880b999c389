# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether somebody else can lead a path elsewhere: whoever can write a directory on the way can put a link there.

A directory is trusted that root or this account owns and nobody else can write; so is a name in a directory with the
sticky bit, as /tmp is, where the file belongs to one of the two (unlink(2)). Only there links are followed.

The last directory may also be one of a system account, as Debian gives /etc/mail to Sendmail's. What is in it is then
opened without following a link, under one name, and is replaced by a rename: so it does not matter what that account
puts there meanwhile. A link in it is followed if root owns it and its target has the same name, as that of Debian's
/etc/mail/aliases: that account cannot make such a link, but it can give one that is there another name.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
from typing import NamedTuple

from .access_list import list_gives_writing
from .walk import Walk, seen

SYSTEM = 1000  # accounts below this one belong to the system (Debian Policy 9.2.2)


class Way(NamedTuple):
    """Where a path leads, links followed, and why that is not certain: "/home/alice belongs to alice", or empty.

    ``loose``: it is certain, but for the last name, which a system account can give to something else. Where the last
    name is a link that is not followed, the target is that link.
    """

    target: str
    doubt: str = ""
    loose: bool = False


def way(path: str, *, through: bool = True) -> Way:
    """Follow a path, as far as it is there. Raises OSError where links go round in a circle.

    ``through``: whether to follow a link that has the last name of the path.
    """
    walk, doubt, loose = Walk(os.path.abspath(path)), "", False
    for place, found in walk:
        why, system = _doubt(walk.folder, found)
        link = found if found and stat.S_ISLNK(found.st_mode) else None
        last = bool(why and system and walk.last and not doubt)
        followed = link and (through or not walk.last) and (not why or (last and link.st_uid in trusted()))
        leads = _read_link(place, link) if link and followed else ""
        loose = last and (not link or os.path.basename(leads) == os.path.basename(place))
        doubt = doubt or ("" if loose else why)
        if leads and (not why or loose):
            walk.follow(leads)
    return Way(walk.here, doubt, loose)


def _read_link(path: str, seen: os.stat_result) -> str:
    """Where a link leads that was seen before; OSError where another one is there now."""
    handle = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not os.path.samestat(os.fstat(handle), seen):
            raise OSError(errno.ESTALE, "was exchanged by somebody else meanwhile", path)
        return os.readlink("", dir_fd=handle)
    finally:
        os.close(handle)


def trusted() -> frozenset[int]:
    """The accounts, by uid, that may own what this process relies on."""
    return frozenset((0, os.geteuid()))


def account(uid: int) -> str:
    """The name of an account, or its number."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def writers(place: str | int, found: os.stat_result) -> str:
    """Who can write to what is at a path, or open as a file descriptor, besides its owner and root: "everybody",
    "the group mail", "the accounts in its access list", or empty."""
    if found.st_mode & stat.S_IWOTH:
        return "everybody"
    if list_gives_writing(place, found):
        return "the accounts in its access list"
    if not found.st_mode & stat.S_IWGRP or found.st_gid == 0:
        return ""
    try:
        return f"the group {grp.getgrgid(found.st_gid).gr_name}"
    except KeyError:
        return f"the group {found.st_gid}"


def _doubt(folder: str, entry: os.stat_result | None) -> tuple[str, bool]:
    """Why somebody else can exchange, or make, the entry of a directory; and whether that is a system account."""
    found = seen(folder)
    if not found or not stat.S_ISDIR(found.st_mode):
        return "", False
    others = writers(folder, found)
    if found.st_uid not in trusted():
        return f"{folder} belongs to {account(found.st_uid)}", found.st_uid < SYSTEM and not others
    if not others or (found.st_mode & stat.S_ISVTX and entry and entry.st_uid in trusted()):
        return "", False
    return f"{folder} can be written by {others}", False
