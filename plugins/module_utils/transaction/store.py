# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journals on the disk of the host. ``pending.json`` is the one of a transaction that has not ended,
and ``undoing.json`` the one of a transaction of which the rollback has begun: that cannot be confirmed any more.

A transaction ends by a rename, which needs no room: to ``transactions/ID.confirmed.json`` or
``transactions/ID.rolled_back.json``. What a rollback replaced is in ``transactions/ID.undone.json``. An id begins with
a number that is higher than that of all others there, whatever the clock says: the last transactions have the highest.

What cannot be read is put aside by a rename, and kept: as ``pending.bad-1.json``, or as ``transactions/ID.STATE.bad``.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .._system import files as disk
from .._system.image import Image
from .._system.lock import check_private, lock
from .._system.names import listed, move, remove, there
from .._system.private import sweep
from .._system.reader import RefusedError, open_plain, read_up_to
from .._system.remarks import remarked
from ..errors import UserError
from .daemons import DAEMONS
from .journal import VERSION, BadJournalError, Journal, NewerJournalError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

KEPT = 5  # transactions
LIMIT = 1 << 30  # octets of a journal: it has the old files in it, of which a table may be large
NAMED = 5  # files of a journal that is too large
DIGITS = 15  # of the number of a transaction
BAD = "bad"  # in the names of what was put aside


@dataclass(frozen=True)
class Found:
    """The transaction that has not ended, if there is one; and the journals that cannot be read, with the reason."""

    journal: Journal | None = None
    bad: dict[str, str] = field(default_factory=dict)

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

    def lock(self, wait: bool = False) -> contextlib.AbstractContextManager[None]:
        """The lock of the host; the directory is made where there is none."""
        return lock(self.folder, wait)

    def look(self) -> Found:
        """What has not ended; raises UserError where that is of a later version, or the directory is not safe."""
        check_private(self.folder)
        bad: dict[str, str] = {}
        for path in self.paths:
            if there(path):
                try:
                    return Found(_load(path), bad)
                except BadJournalError as error:
                    bad[path] = str(error)
                except NewerJournalError as error:
                    raise UserError(
                        f"{path} is the journal of a change that a later version of mailops.postmaster has begun"
                        f" (journal {error}, this version knows {'.'.join(map(str, VERSION))}). Nothing was changed."
                        " Use that version, or wait until the host rolls that change back"
                    ) from error
        return Found(None, bad)

    def pending(self) -> Journal | None:
        """The transaction that has not ended, if there is one."""
        return self.look().journal

    def put_aside(self, bad: Mapping[str, str]) -> list[str]:
        """Rename journals that cannot be read, so that they are in nobody's way; what to tell the user."""
        warnings = []
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
        """From here on the transaction is to be confirmed, or rolled back. Raises as ``refuse_too_large`` does."""
        self.refuse_too_large(journal)
        disk.write_image(self._pending, _image(journal))

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
                disk.write_image(path, _image(Journal(journal.transaction, replaced)))

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
                forget(_load(path).images if there(path) else (), tell=False)
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
        names = listed(self._ended)
        return [(found[0], found[1]) for found in (name.split(".") for name in names) if len(found) == 3]


def _load(path: str) -> Journal:
    """The journal in a file. Only what begins and ends as one is read as a whole."""
    try:
        handle = open_plain(path)
    except RefusedError as error:
        raise BadJournalError(str(error)) from error
    try:
        size = os.fstat(handle).st_size
        if not size:
            raise BadJournalError("is empty")
        if size > LIMIT:
            raise BadJournalError(f"is larger than {LIMIT} octets")
        if os.pread(handle, 1, 0) != b"{":
            raise BadJournalError("does not begin as a journal does")
        if os.pread(handle, 1, size - 1) != b"}":
            raise BadJournalError("is cut off")
        journal = Journal.load(read_up_to(handle, LIMIT))
    finally:
        os.close(handle)
    unknown = {journal.switch[name] for name in ("old", "new") if journal.switch} - DAEMONS.keys()
    if unknown:
        raise BadJournalError(f"names an MTA that is not known: {' and '.join(sorted(unknown))}")
    return journal


def _age(transaction: str) -> tuple[int, str]:
    return _number(transaction), transaction


def _number(transaction: str) -> int:
    """What the id of a transaction begins with."""
    number = transaction.partition("-")[0]
    return int(number) if number.isdigit() and number.isascii() and len(number) <= DIGITS else 0


def forget(paths: Iterable[str], tell: bool = True) -> None:
    for path in paths:
        disk.forget(path, tell)


def _image(journal: Journal) -> Image:
    return Image(journal.dump(), os.geteuid(), os.getegid(), 0o600)
