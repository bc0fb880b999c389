# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients that hold all the places of a server, so that it has none for anybody else. Pure."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable

from .._system.tcp_table import CLOSE_WAIT, ESTABLISHED, FIN_WAIT2, HANDSHAKE, TIME_WAIT

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from .._system.tcp_table import Entry

# What Exim, Sendmail and Postfix say with 421 then. A server that says 421 because of its load, of a rate or of an
# error has a reason of its own, which may be a new configuration.
FULL = re.compile(r"too many .*connections|all server ports are busy", re.IGNORECASE)
BUSY = 421  # "service not available, closing transmission channel" (RFC 5321 section 4.2.2)
MANY = 10  # clients that are served: with fewer a server that accepts nobody else hangs for another reason
SHOWN = 3  # clients that are named
OPEN = (ESTABLISHED, CLOSE_WAIT)  # a server's end of a connection that it has
QUEUED = (*OPEN, HANDSHAKE)  # or will have
CLOSED = (FIN_WAIT2, TIME_WAIT)  # a client's end after it was closed
STATES = (*QUEUED, *CLOSED)  # of the sockets that ``Crowd.at`` looks at

End = tuple[str, int]  # of a connection: an address and a port


@dataclass(frozen=True)
class Crowd:
    """The connections at one port. ``served``: how many each client has of those that the server has accepted; a client
    is an address, and on this host an account, too. ``fresh``: how many of these are none of before. ``waiting``: the
    clients' ends that it has not accepted yet. ``accepted``: those that it has accepted, and may have closed since."""

    served: Counter[str]
    fresh: int = 0
    waiting: frozenset[End] = frozenset()
    accepted: frozenset[End] = frozenset()

    @classmethod
    def at(
        cls,
        port: int,
        entries: Iterable[Entry],
        account: Callable[[int], str],
        before: Collection[str] = (),
        accepts: Callable[[str], bool] = lambda _address: True,
    ) -> Crowd:
        """``before``: the numbers of the connections that a daemon of before may have accepted. ``accepts``: whether
        connections at an address are those of this server."""
        known = list(entries)
        makers = {(one.address, one.port): one.uid for one in known if one.peer_port == port}
        here = [one for one in known if one.port == port and accepts(one.address)]
        held = [one for one in here if one.state == ESTABLISHED and one.inode != "0"]
        served: Counter[str] = Counter()
        for one in held:
            uid = makers.get((one.peer, one.peer_port))
            served[one.peer if uid is None else f"{one.peer} (account {account(uid)})"] += 1
        fresh = sum(one.inode not in before for one in held)
        waiting = {(one.peer, one.peer_port) for one in here if one.state in QUEUED and one.inode == "0"}
        kept = {(one.peer, one.peer_port) for one in here if one.state in OPEN and one.inode != "0"}
        # the kernel of a server has acknowledged that this end was closed, so that it has known it
        closed = {(one.address, one.port) for one in known if one.peer_port == port and one.state in CLOSED}
        return cls(served, fresh, frozenset(waiting), frozenset(kept | (closed - waiting)))

    def explains(self, code: int, text: str, own: End | None = None) -> bool:
        """Whether a server greets with ``code``, or not at all (0), because it serves others."""
        explained = {BUSY: self.explains_421(text), 0: self.explains_silence(own)}
        return explained.get(code, False)

    def explains_421(self, text: str) -> bool:
        """Whether the server says so because it serves others."""
        return bool(self.served and FULL.search(text))

    def explains_silence(self, own: End | None) -> bool:
        """Whether there is no answer because the server serves others, and has not accepted ``own``, the end of a
        connection that was made. That waits, or is forgotten: a full queue drops connections that their clients take
        for open. Where none was made, others have to be seen waiting. Connections of before tell nothing of the server
        that is asked: it may accept none at all."""
        return self.fresh >= MANY and self._has_not_heard(own)

    def outlasts(self, own: End | None) -> bool:
        """Whether there may be no answer because connections of before hold all places."""
        return sum(self.served.values()) - self.fresh >= MANY and self._has_not_heard(own)

    def _has_not_heard(self, own: End | None) -> bool:
        return own not in self.accepted if own else bool(self.waiting)

    def __str__(self) -> str:
        """How many connections are held, and who has most of them."""
        most = [f"{count} by {client}" for client, count in self.served.most_common(SHOWN)]
        more = len(self.served) - len(most)
        return ", ".join([*most, *([f"others by {more} more clients"] if more else [])])
