# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The adapter for Postfix: everything is asked of Postfix's own tools."""

from __future__ import annotations

import posixpath
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import UserError
from . import postfix_log
from .adapter import AliasFile, Served, Table
from .postfix_local import Include, Local, LocalDelivery, Node
from .postfix_route import ALIAS, LOCAL, MAILBOX, OTHER, RELAY, Address, Router
from .postfix_syntax import addresses, elements, parameters, ports, services
from .postfix_tables import POSTALIAS, POSTMAP, Tables, described

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._system.host import Host, Socket
    from ..aliases.expand import Step
    from ..proof import HandedOn, Limit

ROLES = {
    "alias_maps": POSTALIAS,
    "alias_database": POSTALIAS,
    **dict.fromkeys(
        (
            "canonical_maps",
            "recipient_canonical_maps",
            "virtual_alias_maps",
            "virtual_mailbox_maps",
            "transport_maps",
            "relay_recipient_maps",
            "relocated_maps",
        ),
        POSTMAP,
    ),
}
LISTS = ("mydestination", "virtual_alias_domains", "virtual_mailbox_domains", "relay_domains")
KINDS = {LOCAL: "local", ALIAS: "virtual", MAILBOX: "virtual", RELAY: "relay", OTHER: "none"}


class Postfix:
    """One Postfix, as its tools describe it."""

    name = "postfix"
    limits: tuple[Limit, ...] = ()
    trusts_itself = False

    def __init__(self, host: Host) -> None:
        done = host.ask(["postconf", "-x"])
        if done.rc:
            raise UserError(f"Postfix cannot be asked: {done.why}")
        self._host = host
        self._settings: dict[str, str] = parameters(done.out)
        self._tables = Tables(host, self._settings["config_directory"], elements(self._settings["alias_database"]))
        self._router = Router(host, self._settings, self._tables)
        self._local = LocalDelivery(self._router)

    def version(self) -> str:
        return self._settings["mail_version"]

    def served(self) -> Served:
        found, unlisted = self._router.listing(LISTS)
        virtual = found["virtual_alias_domains"] + found["virtual_mailbox_domains"]
        relay = found["relay_domains"]
        return Served(
            self._settings["myhostname"],
            tuple(found["mydestination"]),
            tuple(dict.fromkeys(virtual)),
            {
                domain: self._router.route("postmaster@" + domain).next_hop
                for domain in relay
                if self._router.kind(domain)[0] == RELAY
            },
            tuple(self._router.literals()),
            tuple(unlisted),
        )

    def kind_of(self, domain: str) -> str:
        kind, _setting = self._router.kind(domain)
        reasons = [problem.message for problem in self._router.unanswered(domain)]
        if reasons:
            raise UserError("; ".join(reasons))
        return KINDS[kind]

    def tables(self) -> list[Table]:
        return [
            replace(described(name), role=role, stale=self._stale(name, tool))
            for role, tool in ROLES.items()
            for name in self._router.maps(role)
        ]

    def _stale(self, name: str, tool: str) -> str:
        table = described(name)
        if table.compiled and not self._host.stat(table.compiled):
            return f"{table.compiled} is missing"
        return "; ".join(problem.message for problem in self._tables.stale(name, tool))

    def listeners(self) -> list[tuple[str, int]]:
        """Its sockets; where the kernel does not say whose they are, those on the ports of master.cf."""
        own, master = ports(services(self._router.master_cf(), "inet")), self._master()

        def is_own(found: Socket) -> bool:
            if master and found.pids:
                return master in found.pids
            return "master" in found.programs or (not found.programs and found.port in own)

        return [(found.address, found.port) for found in self._host.listeners() if is_own(found)]

    def _master(self) -> int:
        """The process of the master, of which another instance has its own; 0 where that is not known (master(8))."""
        try:
            written = self._host.read(posixpath.join(self._settings["queue_directory"], "pid", "master.pid")).strip()
        except OSError:
            return 0
        return int(written) if re.fullmatch("[0-9]{1,10}", written) else 0

    def aliases(self) -> AliasFile:
        tables = [described(name) for name in self._router.maps("alias_database", "alias_maps")]
        source = next((table.source for table in tables if table.source), "/etc/aliases")
        compiled = dict.fromkeys(table.compiled for table in tables if table.source == source and table.compiled)
        return AliasFile(source, tuple(compiled), ("newaliases",) if compiled else ())

    def aliased(self, names: Sequence[str]) -> set[str]:
        return self._local.aliased(names)

    def expect(self, addresses: Sequence[str]) -> None:
        self._router.warm([self.node(address) for address in addresses])

    def node(self, address: str) -> Address:
        return Address((addresses(address) or [address])[0])

    def step(self, node: Node) -> Step:
        if isinstance(node, Address):
            return self._router.step(node, lambda here, address: self._local.recipient(here, Local(address.text)))
        if isinstance(node, Include):
            return self._local.include(node)
        return self._local.recipient(node, node)

    def opinion(self, _address: str) -> None:
        """Postfix has no such tool: `sendmail -bv` sends its report as mail."""

    def paused(self) -> list[str]:
        return []  # nobody can ask for that

    def handed_on(self, queue_id: str, since: float) -> HandedOn:
        return postfix_log.handed_on(
            self._host,
            self._settings.get("maillog_file", ""),
            self._settings.get("mail_owner", "postfix"),
            queue_id,
            since,
        )
