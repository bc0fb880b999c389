# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The compiled forms of an aliases table: whether they say what the text says, and the command that makes them.

A compiler locks the file that it writes, or the text that it reads. Whoever may read such a file in its place can hold
that lock for ever (fcntl(2), flock(2)). So the command gets a copy of the text in a directory that nobody else can
enter, and what it makes there is put in place by a rename, as Postfix's DATABASE_README tells to do.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from .._system.files import freshen, write_image
from .._system.private import private_folder
from .._system.process import filled
from ..errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .._system.host import Completed, FileStat, Host
    from .._system.image import Image

SUFFIXES = (".db", ".lmdb", ".cdb", ".dir", ".pag")
COMMAND = ("newaliases",)
TIMEOUT = 300.0
# What does for the text {path} what `newaliases` does for the table of the host, by a program that such a host has.
NEWALIASES = (
    ("smtpctl", ("makemap", "-t", "aliases", "-o", "{product}", "{path}")),  # OpenSMTPD
    ("newaliases", ("newaliases", "-oA{type}{path}")),  # sendmail(1) of Postfix and of Sendmail
)


def as_new(table: float, text: float, now: float) -> bool:
    """Whether a table was made of its text as that is now, by when both were written and what time it is.

    A time to come tells nothing: whoever edits that text again does it today, which is earlier. ``freshen`` ends that.
    """
    return text <= table <= now


class Compiler:
    """Compiles the table at ``source``.

    Without ``compiled`` the newest table beside the source is the one in use. A ``command`` that is given says that
    there must be one; an empty one, that there is none to be made. ``mode`` is that of a table that is made of a copy.
    """

    def __init__(
        self,
        host: Host,
        source: str,
        compiled: Sequence[str] | None = None,
        command: Sequence[str] | None = None,
        mode: int | None = None,
    ) -> None:
        self._host = host
        self._source = source
        self._named = compiled
        self._given = command
        self.mode = mode
        self.command = tuple(COMMAND if command is None else command)

    def due(self, changed: bool) -> bool:
        """Whether a table is missing, older than its source, which is to be ``changed`` or not, or has another mode."""
        if not self.command:
            return False
        tables = self.tables()
        if tables:
            return changed or bool(self._stale(tables)) or self._has_another_mode(tables)
        # No table, by name or beside the source: only a command that is given can be meant to do something.
        return self._given is not None and (changed or self._named is None)

    def tables(self) -> list[str]:
        """The compiled tables that are in use."""
        if self._named is not None:
            return list(self._named)
        found = [(stat.mtime, path) for path, stat in self._beside() if stat]
        return [max(found)[1]] if found else []

    @property
    def takes_a_copy(self) -> bool:
        """Whether the command can compile a copy of the text; one that makes no file works where the text is."""
        known = self.command == COMMAND or any("{path}" in word for word in self.command)
        return known and (self._named is None or bool(self._named))

    @contextlib.contextmanager
    def compiled(self, state: str, text: Image) -> Iterator[dict[str, str]]:
        """Compile a copy of ``text`` below the directory of state; what was made, by the path where it belongs, until
        the end. Its mode is that of ``text``, for some programs give it to what they make. Raises UserError."""
        with private_folder(state) as folder:
            path = os.path.join(folder, os.path.basename(self._source))
            write_image(path, replace(text, uid=os.geteuid(), gid=os.getegid()))
            places = self._named or [self._source + suffix for suffix in SUFFIXES]
            made = {place: os.path.join(folder, os.path.basename(place)) for place in places}
            words = filled(self._for_a_copy(), path=path, product=made[places[0]], type=self._type())
            done = self._host.run(words, timeout=TIMEOUT)
            there = {place: staged for place, staged in made.items() if self._host.stat(staged)}
            missing = [place for place in self._named or () if place not in there]
            wrong = ""
            if done.rc:
                wrong = done.why
            elif missing:
                wrong = f"`{done.command}` did not make {', '.join(missing)}; name what it makes in 'compiled'"
            elif not there:
                wrong = self._nothing_made(done)
            if wrong:
                raise UserError(wrong.replace(folder, os.path.dirname(self._source)), rc=done.rc)
            yield there

    def _for_a_copy(self) -> tuple[str, ...]:
        if self.command != COMMAND:
            return self.command
        return next((words for program, words in NEWALIASES if self._host.which(program)), NEWALIASES[-1][1])

    def _type(self) -> str:
        """The type of the table with a colon, as Postfix has it; empty where that is not known."""
        if self.command != COMMAND or not self._host.which("postconf"):
            return ""
        said = self._host.ask(["postconf", "-xh", "alias_database"]).out
        found = re.search(rf"(?<![^\s,])([a-z]+:){re.escape(self._source)}(?![^\s,])", said)
        return found[1] if found else ""

    def call(self) -> Completed:
        """Run the command on the table itself, whatever comes of it."""
        return self._host.run(self.command, timeout=TIMEOUT)

    def run(self) -> None:
        """Compile the table itself, and hold that it was done; raises UserError, NoAnswerError where it did not end."""
        before = self._times(self.tables())
        done = self.call().answered()
        if done.rc:
            raise UserError(done.why, rc=done.rc)
        tables = self.tables()
        if not tables and self._named is None:
            raise UserError(self._nothing_made(done))
        for table, written in self._times(tables).items():
            if written != before.get(table):  # by the command, which leaves a text its time to come
                freshen(table, self._source)
        stale = self._stale(tables)
        if stale:
            raise UserError(
                f"`{done.command}` ended well, and {', '.join(stale)} is missing or still older than {self._source};"
                " is this the table that the MTA is set up with, and is the clock right?"
            )

    def _nothing_made(self, done: Completed) -> str:
        return (
            f"`{done.command}` made no table beside {self._source}; name it in 'compiled', or let 'rebuild' be"
            " an empty list where the MTA reads the text itself"
        )

    def _beside(self) -> list[tuple[str, FileStat | None]]:
        return [(self._source + suffix, self._host.stat(self._source + suffix)) for suffix in SUFFIXES]

    def _times(self, tables: Sequence[str]) -> dict[str, float]:
        """When each of the tables that are there was written."""
        found = {table: self._host.stat(table) for table in tables}
        return {table: stat.mtime for table, stat in found.items() if stat}

    def _stale(self, tables: Sequence[str]) -> list[str]:
        source, times, now = self._host.stat(self._source), self._times(tables), time.time()
        if not source:
            return []
        return [table for table in tables if table not in times or not as_new(times[table], source.mtime, now)]

    def _has_another_mode(self, tables: Sequence[str]) -> bool:
        if self.mode is None or not self.takes_a_copy:
            return False
        found = [self._host.stat(table) for table in tables]
        return any(one and one.mode != self.mode for one in found)
