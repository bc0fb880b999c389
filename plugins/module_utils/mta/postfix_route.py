# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Postfix does with a recipient address, up to the delivery agent that gets it.

In Postfix's order: the canonical form, recipient_canonical_maps and canonical_maps, virtual_alias_maps, then the class
of the domain (local, virtual alias, virtual mailbox, relay, any other), transport_maps and relocated_maps.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Callable

from ..aliases.expand import Destination, Edge, Step
from ..verdict import FAIL, Problem
from .postfix_syntax import (
    Key,
    address_keys,
    addresses,
    elements,
    rewrite,
    services,
    split,
    split_extension,
    transport_keys,
    with_extension,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .._system.host import Host
    from .postfix_tables import Answer, Found, Tables

CANONICAL, VIRTUAL, ROUTE = "canonical", "virtual", "route"
LOCAL, ALIAS, MAILBOX, RELAY, OTHER = "local", "virtual alias", "virtual mailbox", "relay", "other"
ROUTING = re.compile(r"[@!%]")


@dataclass(frozen=True)
class Address:
    """A recipient, in internal form, before one of the three stages of Postfix's work on it."""

    text: str
    stage: str = CANONICAL

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Route:
    """The class of an address, the transport and next hop that Postfix chose, and the setting that chose them."""

    kind: str
    transport: str
    next_hop: str
    via: str
    problems: tuple[Problem, ...] = ()
    failed: bool = False


class Router:
    """One Postfix's address rewriting and routing."""

    def __init__(self, host: Host, settings: dict[str, str], tables: Tables) -> None:
        self.host = host
        self.settings = settings
        self.tables = tables
        self.delimiters = settings["recipient_delimiter"]
        self.origin = self._origin()
        self._agents: dict[str, str] | None = None
        self._own: list[str] | None = None
        self._listed: dict[tuple[str, str], bool] = {}
        self._unanswered: dict[str, tuple[Problem, ...]] = {}

    def maps(self, *names: str) -> list[str]:
        """The tables of one or more settings."""
        return [table for name in names for table in elements(self.settings.get(name, ""))]

    def rewritten(self, text: str) -> tuple[str, str]:
        return rewrite(text, self.settings, self.origin)

    def step(self, node: Address, local: Callable[[Address, Address], Step]) -> Step:
        """What follows an address; ``local(node, address)`` goes on where the local delivery agent gets it."""
        text, via = self.rewritten(node.text)
        if "@" not in text:
            text, via = "{}@{}".format(text, self.settings["myhostname"]), "myhostname"
        if text.lower() != node.text.lower():
            return _onward(node, [Address(text, node.stage)], via)
        address = Address(text, node.stage)
        problems: tuple[Problem, ...] = ()
        for stage, following, settings in (
            (CANONICAL, VIRTUAL, ("recipient_canonical_maps", "canonical_maps")),
            (VIRTUAL, ROUTE, ("virtual_alias_maps",)),
        ):
            if address.stage != stage:
                continue
            step = self._mapped(node, address, following, settings)
            problems += step.problems
            if step.edges or step.destinations:
                return replace(step, problems=problems)
            address = replace(address, stage=following)
        step = self._routed(node, address, local)
        return replace(step, problems=problems + step.problems)

    def _mapped(self, node: Address, address: Address, following: str, settings: tuple[str, ...]) -> Step:
        """What the tables of one stage make of an address; one that leads to itself goes on to the next stage."""
        problems: tuple[Problem, ...] = ()
        for setting in settings:
            names = self.maps(setting)
            if not names:
                continue
            _dummy, domain = split(address.text)
            here = domain.lower() == self.origin.lower() or self.is_local(domain)
            answer = self.tables.find(names, address_keys(address.text, self.delimiters, here))
            problems += answer.problems
            if answer.failed:
                return Step((), (Destination("error", f"{setting} does not answer"),), problems)
            if not answer.found:
                continue
            results = self._results(address, following, setting, answer.found)
            if results == [Address(address.text, following)]:
                continue
            self.warm(results)
            return replace(_onward(node, results, answer.found.via), problems=problems)
        return Step((), (), problems)

    def _results(self, address: Address, following: str, setting: str, found: Found) -> list[Address]:
        """The addresses that an entry of a canonical or virtual alias table stands for."""
        kind = VIRTUAL if setting == "virtual_alias_maps" else CANONICAL
        extension = found.key.extension if kind in self.propagated() else ""
        user = split(address.text)[0]
        if found.key.extension:
            user = split_extension(user, self.delimiters)[0]
        results = []
        for result in addresses(found.value):
            # @domain stands for the same user there.
            text = with_extension(self.rewritten(user + result if result[0] == "@" else result)[0], extension)
            itself = text.lower() == address.text.lower()
            results.append(Address(text, following if itself else address.stage))
        return results if kind == VIRTUAL else results[:1]

    def warm(self, following: list[Address]) -> None:
        """Look up many addresses with one process a table."""
        if len(following) < 2:
            return
        settings = ("recipient_canonical_maps", "canonical_maps", "virtual_alias_maps")
        keys = [key for address in following for key in address_keys(address.text, self.delimiters, True)]
        self.tables.warm(self.maps(*settings), keys)
        self.warm_routes([address.text for address in following])

    def warm_routes(self, addresses: Iterable[str]) -> None:
        """Look up the transports of many addresses with one process a table."""
        keys = [key for address in addresses for key in transport_keys(address, self.delimiters, self._parents())]
        self.tables.warm(self.maps("transport_maps"), keys)

    def propagated(self) -> list[str]:
        return elements(self.settings["propagate_unmatched_extensions"])

    def _routed(self, node: Address, address: Address, local: Callable[[Address, Address], Step]) -> Step:
        user, domain = split(address.text)
        if self.is_local(domain) and ROUTING.search(user):
            text, via = self.rewritten(user)
            if text != f"{user}@{self.origin}":
                return _onward(node, [Address(text, ROUTE)], via)
        route = self.route(address.text)
        if route.failed:
            return Step((), (Destination("error", f"{route.via} does not answer"),), route.problems)
        step = local(node, address) if self.agent(route.transport) == "local" else self.handed_over(address.text, route)
        return replace(step, problems=route.problems + step.problems)

    def route(self, address: str) -> Route:
        """Class, transport and next hop of an address, as trivial-rewrite(8) finds them."""
        domain = split(address)[1].lower()
        kind, setting = self.kind(domain)
        if kind == ALIAS and not self.unanswered(domain):
            return Route(kind, "error", "User unknown in virtual alias table", "virtual_alias_domains")
        unanswered = self.unanswered(domain)
        if unanswered:  # Postfix defers the mail then
            return Route(kind, "", "", "a list of domains", unanswered, True)
        transport, _sign, next_hop = self.settings[setting].partition(":")
        via = setting
        if not next_hop:
            relayhost = self.settings["relayhost"] if kind in (RELAY, OTHER) else ""
            next_hop, via = (relayhost, "relayhost") if relayhost else (domain, via)
        problems: tuple[Problem, ...] = ()
        names = self.maps("transport_maps")
        if names:
            answer = self.tables.find(names, transport_keys(address, self.delimiters, self._parents()))
            problems = answer.problems
            if answer.failed:
                return Route(kind, transport, next_hop, "transport_maps", problems, True)
            if answer.found:
                channel, _sign, hop = answer.found.value.partition(":")
                next_hop = hop or (domain if channel else next_hop)
                transport = channel or transport
                via = answer.found.via
        names = self.maps("relocated_maps")
        if names:
            answer = self.tables.find(names, address_keys(address, self.delimiters, kind == LOCAL))
            problems += answer.problems
            if answer.found:
                moved = f"User has moved to {answer.found.value}"
                return Route(kind, "error", moved, answer.found.via, problems)
        return Route(kind, transport, next_hop, via, problems)

    def kind(self, domain: str) -> tuple[str, str]:
        """The class of a domain and the setting that names its transport."""
        if self.is_local(domain):
            return LOCAL, "local_transport"
        if self.listed("virtual_alias_domains", domain):
            return ALIAS, ""
        if self.listed("virtual_mailbox_domains", domain):
            return MAILBOX, "virtual_transport"
        if self.listed("relay_domains", domain):
            return RELAY, "relay_transport"
        return OTHER, "default_transport"

    def is_local(self, domain: str) -> bool:
        domain = domain.removesuffix(".")
        if domain.startswith("["):
            return str(_address(re.sub(r"(?i)^ipv6:", "", domain.strip("[]")))) in self._own_addresses()
        return self.listed("mydestination", domain)

    def listed(self, setting: str, domain: str) -> bool:
        """Whether a domain is in a list of names, patterns, files and tables."""
        asked = (setting, domain.lower())
        if asked not in self._listed:
            parents = setting in elements(self.settings["parent_domain_matches_subdomains"])
            self._listed[asked] = self._in_list(self.maps(setting), domain.lower(), parents)
        return self._listed[asked]

    def _in_list(self, patterns: list[str], domain: str, parents: bool) -> bool:
        labels = domain.split(".")
        above = [".".join(labels[at:]) for at in range(1, len(labels))]
        keys = [domain, *(name if parents else "." + name for name in above)]
        for pattern in patterns:
            wanted = pattern.lstrip("!")
            verdict = (len(pattern) - len(wanted)) % 2 == 0
            if wanted.startswith("/"):
                if self._in_list(self.members(wanted), domain, parents):
                    return verdict
            elif ":" in wanted and not wanted.startswith("["):
                answer = self.tables.find([wanted], [Key(key, key != domain) for key in keys])
                if answer.failed:
                    self._unanswered[domain] = answer.problems
                if answer.found:
                    return verdict
            elif wanted.lower() in keys:
                return verdict
        return False

    def unanswered(self, domain: str) -> tuple[Problem, ...]:
        """Why the class of a domain is not known: a table that was asked for it gave no answer."""
        return self._unanswered.get(domain.lower(), ())

    def members(self, path: str) -> list[str]:
        """The names in a file of names."""
        try:
            lines = self.host.read(path).splitlines()
        except OSError:
            return []
        return elements(" ".join(line for line in lines if not line.lstrip().startswith("#")))

    def listing(self, settings: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
        """The domains of each list; and by setting and name, what may hold more and cannot be listed."""
        found: dict[str, list[str]] = {}
        unlisted: list[str] = []
        for setting in settings:
            names = [name for pattern in self.maps(setting) for name in self._names(setting, pattern, unlisted)]
            found[setting] = list(dict.fromkeys(name.lower() for name in names))
        return found, unlisted

    def _names(self, setting: str, pattern: str, unlisted: list[str]) -> list[str]:
        """The domains of one pattern of a list; ``unlisted`` gets what else is in it."""
        where = f"{setting}: {pattern}"
        if pattern.startswith("/"):
            inner = [name for name in self.members(pattern) if not name.startswith("/")]
            return [found for name in inner for found in self._names(setting, name, unlisted)]
        if ":" in pattern and not pattern.startswith("["):
            keys = self.tables.keys(pattern)
            unlisted += [where] if keys is None else [f"{where}: {key}" for key in keys if key.startswith(".")]
            return [key for key in keys or () if re.match(r"[^@.:\s]+(\.[^@.:\s]+)+$", key)]
        unlisted += [where] if pattern.startswith(".") else []
        return [] if pattern.startswith(("!", ".")) else [pattern]

    def literals(self) -> list[str]:
        """The address literals that a stranger may use for this host."""
        outer = [address for address in self._own_addresses() if not ipaddress.ip_address(address).is_loopback]
        return ["[{}{}]".format("IPv6:" if ":" in address else "", address) for address in outer]

    def _own_addresses(self) -> list[str]:
        if self._own is None:
            wanted = [name.strip("[]") for name in self.maps("inet_interfaces", "proxy_interfaces")]
            found = [str(address) for address in map(_address, wanted) if address]
            found += self.host.addresses() if "all" in wanted else []
            found += ["127.0.0.1", "::1"] if {"all", "loopback-only"} & set(wanted) else []
            self._own = [address for address in dict.fromkeys(found) if self._speaks(address)]
        return self._own

    def _speaks(self, address: str) -> bool:
        protocols = elements(self.settings["inet_protocols"])
        return "all" in protocols or ("ipv6" if ":" in address else "ipv4") in protocols

    def agent(self, transport: str) -> str:
        """The program that master.cf starts for a transport."""
        return (self.command(transport).split() or [""])[0]

    def command(self, transport: str) -> str:
        if self._agents is None:
            self._agents = services(self.master_cf(), "unix", "fifo", "pass")
        return self._agents.get(transport, "")

    def master_cf(self) -> str:
        try:
            return self.host.read(self.settings["config_directory"] + "/master.cf")
        except OSError:
            return ""

    def handed_over(self, address: str, route: Route) -> Step:
        """Where an address ends that another agent than local(8) gets."""
        agent = self.agent(route.transport)
        if agent == "virtual":
            return self._virtual_mailbox(address)
        if route.kind in (RELAY, MAILBOX):
            setting = {RELAY: "relay_recipient_maps", MAILBOX: "virtual_mailbox_maps"}[route.kind]
            names = self.maps(setting)
            answer = self.tables.find(names, address_keys(address, self.delimiters, False))
            if names and not answer.found:
                return _unknown(address, setting, answer)
        if agent == "smtp":
            login = self.settings.get("smtp_sasl_auth_enable") == "yes"
            return Step((), (Destination("remote", address, route.via, next_hop=route.next_hop, login=login),))
        if agent == "lmtp":
            return Step((), (Destination("lmtp", route.next_hop, route.via),))
        if agent == "discard":
            return Step((), (Destination("null", f"discard:{route.next_hop}", route.via),))
        if agent == "error" or not agent:
            reason = route.next_hop if agent else f"the transport {route.transport} is not in master.cf"
            remedy = (
                f"add a line for {address} to the tables of virtual_alias_maps"
                if route.kind == ALIAS
                else f"correct {route.via}"
            )
            problem = Problem("R3", FAIL, f"{address} is refused: {reason}", route.via, remedy)
            return Step((), (Destination("error", reason, route.via),), (problem,))
        program = re.search(r"\bargv=(.*)", self.command(route.transport))
        value = program.group(1) if program else f"{route.transport}:{route.next_hop}"
        return Step((), (Destination("pipe", value, route.via),))

    def _virtual_mailbox(self, address: str) -> Step:
        answer = self.tables.find(self.maps("virtual_mailbox_maps"), address_keys(address, self.delimiters, False))
        if not answer.found:
            return _unknown(address, "virtual_mailbox_maps", answer)
        path = "{}/{}".format(self.settings["virtual_mailbox_base"].rstrip("/"), answer.found.value)
        return Step((), (Destination("mailbox", path, answer.found.via),), answer.problems)

    def _parents(self) -> bool:
        return "transport_maps" in elements(self.settings["parent_domain_matches_subdomains"])

    def _origin(self) -> str:
        origin = self.settings["myorigin"]
        if origin.startswith("/"):
            return next(iter(self.members(origin)), self.settings["myhostname"])
        return origin


def _onward(node: Address, targets: list[Address], via: str) -> Step:
    return Step(tuple(Edge(node, target, via) for target in targets))


def _unknown(address: str, setting: str, answer: Answer) -> Step:
    """What follows an address that no table of a setting has; or that one of them might have, which gave no answer."""
    if answer.failed:
        return Step((), (Destination("error", f"{setting} does not answer"),), answer.problems)
    message = f"{address} is in none of the tables of {setting}"
    problem = Problem("R3", FAIL, message, setting, f"add a line for {address} to one of them")
    return Step((), (Destination("error", message, setting),), (*answer.problems, problem))


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
