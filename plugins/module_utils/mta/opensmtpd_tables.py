# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of OpenSMTPD: what is in them as smtpd has it, where that stands, and whether it is what the file says."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from .._system.host import Account
from ..aliases.sources import Source
from ..verdict import FAIL, INCONCLUSIVE, Problem
from .log import accounts
from .opensmtpd_log import ACCOUNTS

if TYPE_CHECKING:
    from .._system.host import Host
    from .opensmtpd_syntax import Table

STARTED = "/run/smtpd.pid"
RESTART = "systemctl restart opensmtpd"


READ = ("static", "file", "db")  # types of tables that can be looked into; smtpd asks a program of its own for others


class Entry(NamedTuple):
    """The value of a key, and where it stands; a list has no values."""

    value: str
    where: str


@dataclass(frozen=True)
class Content:
    """The entries by key, in lower case; ``broken`` says why there are none."""

    entries: dict[str, Entry] = field(default_factory=dict)
    broken: str = ""


class Tables:
    """What the tables of one smtpd say. Nothing is read twice."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._contents: dict[int, Content] = {}
        self._problems: dict[int, tuple[Problem, ...]] = {}

    def content(self, table: Table) -> Content:
        if id(table) not in self._contents:
            reader = {"static": self._static, "file": self._file, "db": self._db}.get(table.type)
            unknown = Content(broken=f"smtpd asks table-{table.type} for it")
            self._contents[id(table)] = reader(table) if reader else unknown
        return self._contents[id(table)]

    def keys(self, table: Table) -> list[str]:
        """The keys as they are written."""
        return [key for key, _value, _where in table.entries] or list(self.content(table).entries)

    def problems(self, table: Table) -> tuple[Problem, ...]:
        """Why what is in use is not what the file says, and why a table cannot be looked into (row R10)."""
        if id(table) not in self._problems:
            self._problems[id(table)] = self._wrong(table)
        return self._problems[id(table)]

    def _wrong(self, table: Table) -> tuple[Problem, ...]:
        stale, broken = self.stale(table), self.content(table).broken
        if stale:
            return (Problem("R10", FAIL, stale, table.path, f"run `{' '.join(rebuild(table))}`"),)
        if foreign(table):
            remedy = "look at what arrives, or at the program that answers for the table"
            message = f"nobody but smtpd can look into the table {table.name}: {broken}"
            return (Problem("R10", INCONCLUSIVE, message, f"table {table.name}", remedy),)
        if broken:
            where = table.path or f"table {table.name}"
            return (Problem("R10", FAIL, f"the table {table.name} cannot be read: {broken}", where, "mend it"),)
        return ()

    def account(self, table: Table | None, name: str) -> Account | None:
        """The account of a name: one of the host, or one of a userbase, with the number of one of the host."""
        if table is None:
            return self.host.account(name)
        entry = self.content(table).entries.get(name)
        found = re.match(r"(\d+):(\d+):(/.*)", entry.value) if entry else None
        return Account(name, int(found.group(1)), int(found.group(2)), found.group(3), "") if found else None

    def stale(self, table: Table) -> str:
        """Why what smtpd uses cannot be what the file says; empty where it can."""
        if table.type == "db":
            return self._older(table.path, source(table))
        if table.type == "file" and not self._updated(table):
            return f"{table.path} was changed after smtpd had read it, so that smtpd does not know what it says now"
        return ""

    def changed(self, paths: list[str]) -> str:
        """A file that was changed after smtpd had started; empty where there is none."""
        return next((path for path in paths if self._started < self._time(path)), "")

    def _older(self, compiled: str, text: str) -> str:
        found, written = self.host.stat(compiled), self.host.stat(text)
        if not found:
            return f"{compiled} is missing"
        older = written and written.mtime > found.mtime
        return f"{compiled} is older than {text}, so that smtpd does not know what the file says now" if older else ""

    @cached_property
    def _started(self) -> float:
        found = self.host.stat(STARTED)
        return found.mtime if found else float("inf")

    def _time(self, path: str) -> float:
        found = self.host.stat(path)
        return found.mtime if found else 0.0

    def _updated(self, table: Table) -> bool:
        """Whether smtpd has read a text since it was changed, or may have: a journal that began later cannot tell."""
        changed = self._time(table.path)
        if changed <= self._started:
            return True
        # anybody can log under that name, but not with these uids
        uids = [f"_UID={uid}" for uid in sorted(accounts(self.host, *ACCOUNTS))]
        journal = ["journalctl", "--quiet", "--output=short-unix", "--identifier=smtpd", "--lines=1", *uids]
        words = f'Table "{table.name}" successfully updated'
        last = self.host.ask([*journal, f"--since=@{int(changed)}", f"--grep={words}"]).out.split(" ")[0]
        if re.fullmatch(r"[\d.]+", last) and float(last) >= changed:
            return True
        return not self.host.ask([*journal, f"--until=@{int(changed)}"]).out

    def _static(self, table: Table) -> Content:
        return Content({key.lower(): Entry(value, where) for key, value, where in table.entries})

    def _file(self, table: Table) -> Content:
        try:
            lines = self.host.read(table.path).split("\n")
        except OSError as error:
            return Content(broken=error.strerror or str(error))
        found: dict[str, Entry] = {}
        mapping: bool | None = None
        for number, line in enumerate(lines, 1):
            text = line.strip()
            if text.startswith("#") and mapping is None and text[1:].strip() == "@list":
                mapping = False
            if not text or text.startswith("#"):
                continue
            key, sign, value = _split(text)
            mapping = bool(sign) if mapping is None else mapping
            if mapping and not value:
                return Content(broken=f"line {number} has no value, and smtpd refuses the whole table")
            found[(key if mapping else text).lower()] = Entry(value if mapping else "", f"{table.path}:{number}")
        return Content(found)

    def _db(self, table: Table) -> Content:
        done = self.host.ask(["makemap", "-U", table.path])
        if done.rc:
            return Content(broken=done.err.strip() or str(done.rc))
        text = source(table)
        try:
            written = Source(text, self.host.read(text))
        except OSError:
            written = None
        found = {}
        for line in done.out.splitlines():
            key, _tab, value = line.partition("\t")
            entry = written.entry(key) if written else None
            found[key.lower()] = Entry(value, f"{text}:{entry.line}" if entry else table.path)
        return Content(found)


def foreign(table: Table) -> bool:
    """Whether only smtpd can look into a table, by a program of its own (table-sqlite, table-ldap and the like)."""
    return not table.entries and table.type not in READ


def source(table: Table) -> str:
    """The text that a table is compiled from, by the name that makemap gives the table."""
    return re.sub(r"\.db$", "", table.path)


def rebuild(table: Table) -> tuple[str, ...]:
    """The command that makes an edited table of aliases effective."""
    if table.name == "aliases":
        return ("newaliases",)
    if table.type == "db":
        return ("makemap", "-t", "aliases", "-o", table.path, source(table))
    return ("smtpctl", "update", "table", table.name)


def _split(text: str) -> tuple[str, str, str]:
    """Key, sign and value of a line."""
    found = re.match(r"(\[[^\]]*\]|[^ \t:]*)([ \t:]?)[ \t]*(.*)$", text)
    return (found.group(1), found.group(2), found.group(3)) if found else (text, "", "")
