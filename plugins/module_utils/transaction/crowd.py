# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients that hold all the places of a server, so that it has none for anybody else. Pure."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable

from .._system.tcp_table import CLOSE_WAIT, ESTABLISHED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .._system.tcp_table import Entry

# What Exim, Sendmail and Postfix say with 421 then. A server that says 421 because of its load, of a rate or of an
# error has a reason of its own, which may be a new configuration.
FULL = re.compile(r"too many .*connections|all server ports are busy", re.IGNORECASE)
MANY = 10  # clients that are served: with fewer a server that accepts nobody else hangs for another reason
SHOWN = 3  # clients that are named


@dataclass(frozen=True)
class Crowd:
    """The connections at one port. ``served``: how many each client has of those that the server has accepted; a client
    is an address, and on this host an account, too. ``waiting``: the clients' ends that it has not accepted yet."""

    served: Counter[str]
    waiting: frozenset[tuple[str, int]] = frozenset()

    @classmethod
    def at(cls, port: int, entries: Iterable[Entry], account: Callable[[int], str]) -> Crowd:
        known = list(entries)
        makers = {(one.address, one.port): one.uid for one in known if one.peer_port == port}
        here = [one for one in known if one.port == port]
        served: Counter[str] = Counter()
        for one in here:
            if one.state == ESTABLISHED and one.inode != "0":
                uid = makers.get((one.peer, one.peer_port))
                served[one.peer if uid is None else f"{one.peer} (account {account(uid)})"] += 1
        queued = [one for one in here if one.state in (ESTABLISHED, CLOSE_WAIT) and one.inode == "0"]
        return cls(served, frozenset((one.peer, one.peer_port) for one in queued))

    def explains_421(self, text: str) -> bool:
        """Whether the server says so because it serves others."""
        return bool(self.served and FULL.search(text))

    def explains_silence(self, own: tuple[str, int] | None) -> bool:
        """Whether there is no answer because the server serves others: they wait for it as well, and so does ``own``,
        the end of a connection that was made. One that the server has accepted is not in its queue."""
        return sum(self.served.values()) >= MANY and (own in self.waiting if own else bool(self.waiting))

    def __str__(self) -> str:
        """How many connections are held, and who has most of them."""
        most = [f"{count} by {client}" for client, count in self.served.most_common(SHOWN)]
        more = len(self.served) - len(most)
        return ", ".join([*most, *([f"others by {more} more clients"] if more else [])])
