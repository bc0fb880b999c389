# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets no package start a service, by what it asks before it does so: policy-rc.d, of invoke-rc.d(8).

An administrator may have one of his own, which is asked for all other services meanwhile, and is there again after
that. It may be a link, as update-alternatives(1) makes it: what a link leads to is not touched.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from . import files as disk
from .image import Image
from .names import unlink

if TYPE_CHECKING:
    from collections.abc import Sequence

TEXT = """#!/bin/sh
# mailops.postmaster changes the MTA of this host, and starts it when it is configured.
for word; do
    case " {units} " in *" ${{word%%[@.]*}} "*) exit 101 ;; esac
done
[ ! -x {before} ] || exec {before} "$@"
"""


def deny(path: str, units: Sequence[str], before: str) -> None:
    """Put our program at ``path``; what was there is at ``before`` until ``allow``. May be done again."""
    text = TEXT.format(units=" ".join(units), before=before).encode()
    if os.path.islink(path):
        disk.put_link(before, os.path.join(os.path.dirname(path), os.readlink(path)))
    else:
        old = disk.read_image(path)
        if old and old.content != text:
            disk.put_file(before, old)
    disk.put_file(path, Image(text, 0, 0, 0o755))


def allow(path: str, before: str) -> None:
    """Put back what was there. May be done again."""
    if os.path.islink(before):
        disk.put_link(path, os.readlink(before))
        unlink(before)
        disk.sync_folder(os.path.dirname(before))
    else:
        disk.restore(path, disk.read_image(before))
        disk.restore(before, None)
