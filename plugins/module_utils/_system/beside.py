# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands beside a file in a transaction: the new one as ``.NAME.next``, a copy of the old one as ``.NAME.before``.

Whoever owns the directory, as Sendmail's account does with /etc/mail, can put anything under these names. This
collection leaves only regular files there. Anything else in the way gets a name that nobody can foresee, by the
descriptor of the directory. It is not followed, not looked into, and not removed; a remark says where it is.
"""

from __future__ import annotations

import os
import secrets
import stat
from typing import TYPE_CHECKING

from .inside import FOLDER, rename_in
from .names import unlink
from .reader import kind
from .remarks import remark, remarked
from .walk import lstat

if TYPE_CHECKING:
    from collections.abc import Iterable

ASIDE = ".aside-"  # what the names of the things that were moved aside begin with


def next_of(target: str) -> str:
    """Where the new file is until it is put in place."""
    return os.path.join(os.path.dirname(target), f".{os.path.basename(target)}.next")


def before_of(target: str) -> str:
    """Where the copy of the old file is."""
    return os.path.join(os.path.dirname(target), f".{os.path.basename(target)}.before")


def is_beside(name: str) -> bool:
    """Whether a name is one of a copy, or of something that was moved aside."""
    return name.startswith(ASIDE) or (name.startswith(".") and name.endswith((".next", ".before")))


def not_ours(path: str) -> str:
    """What is there, in words, where this collection would not leave it; empty for a regular file, or nothing."""
    found = lstat(path)
    return kind(found.st_mode) if found and not stat.S_ISREG(found.st_mode) else ""


def make_way(path: str) -> None:
    """Move aside what is no regular file."""
    found = not_ours(path)
    if found:
        move_aside(path, f"is {found}")


def move_aside(path: str, what: str) -> None:
    """Give what is there another name in its directory. ``what`` it is goes into the remark: "is a directory"."""
    folder, name = os.path.split(path)
    aside = ASIDE + secrets.token_hex(8)
    handle = os.open(folder, FOLDER)
    try:
        rename_in(handle, name, aside)
    finally:
        os.close(handle)
    remark(f"{path} {what}, and was in the way: it was moved to {os.path.join(folder, aside)}; look who made it")


def clear(path: str) -> None:
    """Remove a file, where there is one. What is no regular file is moved aside."""
    make_way(path)
    unlink(path)


def in_the_way(targets: Iterable[str]) -> list[str]:
    """What a change of these files will move aside, a sentence each."""
    places = [place for target in targets for place in (next_of(target), before_of(target))]
    seen = [(place, not_ours(place)) for place in places]
    return [f"{place} is {found}, and is in the way: a run moves it aside" for place, found in seen if found]


def forget(target: str, tell: bool = True) -> None:
    """Remove what is kept beside a file. What is not ours stays: a remark, if that is to be told. What cannot be
    removed is one in any case."""
    for place in (before_of(target), next_of(target)):
        with remarked(f"{place} could not be removed"):
            found = not_ours(place)
            if found and tell:
                remark(f"{place} is {found}, which is none of this collection's, and was left there; look who made it")
            elif not found and os.path.lexists(place):
                os.unlink(place)
