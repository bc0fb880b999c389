# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of the module config_transaction, checked before anything is looked at. Pure."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Any

from ..checked import LONGEST_WAIT, Checked, number, seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

port = number(1, 65535)


def checked(params: Mapping[str, Any]) -> dict[str, Any]:
    """The options in canonical form; raises UserError that names all that are wrong."""
    ports = dict(_ports(params))
    note = Checked({**params, **ports})
    found = {
        "confirm_timeout": note.one("confirm_timeout", number(0, LONGEST_WAIT)),
        "timeout": note.one("timeout", seconds),
        "state_dir": note.one("state_dir", folder),
    }
    for name in ports:
        note.one(name, port)
    note.settle()
    return {**params, **found}


def _ports(params: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Each port by the name of its option."""
    listens = (params["service"] or {}).get("listens", [])
    for option, places in (("service.listens", listens), ("answers", params["answers"])):
        for index, place in enumerate(places):
            yield f"{option}[{index}].port", place["port"]


def folder(value: str) -> str:
    """A directory whose path systemd can be told: a unit has no working directory, and no form for a line break."""
    if not value.startswith("/") or not value.isprintable():
        raise ValueError("an absolute path of printable characters")
    return posixpath.normpath(value)
