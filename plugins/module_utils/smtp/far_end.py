# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks another host whether it takes mail for an address; it says so to RCPT, and no mail is sent (row R8)."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Callable

from .._system.host import Host
from ..verdict import FAIL, INCONCLUSIVE, PASS
from .caller import Caller
from .dns import FOUND, NO_SUCH_NAME, NULL_MX, UNKNOWN, exchangers, nameservers
from .names import is_address
from .names import server as parse_server
from .reply import LOGIN_WANTED, Answer, NoReply, for_good
from .transport import Connection, Limits, UnsafeCommandError, datagram, own_name, stream

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

RESOLVER_TIMEOUT = 3.0
DNS_FINDINGS = {
    NO_SUCH_NAME: (FAIL, "the name does not exist in the DNS"),
    NULL_MX: (FAIL, "a null MX: this domain takes no mail (RFC 7505)"),
    UNKNOWN: (INCONCLUSIVE, "no resolver answers"),
}


@dataclass(frozen=True)
class FarEnd:
    """What the host that gets the mail says: ``code`` and ``text`` of its reply to ``command``.

    ``unreachable``: it said nothing at all, and would say no more of another recipient.
    """

    verdict: str
    server: str
    command: str
    code: int
    text: str
    unreachable: bool = False


def ask_next_hop(next_hop: str, recipients: Sequence[str], helo: str, limits: Limits) -> Iterator[tuple[str, FarEnd]]:
    """Ask the host that would get mail for ``recipients`` from here; each of them, as soon as it is settled.

    ``next_hop`` is a domain whose mail exchangers are asked in turn, until one says yes or no; or ``[host]``, which
    is that host itself; either may end in ``:port``. An empty ``helo`` stands for this host's own name.
    """
    found = _hosts(next_hop, limits)
    if isinstance(found, FarEnd):
        yield from ((recipient, found) for recipient in recipients)
        return
    hosts, port = found
    left = {recipient: FarEnd(INCONCLUSIVE, next_hop, "", 0, "no host was asked", True) for recipient in recipients}
    for number, name in enumerate(hosts, 1):
        visit = _Visit(name, port, helo or own_name() or "localhost", limits)
        for recipient in list(left):
            left[recipient] = visit.ask(recipient)
            if left[recipient].verdict != INCONCLUSIVE or number == len(hosts):
                yield recipient, left.pop(recipient)
        visit.close()


def _hosts(next_hop: str, limits: Limits) -> tuple[tuple[str, ...], int] | FarEnd:
    """The hosts to ask, and at which port; or why there are none."""
    try:
        host, port = parse_server(next_hop)
    except ValueError as error:
        return FarEnd(FAIL, next_hop, "", 0, f"not a host: {error}")
    if next_hop.startswith("[") or is_address(host):
        return (host,), port
    found = exchangers(host, _resolvers(), secrets.randbelow(65536), *_exchanges(limits))
    if found.state in DNS_FINDINGS:
        verdict, text = DNS_FINDINGS[found.state]
        return FarEnd(verdict, "", f"MX of {host}", 0, text, unreachable=True)
    return found.hosts if found.state == FOUND else (host,), port


class _Visit:
    """One host, asked about one recipient after another on as few connections as it allows."""

    def __init__(self, server: str, port: int, helo: str, limits: Limits) -> None:
        self._server, self._helo = server, helo
        self._caller = Caller(server, port, limits)
        self._connection: Connection | None = None
        self._refused: FarEnd | None = None

    def ask(self, recipient: str) -> FarEnd:
        if self._connection:
            found = self._again(self._connection, recipient)
            if found.code and found.code != 421:
                return found
            self.close()  # some have enough after so many recipients
        if not self._refused:
            self._connection, heard = self._caller.call("EHLO", self._helo)
            if self._connection:
                return self._recipient(self._connection, recipient)
            self._refused = self._judged(heard.command, heard.answer, unreachable=True)
        return self._refused

    def close(self) -> None:
        if self._connection:
            self._connection.quit()
        self._connection = None

    def _again(self, connection: Connection, recipient: str) -> FarEnd:
        reset = connection.command("RSET")
        return self._recipient(connection, recipient) if reset.positive else self._judged("RSET", NoReply(reset.text))

    def _recipient(self, connection: Connection, recipient: str) -> FarEnd:
        command = "MAIL FROM:<>"
        answer = connection.command(command)
        if answer.positive:
            command = f"RCPT TO:<{recipient}>"
            try:
                answer = connection.command(command)
            except UnsafeCommandError as error:
                return FarEnd(FAIL, self._server, "", 0, f"no address for SMTP: {error}")
        return self._judged(command, answer)

    def _judged(self, command: str, answer: Answer, unreachable: bool = False) -> FarEnd:
        unknown = isinstance(answer, NoReply) and answer.unknown_host
        refused = unknown or (for_good(answer.code, answer.text) and answer.code != LOGIN_WANTED)
        verdict = PASS if answer.positive else FAIL if refused else INCONCLUSIVE
        return FarEnd(verdict, self._server, command, answer.code, answer.text, unreachable)


def _resolvers() -> list[str]:
    try:
        return nameservers(Host().read("/etc/resolv.conf"))
    except OSError:
        return nameservers("")


def _exchanges(limits: Limits) -> tuple[partial[bytes | None], partial[bytes | None]]:
    return partial(_exchange, limits, datagram), partial(_exchange, limits, stream)


def _exchange(
    limits: Limits, exchange: Callable[[str, bytes, float], bytes | None], server: str, asked: bytes
) -> bytes | None:
    """What a resolver says, while there is time."""
    left = min(RESOLVER_TIMEOUT, limits.end - time.monotonic())
    return exchange(server, asked, left) if left > 0 else None
