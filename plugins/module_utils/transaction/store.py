# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journals on the disk of the host. ``pending.json`` is the one of a transaction that has not ended,
and ``undoing.json`` the one of a transaction of which the rollback has begun: that cannot be confirmed any more.

A transaction ends by a rename, which needs no room: to ``transactions/ID.confirmed.json`` or
``transactions/ID.rolled_back.json``. What a rollback replaced is in ``transactions/ID.undone.json``.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING

from .._system import files as disk
from .._system.image import Image
from .journal import Journal

if TYPE_CHECKING:
    from collections.abc import Iterable

FOLDER = "/var/lib/mailops-postmaster"  # where it is, unless config_transaction is told otherwise
KEPT = 5  # transactions
STAGE = "stage-"  # what the names of the directories in which changes are checked begin with


class Store:
    """The directory of the journals, which is the host's only one."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._pending, self._undoing = (os.path.join(folder, f"{name}.json") for name in ("pending", "undoing"))
        self._ended = os.path.join(folder, "transactions")

    def lock(self, wait: bool = False) -> contextlib.AbstractContextManager[None]:
        """The lock of the host; the directory is made where there is none."""
        for folder in (self.folder, self._ended):
            os.makedirs(folder, mode=0o700, exist_ok=True)
        return disk.lock(os.path.join(self.folder, "lock"), wait)

    def pending(self) -> Journal | None:
        """The transaction that has not ended, if there is one."""
        found = disk.read_image(self._undoing) or disk.read_image(self._pending)
        return Journal.load(found.content) if found else None

    @property
    def paths(self) -> tuple[str, str]:
        """Where the journal of that is: one of these."""
        return self._undoing, self._pending

    @property
    def undoing(self) -> bool:
        """Whether its rollback has begun."""
        return os.path.exists(self._undoing)

    def state(self, transaction: str) -> str:
        """How a transaction ended; empty where that is not known, or it has not."""
        return next((state for name, state in self._states() if name == transaction and state != "undone"), "")

    def begin(self, journal: Journal) -> None:
        """From here on the transaction is to be confirmed, or rolled back."""
        disk.write_image(self._pending, _image(journal))

    def begin_undo(self) -> None:
        """From here on it can only be rolled back."""
        if not self.undoing:
            os.rename(self._pending, self._undoing)
            disk.sync_folder(self.folder)

    def note_undone(self, journal: Journal) -> None:
        """Keep what a rollback is about to replace. Where there is no room for that it goes on all the same."""
        replaced = {path: disk.read_image(path) for path, image in journal.images.items()}
        path = self._path(journal.transaction, "undone")
        if not os.path.exists(path):
            with contextlib.suppress(OSError):
                disk.write_image(path, _image(Journal(journal.transaction, replaced)))

    def end(self, journal: Journal, state: str) -> None:
        """The transaction has ended; only the last few are kept."""
        os.rename(self._undoing if self.undoing else self._pending, self._path(journal.transaction, state))
        disk.sync_folder(self.folder)
        forget(journal.images)
        states = self._states()
        outdated = sorted({name for name, _state in states} - {journal.transaction})[: 1 - KEPT]
        for name, old in states:
            if name in outdated:
                os.unlink(self._path(name, old))

    def tidy(self) -> None:
        """Remove what was interrupted: stages, and what an end has left beside the files."""
        for name in os.listdir(self.folder):
            if name.startswith(STAGE):
                shutil.rmtree(os.path.join(self.folder, name))
        for name, state in self._states():
            found = disk.read_image(self._path(name, state))
            forget(Journal.load(found.content).images if found else ())

    def _path(self, transaction: str, state: str) -> str:
        return os.path.join(self._ended, f"{transaction}.{state}.json")

    def _states(self) -> list[tuple[str, str]]:
        names = sorted(os.listdir(self._ended)) if os.path.isdir(self._ended) else []
        return [(found[0], found[1]) for found in (name.split(".") for name in names) if len(found) == 3]


def forget(paths: Iterable[str]) -> None:
    for path in paths:
        disk.forget(path)


def _image(journal: Journal) -> Image:
    return Image(journal.dump(), os.geteuid(), os.getegid(), 0o600)
