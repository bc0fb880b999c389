# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Access lists (acl(5)): they give rights to accounts and groups that neither the owner nor the mode names."""

from __future__ import annotations

import os
import stat
from contextlib import suppress

NAME = "system.posix_acl_access"


def list_gives_writing(place: str | int, found: os.stat_result) -> bool:
    """Whether an access list may let others write to what is at a path, or open as a file descriptor.

    A file has one only where it says more than the mode does. The group bits of the mode are then its mask: what they
    do not grant, the list does not either.
    """
    if not found.st_mode & stat.S_IWGRP or stat.S_ISLNK(found.st_mode):
        return False
    try:
        return bool(os.getxattr(place, NAME))
    except OSError:  # it has none, or its file system knows none
        return False


def take_list(handle: int) -> None:
    """Take the access list of an open file away: that of another file, or what a directory has given it."""
    with suppress(OSError):  # it has none, or its file system knows none
        os.removexattr(handle, NAME)
