# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose way back the units of this host are: a host has one set of them, and may have several directories of state.

The unit for the boot says which directory is meant. It is there as long as a way back is set, and each version of this
collection has written the line that is read here.
"""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING

from .._system import files as disk
from .._system.names import seen
from ..errors import UserError
from .store import Store

if TYPE_CHECKING:
    from collections.abc import Iterable

JOURNAL = re.compile(rb"^ConditionPathExists=\|?(/.*)/pending\.json$", re.MULTILINE)


def owner(unit: str) -> str:
    """The directory of state that a unit names; empty where there is no unit. Raises OSError where it does not say."""
    image = disk.read_image(unit, wait=False)
    if not image:
        return ""
    found = JOURNAL.search(image.content)
    if not found:
        raise OSError(errno.EINVAL, "does not name a directory of state", unit)
    # bytes that are not UTF-8 survive, as in all paths
    return disk.real(found[1].replace(b"%%", b"%").decode("utf-8", "surrogateescape"))


def unclear(error: OSError, unit: str) -> UserError:
    """What to tell a user where ``owner`` has failed."""
    return UserError(
        f"{error.filename or unit}: {error.strerror or error}. {unit} may be the way back of a change in another state"
        " directory. Nothing was changed. Remove that file if no change is pending on this host"
    )


def unfinished(folder: str) -> bool:
    """Whether a directory of state has a change that has not ended, or a service that does not have its files yet.

    Nothing there is read or changed: another run may be at work. Raises OSError where that cannot be seen.
    """
    other = Store(folder)
    return _any((*other.paths, other.mark.path))


def _any(paths: Iterable[str]) -> bool:
    for path in paths:
        try:
            seen(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        return True
    return False
