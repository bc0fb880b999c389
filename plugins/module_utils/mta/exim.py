# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The adapter for Exim: its own options -bP, -be and -bt say what it does."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Union

from ..aliases.expand import Step, walk
from ..errors import UserError
from . import exim_domains, exim_log
from .adapter import AliasFile, Served, Table
from .exim_oracle import Oracle
from .exim_route import COMPILED, Address, Include, Routers, source_of
from .exim_syntax import drivers, lookups, settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._system.host import Host
    from ..proof import HandedOn, Limit
    from ..verdict import Problem
    from .adapter import Opinion

OPTIONS = ("primary_hostname", "qualify_recipient", "log_file_path", "allow_domain_literals", "exim_user")
LOG_FILE = "/var/log/exim4/mainlog"
KINDS = {"local_domains": "local", "virtual_domains": "virtual", "relay_to_domains": "relay"}

Node = Union[Address, Include]


class Exim:
    """One Exim, as it describes itself."""

    name = "exim"
    limits: tuple[Limit, ...] = ()
    trusts_itself = False

    def __init__(self, host: Host) -> None:
        self._host = host
        config = self._print("config")
        named = [f"+{name}" for name in exim_domains.names(config)]
        said = self._print(*OPTIONS, *named, "routers", "transports")
        main = said.partition("\n\n")[0]
        self._settings, self._lists = settings(main), exim_domains.values(main)
        self._router_list = drivers(said, "router")
        self._sources = exim_domains.sources(config, self._router_list)
        self._routers = Routers(host, self._settings, self._router_list, drivers(said, "transport"), self._lists)
        self._oracle = Oracle(host)
        self._readable: dict[str, bool] = {}
        self._all_readable = True  # as far as was walked

    def _print(self, *what: str) -> str:
        done = self._host.ask(["exim4", "-bP", *what])
        if done.rc:
            raise UserError(f"Exim cannot be asked: {done.why}")
        return done.out

    def version(self) -> str:
        found = re.search(r"^Exim version (\S+)", self._host.ask(["exim4", "-bV"]).out)
        return found.group(1) if found else ""

    def served(self) -> Served:
        listed = exim_domains.listing(
            self._sources, self._lists, self._settings["primary_hostname"], self._routers.expanded, self._lines
        )
        routed = [domain for domain, found in listed.domains.items() if not _by_name(found, "local", "virtual")]
        self._routers.warm([self._routers.address("postmaster@" + domain) for domain in [*routed, *self._own()]])
        kinds = {domain: self._kind(domain, found) for domain, found in listed.domains.items()}
        return Served(
            self._settings["primary_hostname"].lower(),
            tuple(domain for domain, kind in kinds.items() if kind == "local"),
            tuple(domain for domain, kind in kinds.items() if kind == "virtual"),
            {domain: self._next_hop(domain) for domain, kind in kinds.items() if kind == "relay"},
            tuple(self._literals()),
            tuple(listed.unlisted),
        )

    def kind_of(self, domain: str) -> str:
        found = [f"domainlist {name}" for name in KINDS if name in self._lists and self._in(domain, f"+{name}")]
        served = found or any(self._in(domain, text) for _where, text in self._sources)
        return self._kind(domain, found) if served else "none"

    def _in(self, domain: str, items: str) -> bool:
        return self._routers.matches("domain", domain, items)

    def _kind(self, domain: str, found: Sequence[str]) -> str:
        """By the name of a list that has it, as Debian calls them; else by what the routers do with its mail."""
        return _by_name(found, *KINDS.values()) or ("relay" if self._next_hop(domain) else "virtual")

    def _lines(self, path: str) -> list[str] | None:
        try:
            return self._host.read(path).splitlines()
        except OSError:
            return None

    def _literals(self) -> list[str]:
        """The host's own addresses, as literals, where the routers do not send mail for them elsewhere."""
        steps = {literal: self._first(literal) for literal in self._own()}
        return [
            literal
            for literal, step in steps.items()
            if step.edges or any(end.kind not in ("remote", "error") for end in step.destinations)
        ]

    def _own(self) -> list[str]:
        """The host's own addresses as literals, where Exim knows such."""
        if self._settings.get("allow_domain_literals", "true") == "no_allow_domain_literals":
            return []
        return [f"[IPv6:{address}]" if ":" in address else f"[{address}]" for address in self._host.addresses()]

    def _next_hop(self, domain: str) -> str:
        ends = self._first(domain).destinations
        return next((end.next_hop for end in ends if end.kind == "remote"), "")

    def _first(self, domain: str) -> Step:
        """What the routers do with postmaster at a domain; nothing where Exim cannot say it now."""
        with suppress(UserError):
            return self._routers.step(self._routers.address("postmaster@" + domain))
        return Step()

    def tables(self) -> list[Table]:
        return [
            self._table(router.name, kind, path)
            for router in self._router_list
            for option in ("data", "route_data", "domains")
            for kind, path in lookups(router.get(option))
        ]

    def _table(self, role: str, kind: str, path: str) -> Table:
        if not kind.startswith(COMPILED):
            return Table(role, kind, path)
        return Table(role, kind, source_of(path), path, self._routers.stale(kind, path))

    def listeners(self) -> list[tuple[str, int]]:
        return [
            (found.address, found.port)
            for found in self._host.listeners()
            if "exim4" in found.programs or (not found.programs and found.port == 25)
        ]

    def aliases(self) -> AliasFile:
        """The first table that a redirect router looks a local part up in. Exim reads it as it is."""
        for router in self._router_list:
            data = router.get("data")
            if router.get("driver") == "redirect" and "$local_part" in data and "domain" not in data:
                for _kind, path in lookups(data):
                    return AliasFile(path)
        return AliasFile("/etc/aliases")

    def aliased(self, names: Sequence[str]) -> set[str]:
        source = self._routers.source(self.aliases().path)
        return {name for name in names if source and source.entry(name) is not None}

    def expect(self, addresses: Sequence[str]) -> None:
        nodes = [self.node(address) for address in addresses]
        self._routers.warm(nodes)
        self._oracle.ask(str(node) for node in nodes if self._answers(node))

    def _answers(self, node: Address) -> bool:
        """Whether Exim can be asked about an address: before a FIFO in the place of a list it waits for ever."""
        if node.text not in self._readable:
            self._readable[node.text] = not any(map(_unreadable, walk(node, self.step).problems))
        return self._readable[node.text]

    def node(self, address: str) -> Address:
        return self._routers.address(address)

    def step(self, node: Node) -> Step:
        found = self._routers.include(node) if isinstance(node, Include) else self._routers.step(node)
        self._all_readable = self._all_readable and not any(map(_unreadable, found.problems))
        return found

    def opinion(self, address: str) -> Opinion | None:
        node = self.node(address)
        return self._oracle.opinion(str(node)) if self._all_readable or self._answers(node) else None

    def paused(self) -> list[str]:
        return []  # nobody can ask for that

    def handed_on(self, queue_id: str, since: float) -> HandedOn:
        paths = [path.strip().replace("%s", "main") for path in self._settings.get("log_file_path", "").split(":")]
        written = next((path for path in paths if path.startswith("/")), "" if "syslog" in paths else LOG_FILE)
        owner = self._settings.get("exim_user", "Debian-exim")
        return exim_log.handed_on(self._host, written, owner, queue_id, since)


def _by_name(found: Sequence[str], *kinds: str) -> str:
    """The kind of a domain by the names of the lists that have it; empty where they do not tell it."""
    return next((kind for name, kind in KINDS.items() if kind in kinds and f"domainlist {name}" in found), "")


def _unreadable(problem: Problem) -> bool:
    return problem.id == "R9"
