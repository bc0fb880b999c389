# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenSMTPD: what it serves and makes of an address, by its configuration and its tables.

It has no tool that says what it makes of an address. Its answer to RCPT TO is that of the whole expansion.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import UserError
from ..proof import Limit
from ..verdict import FAIL, Problem
from . import opensmtpd_log
from .adapter import AliasFile, Served, Table, kind_in
from .opensmtpd_deliver import next_hop
from .opensmtpd_expand import Agent, Node
from .opensmtpd_rules import Rules, names_domain
from .opensmtpd_syntax import parse
from .opensmtpd_tables import RESTART, Tables, foreign, rebuild, source

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .._system.host import Host
    from ..aliases.expand import Step
    from ..proof import HandedOn
    from .opensmtpd_syntax import Action, Condition, Rule
    from .opensmtpd_syntax import Table as Written

CONFIG = "/etc/smtpd.conf"
MAILNAME = "/etc/mailname"


class OpenSMTPD:
    """One OpenSMTPD, as its configuration describes it."""

    name = "opensmtpd"
    limits: tuple[Limit, ...] = (
        Limit("A4", r"^RCPT TO:<\"", r"501 ", "OpenSMTPD takes no quoted local part"),
        Limit("A11", r"^MAIL FROM:.* SIZE=", "250 ", "OpenSMTPD asks for the size of a message at its end"),
        Limit("A16", r"^VRFY\b", r"500 ", "OpenSMTPD has no VRFY"),
        Limit("B1", "the DSN", "Content-Type: multipart/mixed", "OpenSMTPD's DSN is no multipart/report"),
        Limit("B3", "mail from nobody", "no return path!", "OpenSMTPD tells nobody but the sender, and drops the mail"),
        Limit("B4", "MAIL FROM with RET=HDRS", "the whole message", "OpenSMTPD 6.8 (Debian 12) returns all the same"),
        Limit(
            "D5", "^STARTTLS", "503 ", "OpenSMTPD 6.8 (Debian 12) completes no TLS handshake, so that it offers none"
        ),
        Limit("E2", "mail for a null MX", "No MX found for domain", "OpenSMTPD 6.8 (Debian 12) tries for days"),
    )

    def __init__(self, host: Host) -> None:
        self._host = host
        try:
            self._config = parse(CONFIG, host.read)
        except OSError as error:
            raise UserError(f"OpenSMTPD's {error.filename or CONFIG} cannot be read: {error.strerror}") from error
        self._hostname = self._server_name()
        self._tables = Tables(host)
        self._rules = Rules(self._config, self._tables, self._hostname)
        self._agent = Agent(self._config, self._rules, self._tables, self._config.greets_as or self._hostname)
        self._agent.aliases = self.aliases()
        self.trusts_itself = any(_relays_for_itself(rule) for rule in self._config.rules)

    def _server_name(self) -> str:
        """The first line of /etc/mailname, else the host's own name."""
        try:
            first = self._host.read(MAILNAME).split("\n")[0].strip()
        except OSError:
            first = ""
        return (first or self._host.ask(["hostname", "--fqdn"]).out.strip()).lower()

    def version(self) -> str:
        done = self._host.ask(["smtpd", "-h"])
        found = re.search(r"OpenSMTPD (\S+)", done.err + done.out)
        return found.group(1) if found else ""

    def served(self) -> Served:
        kinds: dict[str, str] = {}
        hops: dict[str, str] = {}
        for domain, action in self._domains():
            kind = "relay" if action.method == "relay" else "virtual" if action.table("virtual") else "local"
            if kinds.setdefault(domain, kind) == "relay":
                hops.setdefault(domain, next_hop(self._tables, action, domain))
        local = [name for name, kind in kinds.items() if kind == "local"]
        return Served(
            self._hostname,
            tuple(name for name in local if not name.startswith("[")),
            tuple(name for name, kind in kinds.items() if kind == "virtual"),
            hops,
            tuple(name for name in local if name.startswith("[")),
            tuple(dict.fromkeys(self._unlisted())),
        )

    def _unlisted(self) -> Iterator[str]:
        """What may hold more domains: tables that smtpd asks a program for, and patterns."""
        for rule in self._config.rules:
            for condition in rule.conditions:
                table = condition.table
                if not rule.action or condition.negated or condition.what != "for domain" or table is None:
                    continue
                where = f"match for domain <{table.name}>" if table.name else "match for domain"
                if foreign(table):
                    yield f"{where}: {table.type}"
                for key in self._tables.keys(table):
                    if condition.regex or "*" in key:
                        yield f"{where}: {key}"

    def _domains(self) -> Iterator[tuple[str, Action]]:
        """The domains that rules name, each with what is done with its mail, in the order of the rules."""
        for rule in self._config.rules:
            for condition in rule.conditions:
                if rule.action and not condition.negated and not condition.regex:
                    for name in self._names(condition):
                        yield name, rule.action

    def _names(self, condition: Condition) -> list[str]:
        if condition.what == "for local":
            return list(self._rules.local_names)
        if condition.what != "for domain" or condition.table is None:
            return []
        names = [name if name.startswith("[") else name.lower() for name in self._tables.keys(condition.table)]
        return [name for name in names if "*" not in name]

    def kind_of(self, domain: str) -> str:
        kind = kind_in(self.served(), domain)
        rule = None if kind != "none" else self._rules.find("postmaster", domain)
        if rule is None or not rule.action or not any(map(names_domain, rule.conditions)):
            return kind
        action = rule.action
        return "relay" if action.method == "relay" else "virtual" if action.table("virtual") else "local"

    def tables(self) -> list[Table]:
        """The tables that are read from files, and the files of the configuration itself."""
        config = [Table("configuration", "file", path, stale=self._old(path)) for path in self._files()]
        named = [table for table in self._config.tables.values() if table.path]
        return config + [self._table(table) for table in named]

    def _table(self, table: Written) -> Table:
        compiled = table.path if table.type == "db" else ""
        return Table(f"table {table.name}", table.type, source(table), compiled, self._tables.stale(table))

    def _files(self) -> list[str]:
        return [*self._config.files, MAILNAME]

    def _old(self, path: str) -> str:
        changed = self._tables.changed([path])
        return (
            f"{path} was changed after smtpd had started, so that smtpd does not know what it says now"
            if changed
            else ""
        )

    def listeners(self) -> list[tuple[str, int]]:
        return [
            (found.address, found.port)
            for found in self._host.listeners()
            if "smtpd" in found.programs or (not found.programs and found.port == 25)
        ]

    def _aliases(self) -> Written | None:
        """The first table of aliases that a rule leads to."""
        asked = (rule.action.table("alias") for rule in self._config.rules if rule.action)
        return next((table for table in asked if table and table.path), None)

    def aliases(self) -> AliasFile:
        table = self._aliases()
        if table is None:
            return AliasFile("/etc/aliases")
        return AliasFile(source(table), (table.path,) if table.type == "db" else (), rebuild(table))

    def aliased(self, names: Sequence[str]) -> set[str]:
        table = self._aliases()
        entries = self._tables.content(table).entries if table else {}
        return {name for name in names if name.lower() in entries}

    def expect(self, addresses: Sequence[str]) -> None:
        """Every table is read as a whole."""

    def node(self, address: str) -> Node:
        return self._agent.start(address)

    def step(self, node: Node) -> Step:
        found = self._agent.step(node)
        old = next(filter(None, map(self._old, self._files())), "") if node.number == 0 else ""
        if not old:
            return found
        problem = Problem("R10", FAIL, old, old.partition(" ")[0], f"run `{RESTART}`")
        return replace(found, problems=(problem, *found.problems))

    def opinion(self, _address: str) -> None:
        """OpenSMTPD has no such tool: RCPT TO is the question."""

    def paused(self) -> list[str]:
        said = self._host.ask(["smtpctl", "show", "status"]).out
        return re.findall(r"^(MDA|MTA) paused$", said, re.MULTILINE)

    def handed_on(self, queue_id: str, since: float) -> HandedOn:
        return opensmtpd_log.handed_on(self._host, queue_id, since)


def _relays_for_itself(rule: Rule) -> bool:
    """Whether a rule relays for what smtpd calls local: the host, by whatever address of its own it comes."""
    whats = {condition.what for condition in rule.conditions if not condition.negated}
    return bool(rule.action and rule.action.method == "relay") and {"from local", "for any"} <= whats
