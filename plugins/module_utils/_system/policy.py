# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets no package start a service, by what it asks before it does so: policy-rc.d, of invoke-rc.d(8).

An administrator may have one of his own, which is asked for all other services meanwhile, and is there again after
that. It may be a link, as update-alternatives(1) makes it: what a link leads to is not touched. Nothing is written
where that is not needed: the file may be one that cannot be replaced.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from . import files as disk
from .image import Image
from .names import there, unlink

if TYPE_CHECKING:
    from collections.abc import Sequence

HEAD = b"""#!/bin/sh
# mailops.postmaster changes the MTA of this host, and starts it when it is configured.
"""
REST = """for word; do
    case " {units} " in *" ${{word%%[@.]*}} "*) exit 101 ;; esac
done
[ ! -x {before} ] || exec {before} "$@"
"""


def deny(path: str, units: Sequence[str], before: str) -> None:
    """Put our program at ``path``; what was there is at ``before`` until ``allow``. May be done again."""
    text = HEAD + REST.format(units=" ".join(units), before=before).encode()
    if os.path.islink(path):
        disk.put_link(before, os.path.join(os.path.dirname(path), os.readlink(path)))
    else:
        old = disk.read_image(path)
        if old and old.content == text:
            return
        if old and not old.content.startswith(HEAD):
            disk.put_file(before, old)
    disk.put_file(path, Image(text, 0, 0, 0o755))


def is_ours(path: str) -> bool:
    """Whether our program is there."""
    try:
        found = None if os.path.islink(path) else disk.read_image(path)
    except OSError:
        return False
    return found is not None and found.content.startswith(HEAD)


def allow(path: str, before: str) -> None:
    """Put back what was there, in the place of our program. May be done again."""
    if is_ours(path):
        if os.path.islink(before):
            disk.put_link(path, os.readlink(before))
        else:
            disk.restore(path, disk.read_image(before))
    if there(before):
        unlink(before)
        disk.sync_folder(os.path.dirname(before))
    for place in (path, before):
        disk.forget(place)
