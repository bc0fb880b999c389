# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Row L1: whether the MTA that is proven is the program that listens. Pure.

A host whose MTA has ended, or never began, resolves addresses as before; and another program at its port may answer as
an MTA does. Where it cannot be seen who holds a socket, the MTA's daemon has to be among the processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .verdict import FAIL, INCONCLUSIVE, PASS, SKIPPED, WARN, Check

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from ._system.host import Socket

# What holds a port for others, and starts an MTA for each connection (inetd(8), systemd.socket(5)).
ON_BEHALF = frozenset(("inetd", "openbsd-inetd", "inetutils-inetd", "xinetd", "systemd"))
SUBMISSION = (465, 587)  # RFC 8314
LOOPBACK = ("127.", "::1")  # what the addresses begin with that no other host reaches
REMEDY = "start the MTA, and see in its log why it does not listen"


@dataclass(frozen=True)
class Daemon:
    """An MTA: its name, its sockets by address and port, whether its daemon is seen among the processes, and the names
    of the programs that listen for it."""

    name: str
    sockets: Collection[tuple[str, int]]
    running: bool
    programs: Sequence[str] = ()


def port_owner(
    mta: Daemon, ports: Collection[int], sockets: Iterable[Socket], needed: bool, heard: bool | None
) -> Check:
    """``sockets`` are all of the host. ``needed``: whether it has to take mail from others; its own programs can hand
    theirs in by a command. ``heard``: whether another host that asked heard a server, to which a router may have led
    it; None if no other host asked."""
    asked = f"port {' and '.join(map(str, sorted(ports)))}"
    holders = {program for found in sockets if found.port in ports for program in found.programs}
    there = any(port in ports for _address, port in mta.sockets)
    if holders & ON_BEHALF or (there and (holders or mta.running)):
        return Check("L1", PASS, asked)
    if there:
        return _wrong(FAIL, asked, f"no process of {mta.name} runs, and another program has the port")
    if holders:
        other = f"another instance of {mta.name}" if holders & {*mta.programs} else ", ".join(sorted(holders))
        who = f"{asked} belongs to {other}"
        if mta.sockets:
            return _wrong(INCONCLUSIVE, asked, f"{who}, so that what it says may not be what {mta.name} says")
        return _wrong(FAIL, asked, f"{who}, and {mta.name} listens nowhere")
    if mta.sockets:
        others = ", ".join(sorted({str(port) for _address, port in mta.sockets}))
        lost = heard is False and any(_for_others(*own) for own in mta.sockets)
        verdict = SKIPPED if heard else FAIL if needed or lost else WARN
        message = f"{mta.name} does not listen there, but at port {others} alone"
        return _wrong(verdict, asked, message, f"let {mta.name} listen at {asked}")
    if mta.running:
        return _wrong(FAIL if needed else WARN, asked, f"{mta.name} runs, and listens nowhere")
    return _wrong(FAIL, asked, f"{mta.name} does not run")


def _for_others(address: str, port: int) -> bool:
    """Whether a socket is there to take mail from other servers."""
    return port not in SUBMISSION and not address.startswith(LOOPBACK)


def _wrong(verdict: str, asked: str, message: str, remedy: str = REMEDY) -> Check:
    quiet = verdict in (SKIPPED, PASS)
    return Check("L1", verdict, asked, message=message, remedy="" if quiet else remedy)
