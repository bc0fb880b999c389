# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of the module config_transaction, checked before anything is looked at. Pure."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Any

from ..checked import Checked

if TYPE_CHECKING:
    from collections.abc import Mapping


def checked(params: Mapping[str, Any]) -> dict[str, Any]:
    """The options in canonical form; raises UserError that names all that are wrong."""
    note = Checked(params)
    found = {"state_dir": note.one("state_dir", folder)}
    note.settle()
    return {**params, **found}


def folder(value: str) -> str:
    """A directory whose path systemd can be told: a unit has no working directory, and no form for a line break."""
    if not value.startswith("/") or not value.isprintable():
        raise ValueError("an absolute path of printable characters")
    return posixpath.normpath(value)
