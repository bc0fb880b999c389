# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names in directories: whether they are there, listed, given to other files, and removed. No file is opened.

In directories that others can write this is for child processes with their rights (``reader.call``): whoever owns a
directory can exchange what is in it between two looks.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def there(path: str) -> bool:
    """Whether anything has this name, be it a link that leads nowhere."""
    return os.path.lexists(path)


def is_folder(path: str) -> bool:
    """Whether there is a directory, links followed."""
    return os.path.isdir(path)


def seen(path: str) -> os.stat_result:
    """What has this name, a link as itself; raises OSError."""
    return os.lstat(path)


def mode_of(path: str) -> int:
    """The type and the permission bits of what is at the end of a path; raises OSError."""
    return os.stat(path).st_mode


def listed(folder: str) -> list[str]:
    """The names in a directory, sorted; none where there is no directory."""
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def walked(top: str, depth: int) -> Iterator[tuple[str, set[str]]]:
    """Each directory below ``top`` that is no link, and the names in it; so many directories deep at the most."""
    deepest = top.count("/") + depth
    for folder, folders, files in os.walk(top):
        yield folder, {*folders, *files}
        if folder.count("/") >= deepest:
            folders.clear()


def move(old: str, new: str) -> None:
    """Give a file another name, whatever had that before."""
    os.rename(old, new)


def link(target: str, path: str) -> None:
    """Make a link to ``target``, where nothing has its name."""
    with suppress(FileExistsError):
        os.symlink(target, path)


def unlink(path: str) -> None:
    """Remove a file, where there is one."""
    with suppress(FileNotFoundError):
        os.unlink(path)


def remove_empty(folder: str) -> None:
    """Remove a directory; raises OSError where there is none, or something is in it."""
    os.rmdir(folder)


def remove(path: str) -> None:
    """Remove whatever is there, of a directory all that is in it."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)
