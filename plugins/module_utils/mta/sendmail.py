# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The adapter for Sendmail: its test mode and `sendmail -bv` say what it does."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

from ..errors import UserError
from ..proof import Limit
from ..smtp.names import is_address
from . import sendmail_log
from .adapter import AliasFile, Opinion, Served, Table, kind_in
from .sendmail_name import short_name, sleeps
from .sendmail_route import Address, Node, Router
from .sendmail_syntax import alias_files, keys, maps
from .sendmail_tools import Tools

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._system.host import Host
    from ..aliases.expand import Step
    from ..proof import HandedOn

CONFIGURATION = "/etc/mail/sendmail.cf"
TEMPORARY = 75  # EX_TEMPFAIL


class Sendmail:
    """One Sendmail, as its tools describe it."""

    name = "sendmail"
    limits: tuple[Limit, ...] = (
        Limit(
            "E1", "^connect", "220", "Sendmail greets everybody with 220 whom no milter refuses; let it be send_only"
        ),
        Limit("A4", r'<".*\\', "550", "Sendmail does not take a backslash off inside of quotes (RFC 5321 4.1.2 does)"),
    )
    trusts_itself = True

    def __init__(self, host: Host) -> None:
        try:
            self._cf = host.read(CONFIGURATION)
        except OSError as error:
            raise UserError(f"{CONFIGURATION} cannot be read, so Sendmail cannot be asked: {error.strerror}") from error
        short = short_name(host)
        if short:
            raise UserError(f"Sendmail cannot be asked: {sleeps(short)}")
        self._host = host
        self._alias_files = alias_files(self._cf)
        self._tools = Tools(host, self._alias_files)
        self._router = Router(host, self._cf, self._tools)
        self._whole: set[str] = set()  # addresses of which is known that all their mail arrives
        self._about = host.ask(["sendmail", "-d0.1", "-bt"]).out

    def version(self) -> str:
        found = re.search(r"^Version (\S+)", self._about, re.MULTILINE)
        return found.group(1) if found else ""

    def served(self) -> Served:
        found = re.search(r"\$j = (\S+)", self._about)
        classes = self._classes("w", "{VirtHost}", "R")
        tables = {table.name: self._tools.source(table.path) for table in maps(self._cf)}
        users = tables.get("virtuser")
        listed = [name for name in (*classes["w"], *classes["{VirtHost}"]) if users and users.entry("@" + name)]
        relay = self._relayed(classes["R"])
        virtual = dict.fromkeys([*listed, *(name for name in classes["{VirtHost}"] if name not in relay)])
        return Served(
            found.group(1).lower() if found else "",
            tuple(name for name in classes["w"] if "." in name and name not in virtual and not _is_address(name)),
            tuple(name for name in virtual if name not in relay),
            relay,
            tuple(self._literals(classes["w"])),
        )

    def _classes(self, *names: str) -> dict[str, list[str]]:
        """The members of classes, as the test mode prints them."""
        answers = self._tools.ask_each([f"$={name}" for name in names])
        return {name: _members(answer) for name, answer in itertools.zip_longest(names, answers, fillvalue="")}

    def _relayed(self, listed: Sequence[str]) -> dict[str, str]:
        """The domains to which anybody may send: those that the access table names, and those ``listed`` in class R."""
        access = next((table for table in maps(self._cf) if table.name == "access"), None)
        try:
            text = self._host.read(access.path) if access else ""
        except OSError:
            text = ""
        named = re.findall(r"^To:([\w.-]+)\s+RELAY", text, re.MULTILINE | re.IGNORECASE)
        domains = [name.lower() for name in (*named, *listed) if "." in name and not _is_address(name)]
        routes = {name: self._tools.route(f"postmaster@{name}") for name in dict.fromkeys(domains)}
        return {
            name: self._router.next_hop(route.mailer, route.host)
            for name, route in routes.items()
            if route.mailer not in ("local", "*error*")
        }

    def _literals(self, own: Sequence[str]) -> list[str]:
        forms = {
            address: f"[IPv6:{address}]" if ":" in address else f"[{address}]" for address in self._host.addresses()
        }
        return [form for form in forms.values() if form.lower() in own]

    def kind_of(self, domain: str) -> str:
        return kind_in(self.served(), domain)

    def tables(self) -> list[Table]:
        return [
            Table(table.name, table.type, table.path, table.path + ".db", self._tools.stale(table))
            for table in (*self._alias_files, *maps(self._cf))
        ]

    def listeners(self) -> list[tuple[str, int]]:
        return [
            (found.address, found.port)
            for found in self._host.listeners()
            if {"sendmail", "sendmail-mta"} & found.programs or (not found.programs and found.port == 25)
        ]

    def aliases(self) -> AliasFile:
        path = self._alias_files[0].path if self._alias_files else "/etc/mail/aliases"
        return AliasFile(path, (path + ".db",), ("newaliases",))

    def aliased(self, names: Sequence[str]) -> set[str]:
        self._tools.warm_aliases(key for name in names for key in keys(name.lower()))
        return {name for name in names if self._tools.alias(name.lower())}

    def expect(self, addresses: Sequence[str]) -> None:
        self._tools.warm_routes(addresses)
        if addresses and self._host.ask(["sendmail", "-bv", *addresses]).rc == 0:
            self._whole.update(addresses)

    def node(self, address: str) -> Address:
        return Address(address.partition(":")[2] if address.startswith("@") and ":" in address else address)

    def step(self, node: Node) -> Step:
        return self._router.step(node)

    def opinion(self, address: str) -> Opinion | None:
        if address in self._whole:
            return Opinion(True, f"sendmail -bv {address}", "deliverable")
        done = self._host.ask(["sendmail", "-bv", address])
        words = [line for line in done.out.splitlines() if " deliverable: " not in line]
        deliverable = None if done.rc == TEMPORARY else done.rc == 0
        return Opinion(deliverable, done.command, "; ".join(words) or str(done.rc))

    def paused(self) -> list[str]:
        return []  # nobody can ask for that

    def handed_on(self, queue_id: str, since: float) -> HandedOn:
        return sendmail_log.handed_on(self._host, queue_id, since)


def _members(answer: str) -> list[str]:
    found = (re.sub(r"^> ", "", line).strip().lower() for line in answer.splitlines())
    return sorted({name for name in found if re.fullmatch(r"[\w.-]+|\[[\w.:]+\]", name)})


def _is_address(name: str) -> bool:
    """Whether a member of a class is an address of the host, in brackets or without."""
    return name[0] == "[" or is_address(name)
