# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a directory of state is this collection's own, and is still there after a boot: asked before a change begins.

What is old there is removed by its name, so it must be nobody else's. A directory that this collection has used has a
marker; that of an earlier version has none, and nothing but what that version made. The end of a change asks nothing
of this: the way back is open whatever else is there.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat

from ..errors import UserError
from .beside import ASIDE
from .files import real, write_image
from .image import Image
from .lock import FOLDER, NAME, OWN_FOLDER, check_private
from .mounts import kind_of
from .names import listed, there

MARKER = ".mailops-postmaster"
# what this collection makes there, and what a new file system has
OWN = re.compile(
    rf"{NAME}|undo\.zip|policy-rc\.d|packages|queue|queue\.unread|transactions|stage-[a-z0-9_]{{8}}|lost\+found"
    r"|(?:not-)?in-force\.json|(?:pending|undoing)(?:\.bad-[0-9]+)?\.json"
)
BESIDE = re.compile(rf"\.(.+)\.(?:next|before)|{re.escape(ASIDE)}[0-9a-f]{{16}}")
SHOWN = 3  # names that are not its own
VOLATILE = ("tmpfs", "ramfs")  # file systems in memory
CLEARED = ("/run", "/tmp", "/dev/shm")  # what a boot empties, whatever file system that is


def refuse_foreign(folder: str) -> None:
    """Raise UserError where a directory of state is there and others use it, too, or can look into it."""
    check_private(folder)
    if not there(folder):
        return
    mode = stat.S_IMODE(os.lstat(folder).st_mode)
    if mode & 0o077:
        raise UserError(
            f"the directory of state {folder} has mode {mode:04o}, and other accounts can look into it. Nothing was"
            f" changed. It must have mode 0700: use another directory as state_dir, or run: chmod 0700 {folder}"
        )
    foreign = [] if _is_known(folder) else [name for name in listed(folder) if not is_own(name)]
    if foreign:
        more = f" and {len(foreign) - SHOWN} more" if len(foreign) > SHOWN else ""
        raise UserError(
            f"the directory of state {folder} is used for something else: it has {', '.join(foreign[:SHOWN])}{more}."
            " Nothing was changed. Use a directory as state_dir that is empty or does not exist, for this collection"
            " alone"
        )


def refuse_volatile(folder: str) -> None:
    """Raise UserError where a directory of state is gone after a boot, and the way back of a change with it."""
    place = real(folder)
    above = next((top for top in CLEARED if place == top or place.startswith(top + "/")), "")
    kind = kind_of(place)
    why = f"a boot empties {above}" if above else f"its file system is {kind}" if kind in VOLATILE else ""
    if why:
        raise UserError(
            f"the directory of state {folder} does not survive a boot: {why}. Nothing was changed. After a boot nobody"
            " could roll a change back. Use a directory on a disk as state_dir, for example /var/lib/mailops-postmaster"
        )


def claim(folder: str) -> None:
    """Mark a directory that was not refused as this collection's own. Only who holds its lock may do so."""
    marker = os.path.join(folder, MARKER)
    if not there(marker):
        # without room for it the directory is known by what is in it, as before
        with contextlib.suppress(OSError):
            write_image(marker, Image(b"", os.geteuid(), os.getegid(), 0o600))


def is_own(name: str) -> bool:
    """Whether this collection makes an entry of this name. Pure."""
    beside = BESIDE.fullmatch(name)
    if beside:
        return not beside[1] or beside[1] == MARKER or bool(OWN.fullmatch(beside[1]))
    return name == MARKER or bool(OWN.fullmatch(name))


def _is_known(folder: str) -> bool:
    """Whether nobody else can have meant a directory for himself."""
    default = [FOLDER, os.path.expanduser(OWN_FOLDER)]
    return folder.rstrip("/") in default or there(os.path.join(folder, MARKER))
