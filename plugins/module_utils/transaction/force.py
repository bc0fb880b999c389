# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a configuration is in force: that no process goes on with the one before.

A daemon that was started, or that has read its configuration again, has listening sockets that were not there before.
The kernel tells everybody which sockets there are, so that this is seen without CAP_SYS_PTRACE, too. A Postfix that is
told to read its configuration again keeps its sockets, and shows it otherwise (``daemons.py``).
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable

from .._system.processes import Process, leaders, whose, with_children
from . import units
from .crowd import OPEN
from .daemons import DAEMONS
from .listening import EVERYWHERE, misplaced, surplus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .._system.host import Host, Socket

PORT = 25
RENEWED = 10.0  # seconds for a daemon that was told of a new configuration to show that it has read it
ENDING = 5.0  # seconds for a leftover to end by itself when told so, and then to end when killed
INTERVAL = 0.1  # seconds between two looks


@dataclass(frozen=True)
class Signs:
    """What shows at one moment which configuration a daemon has: its sockets, and the processes that it renews.

    ``holders`` are the processes that may hold such sockets, and ``owners`` those of which that is seen. ``known``:
    whether a daemon is known that may hold them, be it one of another unit.
    """

    sockets: frozenset[str] = frozenset()
    renewed: frozenset[int] = frozenset()
    holders: frozenset[int] = frozenset()
    owners: frozenset[int] = frozenset()
    known: bool = False


class Force:
    """The daemon of one MTA; of one that is not known nothing is asked.

    Other instances of the same MTA that are units of systemd are not its daemon, and go on as they are.
    """

    def __init__(self, host: Host, service: Mapping[str, Any], answers: Sequence[Mapping[str, Any]]) -> None:
        self._host = host
        self._daemon = DAEMONS.get(service.get("mta") or "")
        self._unit = service.get("name") or ""
        self._listens = service.get("listens") or []
        self._asked = bool(self._listens or answers)
        self._ports = {item["port"] for item in (*self._listens, *answers)} or {PORT}

    def _processes(self) -> list[Process]:
        return self._host.processes(self._daemon.accounts if self._daemon else ())

    def daemons(self) -> list[Process]:
        """The daemons that run, without what they have started."""
        return leaders(self._holders(self._processes()))

    def signs(self) -> Signs:
        if not self._daemon:
            return Signs()
        everything = self._processes()
        holders = self._holders(everything)
        family = self._daemon.family(holders, everything)
        sockets = self._sockets(holders)
        return Signs(
            frozenset(found.inode for found in sockets),
            frozenset(one.pid for one in family if one.name == self._daemon.renews),
            frozenset(one.pid for one in holders),
            frozenset(pid for found in sockets for pid in found.pids),
            bool(self._daemon.among(everything)),
        )

    def _holders(self, everything: Sequence[Process]) -> list[Process]:
        """The processes that hold the listening sockets, but for those of other units."""
        found = self._daemon.among(everything) if self._daemon else []
        apart = {one.pid for one in with_children(self._others(everything), found)}
        return [one for one in found if one.pid not in apart]

    def _others(self, everything: Sequence[Process]) -> list[Process]:
        """The daemons of other units. Each unit is asked for once, however many processes somebody has in it."""
        found = self._daemon.among(everything) if self._daemon else []
        units_of = {one: self._host.unit_of(one.pid) for one in leaders(found)}
        asked = {unit for unit in units_of.values() if unit and not units.is_of(self._unit, unit)}
        said = {unit: self._host.run(units.question(unit)).out for unit in asked}
        others = [one for one, unit in units_of.items() if unit in said and units.is_main(said[unit], one.pid)]
        # the script of another unit can have started what was the daemon before
        scripts = [one for one in others if units.is_script(said[units_of[one]])]
        everywhere = {one.pid for one in scripts if self._is_everywhere(one, found)}
        return [one for one in others if one.pid not in everywhere]

    def _is_everywhere(self, leader: Process, found: Iterable[Process]) -> bool:
        """Whether a daemon may listen at any address of a port of the service, which was not told to do so."""
        held = ((one.address, one.port) for one in self._sockets(with_children([leader], found)))
        return any(address in EVERYWHERE for address, _port in surplus(self._listens, held))

    def _sockets(self, holders: Iterable[Process]) -> list[Socket]:
        """The sockets on the ports of the service, but not those of which it is seen that somebody else has them."""
        own = {one.pid for one in holders}
        accounts = ("root", *(self._daemon.accounts if self._daemon else ()))

        def is_own(found: Socket) -> bool:
            return bool(found.pids & own) if found.pids else whose(found.uid) in accounts

        return [found for found in self._host.listeners() if found.port in self._ports and is_own(found)]

    def connections(self) -> frozenset[str]:
        """The numbers of the connections at the ports of the service that some server has accepted."""
        return frozenset(one.inode for one in self._host.tcp(*OPEN) if one.port in self._ports)

    def accepts(self, port: int, asked: str) -> Callable[[str], bool]:
        """Whether the connections at an address are those of the daemon, as far as that is seen. Of one that is not
        known only those at the address that was ``asked`` are."""
        if not self._daemon:
            return lambda address: address == asked
        own = {found.address for found in self._sockets(self._holders(self._processes())) if found.port == port}
        others = {found.address for found in self._host.listeners() if found.port == port} - own

        def accepted(address: str) -> bool:
            every = "::" if ":" in address else "0.0.0.0"
            return address in own or bool(own & {every, "::"} and not others & {address, every})

        return accepted

    def resume(self) -> list[str]:
        """Let what is stopped of the daemon go on, for so it hears of nothing; who that was.

        An Exim that finds SIGHUP and SIGTERM when it goes on hears but the first one, and systemd waits for its end.
        """
        everything = self._processes()
        family = self._daemon.family(self._holders(everything), everything) if self._daemon else []
        stopped = [one for one in family if one.stopped]
        for one in stopped:
            with suppress(ProcessLookupError):
                os.kill(one.pid, signal.SIGCONT)
        return [str(one) for one in stopped]

    def in_force(self, before: Signs, reload: bool, seconds: float) -> bool:
        """Wait until nothing shows the configuration ``before`` any more; whether that is so."""
        return _wait(lambda: not self._old(before, reload), seconds)

    def _old(self, before: Signs, reload: bool) -> bool:
        now = self.signs()
        if self._keeps_sockets(reload):
            return bool(before.renewed & now.renewed) or not now.renewed
        # a socket that cannot be looked at is held by a process that was there before, or by one that it has started
        alive = before.holders & now.holders or not before.known
        # one that waited for the socket of another one may have got it
        taken_over = not reload and before.holders & now.owners
        return bool((before.sockets & now.sockets and alive) or taken_over)

    def _keeps_sockets(self, reload: bool) -> bool:
        return bool(reload and self._daemon and self._daemon.renews)

    def wrong(self, before: Signs, reload: bool) -> str:
        """What is not as it has to be, empty where all is: who goes on as before, and where it listens."""
        if self._daemon and self._old(before, reload):
            return f"{self._names(before)} went on with the configuration before"
        everything = self._processes()
        holders = self._holders(everything)
        others = [] if holders else self._others(everything)
        if others:
            whose = ", ".join(f"{one} belongs to {self._host.unit_of(one.pid)}" for one in others)
            return f"{self._unit} runs no daemon: {whose}"
        # what was there before and is there still is somebody else's, unless the daemon keeps its sockets
        foreign = frozenset() if self._keeps_sockets(reload) else before.sockets
        own = [found for found in self._sockets(holders) if found.inode not in foreign]
        wrong = misplaced(self._listens, ((found.address, found.port) for found in own))
        if self._daemon and self._asked and not own:
            return "; ".join([*(wrong or [self._nowhere()]), *self._instead(everything)])
        return "; ".join(wrong)

    def _nowhere(self) -> str:
        return f"{self._unit} listens nowhere at port {', '.join(map(str, sorted(self._ports)))}"

    def _instead(self, everything: Sequence[Process]) -> list[str]:
        """Who has the ports of a daemon that listens at none of them, as far as that is seen."""
        found: dict[str, list[str]] = {}
        for one in self._host.listeners():
            if one.port in self._ports:
                seen = leaders(process for process in everything if process.pid in one.pids)
                likely = [] if seen else self._others(everything)
                who = ", ".join(map(self._whose, seen or likely)) or "a process that cannot be seen"
                who += ", or one that cannot be seen," if likely else ""
                found.setdefault(who, []).append(f"{one.address} port {one.port}")
        return [f"{who} listens at {' and '.join(places)}" for who, places in found.items()]

    def _whose(self, one: Process) -> str:
        unit = self._host.unit_of(one.pid)
        return f"{one} of {unit}" if unit else str(one)

    def _names(self, before: Signs) -> str:
        """Who went on, as far as that is seen."""
        holders = self._holders(self._processes())
        sockets = [found for found in self._sockets(holders) if found.inode in before.sockets]
        seen = {pid for found in sockets for pid in found.pids}
        where = ", ".join(sorted({f"{found.address} port {found.port}" for found in sockets}))
        unseen = f"a process that cannot be seen, which listens at {where},"
        return ", ".join(map(str, leaders(one for one in holders if one.pid in (seen or before.holders)))) or unseen

    def stop_leftovers(self, before: Signs) -> list[str]:
        """Stop the daemons that were there before, whoever has started them; who they were.

        One of which it is seen that it listens at other ports alone is another instance. What was started meanwhile is
        stopped, too: beside an old daemon it may have got but a part of its addresses.
        """
        owners = self.signs().owners
        elsewhere = {pid for found in self._host.listeners() for pid in found.pids} - owners
        found = [one for one in self.daemons() if one.pid not in elsewhere]
        old = [one for one in found if one.pid in before.holders]
        for one in found if old else []:
            self._stop(one)
        return [str(one) for one in old]

    def _stop(self, leader: Process) -> None:
        """Stop one daemon, and wait for what it has started, which holds its sockets, too."""
        family = {one.pid for one in with_children([leader], self._holders(self._processes()))}
        for told in (signal.SIGTERM, signal.SIGKILL):
            for sent in (told, signal.SIGCONT):
                with suppress(ProcessLookupError):
                    os.kill(leader.pid, sent)
            if _wait(lambda: not family & self.signs().holders, ENDING):
                break


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until a condition holds, ``seconds`` at most; whether it does."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(INTERVAL)
    return True
