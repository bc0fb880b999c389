# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look-ups in Postfix's tables, of any type, by Postfix's own tools; and whether a table says what its source says.

One process answers all the keys that are asked of a table at a time, and no key is asked twice.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from ..aliases.sources import Entry, Source
from ..verdict import FAIL, INCONCLUSIVE, Problem
from .adapter import Table
from .postfix_syntax import Key, addresses

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .._system.host import Host

POSTMAP, POSTALIAS = "postmap", "postalias"
SEPARATOR = {POSTMAP: "\t", POSTALIAS: ":\t"}
COMPILED = {"hash": ".db", "btree": ".db", "lmdb": ".lmdb", "cdb": ".cdb", "dbm": ".pag", "sdbm": ".pag"}
LISTABLE = (*COMPILED, "texthash", "inline")
PLAIN_TEXT = ("texthash", "regexp", "pcre", "cidr")
PATTERNS = ("regexp:", "pcre:", "cidr:", "tcp:", "socketmap:", "randmap:", "fail:")
REMOTE = ("ldap", "mysql", "pgsql", "memcache", "nis", "nisplus", "tcp", "socketmap")


@dataclass(frozen=True)
class Found:
    """An answer of a table: the right-hand side, the key that it was found under, the table, and where it stands."""

    value: str
    key: Key
    table: str
    via: str


@dataclass(frozen=True)
class Answer:
    """The answer of a list of tables: what was found, or None; ``problems`` with the tables; ``failed`` if one did not
    answer, which Postfix takes for a temporary error. ``blank`` is where a source has the key and nothing beside it."""

    found: Found | None
    problems: tuple[Problem, ...] = ()
    failed: bool = False
    blank: str = ""


def direct(name: str) -> str:
    """A table as its own process reads it: without ``proxy:``, which looks up and does not list (proxymap(8))."""
    while name.startswith("proxy:"):
        name = name[len("proxy:") :]
    return name


@cache
def described(name: str, role: str = "") -> Table:
    """Type, source and compiled file of a table, as far as it has them."""
    kind, _dummy, path = direct(name).partition(":")
    if not path.startswith("/") or kind not in (*COMPILED, *PLAIN_TEXT):
        return Table(role, kind, "")
    return Table(role, kind, path, path + COMPILED[kind] if kind in COMPILED else "")


class Tables:
    """All tables of one Postfix."""

    def __init__(self, host: Host, config_directory: str, alias_database: Sequence[str] = ()) -> None:
        self._host = host
        self._config = config_directory
        self._alias_database = alias_database
        self._answers: dict[str, dict[str, str | None]] = {}
        self._errors: dict[str, str] = {}
        self._sources: dict[str, Source | None] = {}

    def find(self, names: Sequence[str], keys: Sequence[Key], tool: str = POSTMAP) -> Answer:
        """The first of ``keys`` that any table of the list has; a key is asked of all tables before the next one."""
        problems = [problem for name in names for problem in self.stale(name, tool)]
        blank = ""
        for key in keys:
            for name in names:
                if key.partial and _matches_patterns(name):
                    continue
                value = self._ask(name, key, keys, tool)
                if name in self._errors:
                    problems.append(self._unanswered(name, tool))
                    return Answer(None, tuple(problems), failed=True)
                entry = self.written(name, key.text)
                if entry is not None and value is None and not entry.value:
                    blank = blank or self._where(name, entry)
                elif not problems:
                    problems += self._differs(name, key, value, entry, tool)
                if value is not None:
                    return Answer(Found(value, key, name, self._where(name, entry)), tuple(problems))
        return Answer(None, tuple(problems), blank=blank)

    def warm(self, names: Iterable[str], keys: Iterable[Key], tool: str = POSTMAP) -> None:
        """Ask all tables for many keys at once, so that asking for one costs nothing later."""
        wanted = list(keys)
        for name in names:
            self._query(name, [key for key in wanted if not (key.partial and _matches_patterns(name))], tool)

    def written(self, name: str, key: str) -> Entry | None:
        """What the source of a table says of a key, whatever the table says."""
        source = self._source(name) if described(name).source else None
        return source.entry(key) if source else None

    def keys(self, name: str) -> list[str] | None:
        """All keys of a table; None where it is of a type that cannot be listed, or cannot be read."""
        if described(name).type not in LISTABLE:
            return None
        done = self._host.ask([POSTMAP, "-c", self._config, "-s", direct(name)])
        return None if done.rc else [line.split("\t")[0] for line in done.out.splitlines()]

    def stale(self, name: str, tool: str) -> list[Problem]:
        """Whether the source of a table is newer than what was compiled from it."""
        table = described(name)
        if not table.compiled:
            return []
        source, compiled = self._host.stat(table.source), self._host.stat(table.compiled)
        if source is None or compiled is None or source.mtime <= compiled.mtime:
            return []
        return [
            Problem(
                "R10",
                FAIL,
                f"{table.compiled} is older than {table.source}, so that Postfix does not know what the file says now",
                table.source,
                self._compile(name, tool),
            )
        ]

    def _ask(self, name: str, key: Key, keys: Sequence[Key], tool: str) -> str | None:
        if key.text not in self._answers.get(name, {}):
            self.warm([name], keys, tool)
        return self._answers.get(name, {}).get(key.text)

    def _query(self, name: str, keys: Iterable[Key], tool: str) -> None:
        answers = self._answers.setdefault(name, {})
        wanted: set[str] = {key.text for key in keys if key.text not in answers and name not in self._errors}
        lines = [text for text in sorted(wanted) if text and text.isprintable()]
        compiled = described(name).compiled
        if compiled and not self._host.stat(compiled):
            # Postfix's tools wait a second before they say so.
            self._errors[name] = compiled + " is missing"
        if not lines or name in self._errors:
            answers.update(dict.fromkeys(wanted))
            return
        done = self._host.ask([tool, "-c", self._config, "-q", "-", name], stdin="\n".join(lines) + "\n")
        answers.update(dict.fromkeys(wanted))
        fatal = [line for line in done.err.splitlines() if "fatal:" in line or "error:" in line]
        if done.rc and (fatal or done.rc != 1):
            self._errors[name] = (fatal or [done.err or f"rc {done.rc}"])[0].rpartition("fatal: ")[2]
        for line in done.out.splitlines():
            text, sign, value = line.partition(SEPARATOR[tool])
            if sign and text in wanted:
                answers[text] = value

    def _source(self, name: str) -> Source | None:
        table = described(name)
        if table.source not in self._sources:
            try:
                text = self._host.read(table.source)
                self._sources[table.source] = Source(table.source, text)
            except OSError:
                self._sources[table.source] = None
        return self._sources[table.source]

    def _where(self, name: str, entry: Entry | None) -> str:
        return f"{described(name).source}:{entry.line}" if entry else name

    def _differs(self, name: str, key: Key, value: str | None, entry: Entry | None, tool: str) -> list[Problem]:
        """What the table answers against what its source says."""
        table = described(name)
        if table.type not in (*COMPILED, "texthash") or self._source(name) is None:
            return []
        if _same(value, entry.value if entry else None, tool):
            return []
        says = f"has the entry {key.text}: {entry.value}" if entry else f"has no entry {key.text}"
        effective = "nothing" if value is None else value
        remedy = self._compile(name, tool)
        if (entry and value is None and entry.sign and tool == POSTMAP) or table.type == "texthash":
            remedy = f"write the entry as `{key.text} {entry and entry.value}`: this table is read without colons"
        return [
            Problem(
                "R10",
                FAIL,
                f"{table.source} {says}, but Postfix finds {effective} in {name}",
                self._where(name, entry),
                remedy,
            )
        ]

    def _compile(self, name: str, tool: str) -> str:
        if name in self._alias_database:
            return "run newaliases"
        return f"run `{tool} {direct(name)}`"

    def _unanswered(self, name: str, tool: str) -> Problem:
        table, reason = described(name), self._errors[name]
        remedy = self._compile(name, tool) if table.compiled else f"make {name} answer, or take it out of main.cf"
        others = (table.source + suffix for suffix in dict.fromkeys(COMPILED.values()))
        other = next((path for path in others if path != table.compiled and self._host.stat(path)), "")
        if table.compiled and other and not self._host.stat(table.compiled):
            reason += f" (there is only {posixpath.basename(other)})"
            kinds = [kind for kind, suffix in COMPILED.items() if other.endswith(suffix)]
            remedy += f", or name the table {kinds[0]}:{table.source} in main.cf"
        return Problem(
            "R10",
            INCONCLUSIVE if table.type in REMOTE else FAIL,
            f"Postfix cannot read {name}: {reason}",
            table.source or name,
            remedy,
        )


def _matches_patterns(name: str) -> bool:
    return any(pattern in name for pattern in PATTERNS)


def _same(value: str | None, written: str | None, tool: str) -> bool:
    if value is None or written is None:
        return value is written
    if tool == POSTALIAS:
        return addresses(value) == addresses(written)
    return value.split() == written.split()
