# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks another host whether it takes mail for an address; it says so to RCPT, and no mail is sent (row R8)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from functools import partial

from .._system.host import Host
from ..verdict import FAIL, INCONCLUSIVE, PASS
from .caller import Caller
from .dns import FOUND, NO_SUCH_NAME, NULL_MX, UNKNOWN, exchangers, nameservers
from .names import is_address
from .names import server as parse_server
from .reply import NoReply
from .transport import Limits, UnsafeCommandError, datagram, own_name, stream

MAX_SERVERS = 4
RESOLVER_TIMEOUT = 3.0
DNS_FINDINGS = {
    NO_SUCH_NAME: (FAIL, "the name does not exist in the DNS"),
    NULL_MX: (FAIL, "a null MX: this domain takes no mail (RFC 7505)"),
    UNKNOWN: (INCONCLUSIVE, "no resolver answers"),
}


@dataclass(frozen=True)
class FarEnd:
    """What the host that gets the mail says: ``code`` and ``text`` of its reply to ``command``."""

    verdict: str
    server: str
    command: str
    code: int
    text: str


def ask_far_end(next_hop: str, recipient: str, helo: str = "", timeout: float = 10.0) -> FarEnd:
    """Ask the host that would get mail for ``recipient`` from here.

    ``next_hop`` is a domain whose mail exchangers are asked in turn, until one says yes or no; or ``[host]``, which
    is that host itself; either may end in ``:port``. An empty ``helo`` stands for this host's own name. ``timeout`` in
    seconds: for each reply, and four times that for the whole.
    """
    try:
        host, port = parse_server(next_hop)
    except ValueError as error:
        return FarEnd(FAIL, next_hop, "", 0, f"not a host: {error}")
    hosts: tuple[str, ...] = (host,)
    if not next_hop.startswith("[") and not is_address(host):
        found = exchangers(host, _resolvers(), secrets.randbelow(65536), *_exchanges())
        if found.state in DNS_FINDINGS:
            verdict, text = DNS_FINDINGS[found.state]
            return FarEnd(verdict, "", f"MX of {host}", 0, text)
        hosts = found.hosts if found.state == FOUND else hosts
    limits = Limits.starting_now(timeout, 4 * timeout)
    answer = FarEnd(INCONCLUSIVE, host, "", 0, "no host was asked")
    for name in hosts[:MAX_SERVERS]:
        try:
            answer = _ask(Caller(name, port, limits), name, recipient, helo or own_name() or "localhost")
        except UnsafeCommandError as error:
            return FarEnd(FAIL, name, "", 0, f"no address for SMTP: {error}")
        if answer.verdict != INCONCLUSIVE:
            break
    return answer


def _ask(caller: Caller, server: str, recipient: str, helo: str) -> FarEnd:
    connection, heard = caller.call("EHLO", helo)
    command, answer = heard.command, heard.answer
    if connection:
        for command in ("MAIL FROM:<>", f"RCPT TO:<{recipient}>"):
            answer = connection.command(command)
            if not answer.positive:
                break
        connection.quit()
    unknown = isinstance(answer, NoReply) and answer.unknown_host
    verdict = PASS if answer.positive else FAIL if answer.code >= 500 or unknown else INCONCLUSIVE
    return FarEnd(verdict, server, command, answer.code, answer.text)


def _resolvers() -> list[str]:
    try:
        return nameservers(Host().read("/etc/resolv.conf"))
    except OSError:
        return nameservers("")


def _exchanges() -> tuple[partial[bytes | None], partial[bytes | None]]:
    return partial(datagram, timeout=RESOLVER_TIMEOUT), partial(stream, timeout=RESOLVER_TIMEOUT)
