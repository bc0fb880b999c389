# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journals on the disk of the host. ``pending.json`` is the one of a transaction that has not ended,
and ``undoing.json`` the one of a transaction of which the rollback has begun: that cannot be confirmed any more.

A transaction ends by a rename, which needs no room: to ``transactions/ID.confirmed.json`` or
``transactions/ID.rolled_back.json``. What a rollback replaced is in ``transactions/ID.undone.json``. An id begins with
a number that is higher than that of all others there, whatever the clock says: the last transactions have the highest.

What cannot be read is put aside by a rename, and kept: as ``pending.bad-1.json``, or as ``transactions/ID.STATE.bad``.
``mark.py`` has what says that the service may not have the files that are in place.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .._system import files as disk
from .._system.lock import check_private, lock
from .._system.names import listed, move, remove, seen, there, unlink
from .._system.private import sweep
from .._system.remarks import remarked
from ..errors import UserError
from .journal import ROLLED_BACK, VERSION, BadJournalError, Journal, NewerJournalError
from .kept import LIMIT, image, load
from .mark import Mark

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

KEPT = 5  # transactions
NAMED = 5  # files of a journal that is too large
DIGITS = 15  # of the number of a transaction
MOVES = 10  # of a journal, for which a look at it begins anew; a transaction needs two
ENDED = re.compile(rf"([0-9]{{1,{DIGITS}}}-[0-9a-f]{{8}})\.(confirmed|rolled_back|undone)\.(?:json|bad)")
BAD = "bad"  # in the names of what was put aside
LOST = Journal("unknown", {})  # that of a bad journal


@dataclass(frozen=True)
class Found:
    """The transaction that has not ended, if there is one; the journals that cannot be read, with the reason; and
    whether the service may not have the configuration that is in place."""

    journal: Journal | None = None
    bad: dict[str, str] = field(default_factory=dict)
    marked: bool = False

    @property
    def due(self) -> bool:
        """Whether the service has to be told, whatever the files say: of what a bad journal was nobody knows."""
        return self.marked or bool(self.bad)

    @property
    def warnings(self) -> list[str]:
        """What a run will do with the bad ones."""
        return [f"the journal {path} {why}; a run puts it aside" for path, why in self.bad.items()]


class Store:
    """The directory of the journals, which is the host's only one."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._pending, self._undoing = (os.path.join(folder, f"{name}.json") for name in ("pending", "undoing"))
        self._ended = os.path.join(folder, "transactions")
        self.mark = Mark(folder)

    def lock(self, wait: bool = False) -> contextlib.AbstractContextManager[None]:
        """The lock of the host; the directory is made where there is none."""
        return lock(self.folder, wait)

    def look(self) -> Found:
        """What has not ended; raises UserError where that is of a later version, or the directory is not safe."""
        check_private(self.folder)
        for _move in range(MOVES):
            with contextlib.suppress(FileNotFoundError):
                return self._look()
        return self._look()

    def _look(self) -> Found:
        """As ``look``; raises FileNotFoundError where a journal was moved meanwhile, by whoever has the lock."""
        bad: dict[str, str] = {}
        for path in (*self.paths, self._undoing):  # a rollback that begins now moves the one to the other
            if path not in bad and there(path):
                try:
                    return Found(load(path), bad, self.mark.due)
                except BadJournalError as error:
                    bad[path] = str(error)
                except NewerJournalError as error:
                    raise UserError(
                        f"{path} is the journal of a change that a later version of mailops.postmaster has begun"
                        f" (journal {error}, this version knows {'.'.join(map(str, VERSION))}). Nothing was changed."
                        " Use that version, or wait until the host rolls that change back"
                    ) from error
        return Found(None, bad, self.mark.due)

    def pending(self) -> Journal | None:
        """The transaction that has not ended, if there is one."""
        return self.look().journal

    def put_aside(self, bad: Mapping[str, str]) -> list[str]:
        """Rename journals that cannot be read, so that they are in nobody's way; what to tell the user."""
        warnings = []
        if bad:
            self.mark.lose(LOST)
        for path, why in bad.items():
            stem, ending = os.path.splitext(path)
            names = (f"{stem}.{BAD}-{number}{ending}" for number in itertools.count(1))
            aside = next(name for name in names if not there(name))
            move(path, aside)
            disk.sync_folder(self.folder)
            warnings.append(
                f"the journal {path} {why}: it was put aside as {aside}. What that change has done stays, and cannot be"
                " rolled back; the files of before may still be beside the new ones, as .NAME.before"
            )
        return warnings

    def new_id(self) -> str:
        """The name of a new transaction. It sorts behind all others that are known here, whatever the clock says."""
        numbers = [_number(name) for name, _state in self._states()]
        return f"{max(numbers) + 1 if numbers else max(1, int(time.time()))}-{uuid.uuid4().hex[:8]}"

    @property
    def paths(self) -> tuple[str, str]:
        """Where the journal of that is: one of these."""
        return self._undoing, self._pending

    @property
    def undoing(self) -> bool:
        """Whether its rollback has begun."""
        return there(self._undoing)

    def state(self, transaction: str) -> str:
        """How a transaction ended; empty where that is not known, or it has not."""
        return next((state for name, state in self._states() if name == transaction and state != "undone"), "")

    def owed(self, transaction: str) -> Journal | None:
        """The mark of ``transaction``, or of any where that is empty, if the old files are back and it is due; without
        those files. What else is due is for the next run: what is in place then is not proven."""
        found = self.mark.read()
        meant = found and transaction in ("", found.transaction) and self.state(found.transaction) == ROLLED_BACK
        return found if meant else None

    def ended_at(self, transaction: str, state: str) -> float:
        """When a transaction ended, in seconds since the epoch; raises OSError."""
        return seen(self._path(transaction, state)).st_ctime

    def begun_at(self) -> float:
        """When the rollback that has not ended was begun, in seconds since the epoch; now, where there is none."""
        return seen(self._undoing).st_ctime if self.undoing else time.time()

    def refuse_too_large(self, journal: Journal) -> None:
        """Raise UserError where nobody could read the journal back."""
        octets = {path: len(image.content) for path, image in journal.images.items() if image}
        # what is small enough as it is needs no try: base64 takes a third more
        if 2 * sum(octets.values()) > LIMIT and len(journal.dump()) > LIMIT:
            largest = sorted(octets, key=lambda path: -octets[path])[:NAMED]
            files = ", ".join(f"{path} ({octets[path]} octets)" for path in largest)
            raise UserError(
                f"the files that are there are too large to be kept for a way back: {files}. Their journal may have"
                f" {LIMIT} octets. Make them smaller"
            )

    def begin(self, journal: Journal) -> None:
        """From here on the transaction is to be confirmed, or rolled back, and its service is to be told. Raises as
        ``refuse_too_large`` does, and OSError: then it has not begun."""
        self.refuse_too_large(journal)
        first = not there(self._pending)
        disk.write_image(self._pending, image(journal))
        if first:
            try:
                self.mark.begin(journal)
            except OSError:
                unlink(self._pending)
                raise

    def begin_undo(self) -> None:
        """From here on it can only be rolled back."""
        if not self.undoing:
            move(self._pending, self._undoing)
            disk.sync_folder(self.folder)

    def note_undone(self, journal: Journal) -> None:
        """Keep what a rollback is about to replace, as far as that can be read without waiting. It goes on in any case,
        also where there is no room for that."""
        path = self._path(journal.transaction, "undone")
        if not there(path):
            with contextlib.suppress(OSError, MemoryError):
                replaced = {}
                for place in journal.images:
                    with contextlib.suppress(OSError):
                        replaced[place] = disk.read_image(place, wait=False)
                disk.make_folder(self._ended, 0o700)
                disk.write_image(path, image(Journal(journal.transaction, replaced)))

    def end(self, journal: Journal, state: str) -> None:
        """The transaction has ended; only the last few are kept. What cannot be tidied up is a remark."""
        disk.make_folder(self._ended, 0o700)
        move(self._undoing if self.undoing else self._pending, self._path(journal.transaction, state))
        with remarked(f"{self.folder} could not be brought to disk"):
            disk.sync_folder(self.folder)
        forget(journal.images)
        with remarked(f"old journals in {self._ended} could not be removed"):
            self._forget_old(journal.transaction)

    def _forget_old(self, last: str) -> None:
        states = self._states()
        by_age = sorted({name for name, _state in states} - {last}, key=_age)
        for name, old in states:
            if name in by_age[: 1 - KEPT]:
                for ending in ("json", BAD):
                    remove(self._path(name, old, ending))

    def tidy(self) -> list[str]:
        """Remove what was interrupted: stages, and what an end has left beside the files; what to tell the user."""
        with remarked(f"what was interrupted in {self.folder} could not be removed"):
            sweep(self.folder)
        warnings = []
        for name, state in self._states():
            path = self._path(name, state)
            try:
                # what others have there was told at the end of that change, and is told if it is in the way of this one
                forget(load(path).images if there(path) else (), tell=False)
            except BadJournalError as error:
                aside = self._path(name, state, BAD)
                remove(aside)
                move(path, aside)
                warnings.append(f"the journal {path} of a change that has ended {error}: it was put aside as {aside}")
            except NewerJournalError:
                continue  # it has ended, and is its own version's to tidy up
        return warnings

    def _path(self, transaction: str, state: str, ending: str = "json") -> str:
        return os.path.join(self._ended, f"{transaction}.{state}.{ending}")

    def _states(self) -> list[tuple[str, str]]:
        """Each transaction that has ended, and how; what has another name is none of this collection's."""
        found = filter(None, map(ENDED.fullmatch, listed(self._ended)))
        return [(name[1], name[2]) for name in found]


def _age(transaction: str) -> tuple[int, str]:
    return _number(transaction), transaction


def _number(transaction: str) -> int:
    """What the id of a transaction begins with."""
    return int(transaction.partition("-")[0])


def forget(paths: Iterable[str], tell: bool = True) -> None:
    for path in paths:
        disk.forget(path, tell)
