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

from .._system.processes import Process, leaders, with_children
from .daemons import DAEMONS
from .listening import misplaced

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .._system.host import Host, Socket

PORT = 25
RENEWED = 10.0  # seconds for a daemon that was told of a new configuration to show that it has read it
ENDING = 5.0  # seconds for a leftover to end by itself when told so, and then to end when killed
INTERVAL = 0.1  # seconds between two looks


@dataclass(frozen=True)
class Signs:
    """What shows at one moment which configuration a daemon has: its sockets, and the processes that it renews."""

    sockets: frozenset[str] = frozenset()
    renewed: frozenset[int] = frozenset()


class Force:
    """The daemon of one MTA; of one that is not known nothing is asked."""

    def __init__(self, host: Host, service: Mapping[str, Any], answers: Sequence[Mapping[str, Any]]) -> None:
        self._host = host
        self._daemon = DAEMONS.get(service.get("mta") or "")
        self._listens = service.get("listens") or []
        self._ports = {item["port"] for item in (*self._listens, *answers)} or {PORT}

    def daemons(self) -> list[Process]:
        """The daemons that run, without what they have started."""
        return leaders(self._daemon.among(self._host.processes())) if self._daemon else []

    def signs(self) -> Signs:
        if not self._daemon:
            return Signs()
        everything = self._host.processes()
        family = with_children(self._daemon.among(everything), self._daemon.own(everything))
        renewed = frozenset(one.pid for one in family if one.name == self._daemon.renews)
        return Signs(frozenset(found.inode for found in self._sockets(everything)), renewed)

    def _sockets(self, everything: Iterable[Process]) -> list[Socket]:
        """The sockets on the ports of the service, but not those of which it is seen that another program has them."""
        own = {one.pid for one in self._daemon.among(everything)} if self._daemon else set()
        return [
            found
            for found in self._host.listeners()
            if found.port in self._ports and (not found.pids or found.pids & own)
        ]

    def in_force(self, before: Signs, reload: bool, seconds: float) -> bool:
        """Wait until nothing shows the configuration ``before`` any more; whether that is so."""
        return _wait(lambda: not self._old(before, reload), seconds)

    def _old(self, before: Signs, reload: bool) -> bool:
        now = self.signs()
        if reload and self._daemon and self._daemon.renews:
            return bool(before.renewed & now.renewed) or not now.renewed
        return bool(before.sockets & now.sockets)

    def wrong(self, before: Signs, reload: bool) -> str:
        """What is not as it has to be, empty where all is: who goes on as before, and where it listens."""
        if self._daemon and self._old(before, reload):
            return f"{self._names(before)} went on with the configuration before"
        everything = self._host.processes() if self._listens else []
        sockets = self._sockets(everything) if self._listens else []
        return "; ".join(misplaced(self._listens, ((found.address, found.port) for found in sockets)))

    def _names(self, before: Signs) -> str:
        """Who has the sockets of ``before``, as far as that is seen."""
        everything = self._host.processes()
        old = [found for found in self._sockets(everything) if found.inode in before.sockets]
        pids = {pid for found in old for pid in found.pids}
        held = leaders(one for one in everything if one.pid in pids) or self.daemons()
        where = ", ".join(sorted({f"{found.address} port {found.port}" for found in old}))
        return ", ".join(map(str, held)) or f"a process that cannot be seen, which listens at {where},"

    def stop_leftovers(self) -> list[str]:
        """Stop all daemons of the MTA, whoever has started them; who they were."""
        stopped = self.daemons()
        pids = {one.pid for one in stopped}
        for told in (signal.SIGTERM, signal.SIGKILL):
            for one in self.daemons():
                for sent in (told, signal.SIGCONT):
                    with suppress(ProcessLookupError):
                        os.kill(one.pid, sent)
            if _wait(lambda: not pids & {one.pid for one in self.daemons()}, ENDING):
                break
        return [str(one) for one in stopped]


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until a condition holds, ``seconds`` at most; whether it does."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(INTERVAL)
    return True
