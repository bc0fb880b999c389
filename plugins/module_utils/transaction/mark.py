# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The mark of a service that may not have the configuration that is in place: ``not-in-force.json``.

It is there before the first file of a change is replaced, and from the beginning of a rollback on. When the service
has been told, the mark becomes ``in-force.json`` by a rename, and back by another: a disk that gets full meanwhile
does not matter. It goes with the end of the transaction. One that stays says that an activation is due, whatever the
files say. It is a journal without files: which service that is, and where it has to answer.
"""

from __future__ import annotations

import os
from dataclasses import replace

from .._system import files as disk
from .._system.beside import make_way
from .._system.names import move, remove, there
from .._system.remarks import remarked
from .journal import BadJournalError, Journal, NewerJournalError
from .kept import image, load


class Mark:
    """The mark of the host; ``folder`` is the directory of the journals."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._due, self._reached = (os.path.join(folder, f"{name}.json") for name in ("not-in-force", "in-force"))

    @property
    def path(self) -> str:
        """Where the mark is while it is due."""
        return self._due

    @property
    def due(self) -> bool:
        """Whether the service may have another configuration than the one that is in place."""
        return there(self._due)

    def read(self) -> Journal | None:
        """What is due; None where nothing is, or it cannot be read."""
        try:
            return load(self._due)
        except (OSError, BadJournalError, NewerJournalError):
            return None

    def is_of(self, journal: Journal) -> bool:
        """Whether it is due of this transaction."""
        found = self.read()
        return found is not None and found.transaction == journal.transaction

    def begin(self, journal: Journal) -> None:
        """Make the mark, of whatever was there before; raises OSError."""
        make_way(self._due)
        disk.write_image(self._due, image(replace(journal, images={}, switch={})))

    def lose(self, journal: Journal) -> None:
        """What is in force is about to be replaced. That goes on where the mark cannot be made: a remark."""
        with remarked(f"{self._due} could not be written, so that no later run may know of a restart that fails"):
            if self.due:
                return
            if there(self._reached):
                move(self._reached, self._due)
                disk.sync_folder(self._folder)
            else:
                self.begin(journal)

    def reach(self) -> None:
        """What is in place is in force; raises OSError."""
        if self.due:
            move(self._due, self._reached)
            disk.sync_folder(self._folder)

    def clear(self) -> None:
        """What is in place is in force, and stays. A mark that cannot be removed costs a restart: a remark."""
        for path in (self._due, self._reached):
            with remarked(f"{path} could not be removed"):
                remove(path)
