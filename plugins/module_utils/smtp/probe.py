# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The probe of one server: everything that is asked of it, and the token messages where those are asked for."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Callable

from .._system.deadline import Deadline
from ..checked import Checked, number, seconds
from ..unexpected import attempt
from ..verdict import INCONCLUSIVE, PASS, Check, add_up
from .asking import ask
from .caller import Caller
from .dialogue import CLOSED, LITERALS, PLACES, Target, closed, letters, not_offered, plan, verdicts
from .names import domain, host, literal, local_part, mailbox
from .names import server as parse_server
from .sending import Message, send
from .submission import ask_submission
from .tls import ask_tls
from .transport import Limits, own_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .reply import Answer
    from .transport import Connection


SERVERS = 100  # that one module probes
SUBMISSION_TIMEOUT = 3.0  # seconds: many a firewall lets nobody through to a port that nothing listens on


@dataclass(frozen=True)
class Options:
    """How to probe. ``timeout`` and ``deadline`` in seconds: for each reply, and for all servers together.

    An empty ``helo`` stands for this host's own name; a ``sender`` of None for postmaster there. ``sent`` is called
    with every token message that the server took, before the next one is sent. ``limits`` is that of the ``Target``;
    ``submission`` is the port of that service (0: it is not asked).
    """

    helo: str = ""
    sender: str | None = None
    foreign_domain: str = "foreign.invalid"
    send: bool = False
    send_forms: str = "one"
    send_places: Sequence[str] = PLACES
    timeout: float = 15.0
    deadline: float = 120.0
    retries: int = 1
    limits: bool = True
    submission: int = 587
    sent: Callable[[Message], None] | None = None


@dataclass(frozen=True)
class ServerResult:
    """What one server answered. ``exempt``: it takes no mail at all and says so with 554 or 521."""

    server: str
    port: int
    checks: list[Check]
    exempt: bool = False
    messages: list[Message] = field(default_factory=list)
    transcript: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        return add_up(check.weight for check in self.checks)

    def as_dict(self) -> dict[str, Any]:
        return {
            "server": self.server,
            "port": self.port,
            "verdict": self.verdict,
            "exempt": self.exempt,
            "checks": [check.as_dict() for check in self.checks],
            "messages": [dict(vars(message)) for message in self.messages],
            "transcript": self.transcript,
        }


def probe(
    server: str,
    port: int = 25,
    served: Sequence[str] = (),
    relayed: Sequence[str] = (),
    literals: Sequence[str] = (),
    role_addresses: Sequence[str] = ("abuse",),
    options: Options | None = None,
) -> ServerResult:
    """Ask one server everything. ``literals`` are its own addresses, in brackets, besides the one connected to."""
    options = options or Options()
    limits = Limits.starting_now(options.timeout, options.deadline)
    caller = Caller(server, port, limits)
    connection, greeting = caller.first()
    own = (literal(connection.peer),) if connection else ()
    target = replace(
        _target(caller, connection, greeting, options),
        served=tuple(dict.fromkeys(served)),
        relayed=tuple(dict.fromkeys(relayed)),
        literals=tuple(dict.fromkeys((*own, *literals))),
        role_addresses=tuple(dict.fromkeys(role_addresses)),
    )
    transactions = plan(target, "nosuch-" + secrets.token_hex(6))
    if connection and greeting.code in CLOSED:
        command = f"EHLO {target.helo}"
        checks = closed(transactions, greeting, command, connection.command(command))
        connection.quit()
        return ServerResult(server, port, checks, exempt=True, transcript=caller.transcript)
    # What goes to each place travels while the rest is asked; what travels furthest sets out first.
    early = letters(transactions, [], "one", options.send_places) if options.send else []
    early.sort(key=lambda letter: letter[1].domain not in relayed)
    messages = send(caller, target, early, options.retries, options.sent)
    checks = verdicts(transactions, ask(caller, target.helo, transactions, options.retries)) + not_offered(target)
    if options.limits and connection and "STARTTLS" in target.extensions:
        taken = next((check.address for check in checks if check.id in ("A1", "A2") and check.verdict == PASS), "")
        checks += ask_tls(connection.peer, port, limits, target, taken, caller.transcript)
    if options.submission and connection:
        others = [f"probe@{target.foreign_domain}"]
        others += (f"{role}@{name}" for name in target.served[:1] for role in target.role_addresses[:1])
        short = Limits(min(SUBMISSION_TIMEOUT, options.timeout), limits.end)
        checks.append(
            ask_submission(connection.peer, options.submission, short, target.helo, others, caller.transcript)
        )
    forms = letters(transactions, checks, options.send_forms, ()) if options.send else []
    messages += send(caller, target, [form for form in forms if form not in early], options.retries, options.sent)
    return ServerResult(server, port, checks, messages=messages, transcript=caller.transcript)


def hand_in(server: str, port: int, served: Sequence[str], options: Options) -> list[Message]:
    """Send one token message to each place and ask nothing, as a program on the host does that has mail to send.

    None where the server takes no mail from here either.
    """
    caller = Caller(server, port, Limits.starting_now(options.timeout, options.deadline))
    connection, greeting = caller.first()
    if not connection or not greeting.positive:
        if connection:
            connection.quit()
        return []
    target = replace(_target(caller, connection, greeting, options), served=tuple(served))
    wanted = letters(plan(target, ""), [], "one", PLACES)
    return send(caller, target, wanted, options.retries, options.sent)


def _target(caller: Caller, connection: Connection | None, greeting: Answer, options: Options) -> Target:
    """How the server introduces itself, and the probe itself to the server."""
    helo = options.helo or own_name() or (literal(connection.own) if connection else "localhost")
    return Target(
        name=_name(connection),
        extensions=caller.extensions(helo) if connection and greeting.positive else {},
        foreign_domain=options.foreign_domain,
        limits=options.limits,
        helo=helo,
        sender=f"postmaster@{helo}" if options.sender is None else options.sender,
    )


def _name(connection: Connection | None) -> str:
    """What the server calls itself, where that is the name of a domain."""
    try:
        found = domain(connection.name) if connection else ""
    except ValueError:
        return ""
    return found if "." in found else ""


def probe_each(
    servers: Sequence[tuple[str, int]],
    served: Sequence[str],
    relayed: Sequence[str],
    literals: Sequence[str],
    role_addresses: Sequence[str],
    options: Options,
) -> list[ServerResult]:
    """Probe the addresses of one mail host.

    Each place gets one token message, through the first address that takes it; an address literal, through its own. The
    limits are asked for at the first address that answers. Of the time that is left each has the same share.
    """
    results: list[ServerResult] = []
    deadline = Deadline(options.deadline)
    for index, (name, port) in enumerate(servers):
        taken = any(200 <= message.code < 300 for result in results for message in result.messages)
        answered = any(check.id == "A11" and check.code for result in results for check in result.checks)
        rest = replace(
            options,
            send_places=LITERALS if taken else options.send_places,
            limits=not answered,
            deadline=deadline.left / (len(servers) - index),
        )
        work = partial(probe, name, port, served, relayed, literals, role_addresses, rest)
        results.append(attempt(work, partial(_unseen, name, port, (*served, *relayed))))
    return results


def _unseen(server: str, port: int, domains: Sequence[str], reason: str) -> ServerResult:
    """The result of a server that could not be probed to the end."""
    message, remedy = f"the probe of {server} port {port} did not end: {reason}", "probe again"
    places = [("A1", f"postmaster@{name}", name) for name in domains] + [("A2", "Postmaster", "")]
    checks = [
        Check(row, INCONCLUSIVE, address, "connect", 0, reason, message, remedy, name) for row, address, name in places
    ]
    return ServerResult(server, port, checks, transcript=[f"-- {reason}"])


def probe_servers(params: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    """Probe the servers of ``params`` as the module smtp_probe documents them, and return its result."""
    note = Checked(params)
    servers = note.each("servers", parse_server, SERVERS)
    served = note.each("domains", domain)
    relayed = note.each("relay_domains", domain)
    literals = note.each("literals", lambda value: host(value) if value.startswith("[") else literal(value))
    roles = note.each("role_addresses", local_part)
    options = Options(
        helo=note.one("helo", host) if params["helo"] else "",
        sender=None if params["sender"] is None else note.one("sender", mailbox),
        foreign_domain=note.one("foreign_domain", domain),
        send=params["send"] and not check_mode,
        send_forms=params["send_forms"],
        timeout=note.one("timeout", seconds),
        deadline=note.one("deadline", seconds),
        retries=note.one("retries", number(0, 10)),
    )
    if not servers:
        note.errors.append("servers: [] is not allowed here; allowed: one server or more.")
    for name in sorted(set(served) & set(relayed)):
        note.errors.append(f"relay_domains: {name!r} is among the domains too; a domain is served or relayed.")
    if options.foreign_domain in (*served, *relayed):
        note.errors.append(f"foreign_domain: {options.foreign_domain!r} is a domain of the servers; name another.")
    note.settle()
    results = probe_each(servers, served, relayed, literals, roles, options)
    return {
        "verdict": add_up(result.verdict for result in results),
        "servers": [result.as_dict() for result in results],
    }
