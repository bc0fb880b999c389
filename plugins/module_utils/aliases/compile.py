# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The compiled forms of an aliases table: whether they say what the text says, and the command that makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._system.host import Completed, FileStat, Host

SUFFIXES = (".db", ".lmdb", ".cdb", ".dir", ".pag")
COMMAND = ("newaliases",)
TIMEOUT = 300.0


class Compiler:
    """Compiles the table at ``source``.

    Without ``compiled`` the newest table beside the source is the one in use. A ``command`` that is given says that
    there must be one; an empty one, that there is none to be made.
    """

    def __init__(
        self, host: Host, source: str, compiled: Sequence[str] | None = None, command: Sequence[str] | None = None
    ) -> None:
        self._host = host
        self._source = source
        self._named = compiled
        self._given = command
        self.command = tuple(COMMAND if command is None else command)

    def due(self, changed: bool) -> bool:
        """Whether a table is missing or older than its source, which is to be ``changed`` or not."""
        if not self.command:
            return False
        if self._tables():
            return changed or bool(self._stale())
        # No table, by name or beside the source: only a command that is given can be meant to do something.
        return self._given is not None and (changed or self._named is None)

    def call(self) -> Completed:
        """Run the command, whatever comes of it."""
        return self._host.run(self.command, timeout=TIMEOUT)

    def run(self) -> None:
        """Compile, and hold that it was done; raises ``UserError``."""
        done = self.call()
        if done.rc:
            raise UserError(done.why, rc=done.rc)
        if self._named is None and not self._tables():
            raise UserError(
                f"{done.command} made no table beside {self._source}; name it in 'compiled', or let 'rebuild' be"
                " an empty list where the MTA reads the text itself"
            )
        stale = self._stale()
        if stale:
            raise UserError(
                f"{done.command} ended well, and {', '.join(stale)} is missing or still older than {self._source};"
                " is this the table that the MTA is set up with, and is the clock right?"
            )

    def _tables(self) -> list[str]:
        if self._named is not None:
            return list(self._named)
        found = [(stat.mtime, path) for path, stat in self._beside() if stat]
        return [max(found)[1]] if found else []

    def _beside(self) -> list[tuple[str, FileStat | None]]:
        return [(self._source + suffix, self._host.stat(self._source + suffix)) for suffix in SUFFIXES]

    def _stale(self) -> list[str]:
        source = self._host.stat(self._source)
        return [table for table in self._tables() if source and self._is_older(table, source.mtime)]

    def _is_older(self, table: str, than: float) -> bool:
        found = self._host.stat(table)
        return found is None or found.mtime < than
