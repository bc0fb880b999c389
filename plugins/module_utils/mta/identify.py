# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which MTA a host has, from what was seen there. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Signs:
    """How an MTA is known: a program that only it has, the processes that listen for it; and its adapter."""

    program: str
    processes: tuple[str, ...]
    adapter: str


@dataclass(frozen=True)
class Evidence:
    """What was seen: which programs are there, who listens on port 25, and where /usr/sbin/sendmail leads."""

    programs: frozenset[str]
    listening: frozenset[str] = frozenset()
    sendmail: str = ""


def installed(seen: Evidence, known: Mapping[str, Signs]) -> list[str]:
    """The MTAs that are there, whether or not they run."""
    return [name for name, signs in known.items() if signs.program in seen.programs]


def identify(seen: Evidence, known: Mapping[str, Signs]) -> str:
    """The MTA in charge: the one that listens, else the one that local programs send through, else the only one."""
    there = installed(seen, known)
    in_charge = [name for name in there if seen.listening & set(known[name].processes)]
    through = [name for name in there if known[name].program == seen.sendmail]
    for found in (in_charge, through, there):
        if len(found) == 1:
            return found[0]
    return ""
