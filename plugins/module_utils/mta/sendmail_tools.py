# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Sendmail's tools say of addresses and aliases, many at a time; and whether a table says what its source says."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from ..aliases.sources import Source
from ..verdict import FAIL, Problem
from .sendmail_syntax import Map, Route, found_in_map, keys, members, onward, route

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .._system.host import Host
    from ..aliases.sources import Entry


MARK = f"mark{os.urandom(8).hex()}"  # nobody who writes an address can know it
LONGEST = 1000  # octets: Sendmail cuts longer lines, and takes the rest for a command
NO_ROUTE = Route("*error*", "", "Sendmail does not parse it")


class Tools:
    """The test mode of Sendmail; nothing is asked twice."""

    def __init__(self, host: Host, alias_files: list[Map]) -> None:
        self._host = host
        self._alias_files = alias_files
        self._routes: dict[str, Route] = {}
        self._aliases: dict[str, str | None] = {}
        self._sources: dict[str, Source | None] = {}

    def ask(self, lines: Iterable[str]) -> str:
        """What the test mode answers."""
        return self._host.ask(["sendmail", "-bt"], stdin="".join(line + "\n" for line in lines)).out

    def ask_each(self, questions: Sequence[str]) -> list[str]:
        """What one process answers to each of some lines; fewer answers if it ends early.

        A map that does not exist marks where each answer ends: some lines have no answer.
        """
        said = self.ask(line for question in questions for line in (question, f"/map {MARK} x")) if questions else ""
        return said.split(f'Map named "{MARK}" not found')[: len(questions)]

    def warm_routes(self, addresses: Iterable[str]) -> None:
        wanted = [text for text in dict.fromkeys(addresses) if text not in self._routes]
        asked = [text for text in wanted if text.isprintable() and 0 < len(text.encode()) <= LONGEST]
        answers = self.ask_each([f"/parse {text}" for text in asked])
        self._routes.update(dict.fromkeys(wanted, NO_ROUTE))
        self._routes.update({text: route(answer) or NO_ROUTE for text, answer in zip(asked, answers)})

    def route(self, address: str) -> Route:
        """What ruleset 0 makes of an address."""
        self.warm_routes([address])
        return self._routes[address]

    def warm_aliases(self, names: Iterable[str]) -> None:
        """Look names up as aliases, and all that the sources say these lead to: one process answers for all."""
        pending, wanted = list(names), dict[str, None]()
        while pending:
            for key in keys(pending.pop()):
                if key not in self._aliases and key not in wanted:
                    wanted[key] = None
                    found = self.written(key)
                    pending += [name.partition("@")[0].lower() for name in members(found[1].value)] if found else []
        asked = [key for key in wanted if re.fullmatch(r"[!-~]{1,255}", key)]
        found_there = found_in_map(self.ask(f"/map aliases {key}" for key in asked)) if asked else {}
        self._aliases.update({**dict.fromkeys(wanted), **found_there})

    def alias(self, name: str) -> tuple[str, str] | None:
        """The key under which a name is an alias, and the right-hand side."""
        self.warm_aliases([name])
        return next(((key, value) for key in keys(name) for value in [self._aliases[key]] if value is not None), None)

    def onward(self, name: str) -> Route | None:
        """Where a local name that is no alias goes on to; None where it stays."""
        return onward(self.ask([f"5 {name}"])) if re.fullmatch(r"[\w.-]+", name) else None

    def stays(self, account: str) -> bool:
        """Whether mail for an account goes to its own mailbox alone, whatever its .forward file says."""
        if not re.fullmatch(r"[\w.+-]+", account):
            return False
        # An account that a user's file names: a recipient in a header, for arguments can be read by everybody.
        said = self._host.ask(["sendmail", "-bv", "-t"], stdin=f"To: {account}\n\n").out.splitlines()
        return [line.partition("... ")[2] for line in said] == [f"deliverable: mailer local, user {account}"]

    def written(self, key: str) -> tuple[str, Entry] | None:
        """Where the sources of the aliases have a key."""
        for file in self._alias_files:
            source = self.source(file.path)
            entry = source.entry(key) if source else None
            if entry:
                return f"{file.path}:{entry.line}", entry
        return None

    def source(self, path: str) -> Source | None:
        if path not in self._sources:
            try:
                self._sources[path] = Source(path, self._host.read(path))
            except OSError:
                self._sources[path] = None
        return self._sources[path]

    def stale(self, table: Map) -> str:
        """Why a table cannot be what its source says; empty where it can."""
        compiled, source = self._host.stat(table.path + ".db"), self._host.stat(table.path)
        if compiled is None:
            return f"{table.path}.db is missing" if source else ""
        if source is None or source.mtime <= compiled.mtime:
            return ""
        return f"{table.path}.db is older than {table.path}, so that Sendmail does not know what the file says now"

    def differs(self, name: str) -> Problem | None:
        """Where what is compiled is not what the source of the aliases says (row R10)."""
        for file in self._alias_files:
            stale = self.stale(file)
            if stale:
                return Problem("R10", FAIL, stale, file.path, "run newaliases")
        for key in keys(name):
            value, found = self._aliases.get(key), self.written(key)
            if found and found[1].value and (value is None or members(value) != members(found[1].value)):
                message = f"{found[0]} says {key}: {found[1].value}, but Sendmail finds {value or 'nothing'}"
                return Problem("R10", FAIL, message, found[0], "run newaliases")
        return None
