# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done with one mailbox, in a child process that has the rights of its owner, or of who named it."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING, Any

from .._system.deadline import Deadline
from .._system.descent import descend, open_spot
from .._system.inside import seen_in
from .._system.reader import RefusedError
from .maildir import MOST, Maildir, reason
from .mbox import Mbox
from .message import Tally
from .removal import Before, from_maildir, from_mbox
from .unread import DAY, waits_since

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .._system.reader import Rights

NO_MAILDIR = "is a directory without new and cur, and so no Maildir"


class Box:
    """A mailbox, and what is remembered of it. One that is not there yet has no messages; its kind shows when it is.

    ``rights`` are those of the account that named it; None where root did.
    """

    def __init__(self, path: str, rights: Rights | None = None) -> None:
        self._path, self._rights = path, rights
        self._tally = Tally()
        self._tokens: list[str] = []
        self._reader: Mbox | Maildir | None = None
        self._since = 0.0
        self._before: Before | None = None
        self._most = MOST

    def answer(self, question: dict[str, Any]) -> Any:
        """The answer to a question, by what it asks to ``do``; both are data.

        A Maildir may hold so many ``files`` as the question says; the answer says how many are known.
        """
        does = {
            "identify": self._identify,
            "mark": self._mark,
            "state": self._state,
            "look": self._look,
            "unread": self._unread,
            "remove": self._remove,
        }
        self._most = question.get("files", MOST)
        answer = does[question["do"]](question)
        return {"answer": answer, "files": self._reader.files if isinstance(self._reader, Maildir) else 0}

    def _identify(self, _question: dict[str, Any]) -> list[int]:
        """The device and the inode: two names of one mailbox have the same. Raises FileNotFoundError."""
        with self._opened() as handle:
            found = os.fstat(handle)
            return [found.st_dev, found.st_ino]

    def _mark(self, question: dict[str, Any]) -> list[int]:
        """Look only at what comes from now on. Where there is no mailbox yet, that is everything."""
        with contextlib.suppress(FileNotFoundError), self._opened() as handle:
            self._reader_of(handle).mark(handle)
            found = os.fstat(handle)
            self._before = Before(found.st_ino, found.st_size, found.st_mtime_ns)
        return self._state(question)

    def _state(self, _question: dict[str, Any]) -> list[int]:
        """What changes when a message comes."""
        try:
            with self._opened() as handle:
                found = os.fstat(handle)
                if stat.S_ISDIR(found.st_mode):
                    found = seen_in(handle, "new")
                return [found.st_ino, found.st_size, found.st_mtime_ns]
        except FileNotFoundError:
            return []

    def _look(self, question: dict[str, Any]) -> dict[str, Any]:
        """How many messages carry each of the ``tokens``; ``behind`` says what there was no time for."""
        if question["tokens"] != self._tokens:
            if self._tokens and not self._before:  # what was read without looking for the new ones is read again
                self._reader = None
                self._tally.clear()
            self._tokens = question["tokens"]
            self._tally.expect(self._tokens)
        self._since = question["since"]
        behind, problems = "", {}
        try:
            with self._opened() as handle:
                reader = self._reader_of(handle)
                reader.look(handle, Deadline(question["seconds"]))
                behind = reader.behind
                problems = reader.problems if isinstance(reader, Maildir) else {}
        except FileNotFoundError:
            if isinstance(self._reader, Maildir) and self._is_folder():
                problems = {"": NO_MAILDIR}
            self._reader = None
            self._tally.clear()
        return {
            "counts": self._tally.counts,
            "headers": self._tally.headers if question["headers"] else {},
            "behind": behind,
            "problems": problems,
        }

    def _unread(self, question: dict[str, Any]) -> dict[str, Any]:
        """For how many whole ``days`` the first message that waits has done so; None, and why, where nobody knows."""
        try:
            with self._opened() as handle:
                since = waits_since(handle, Deadline(question["seconds"]))
        except FileNotFoundError:  # no mail has come yet, or what has is just being read
            return {"days": 0, "reason": ""}
        except (OSError, RefusedError) as error:
            return {"days": None, "reason": reason(error)}
        return {"days": 0 if since is None else max(0, int((question["now"] - since) // DAY)), "reason": ""}

    def _remove(self, question: dict[str, Any]) -> int:
        """Remove the messages with these ``tokens`` that were found; how many were removed."""
        tokens = question["tokens"]
        if isinstance(self._reader, Maildir):
            names = [name for token in tokens for name in self._reader.carriers.get(token, ())]
            with self._opened() as handle:
                return from_maildir(handle, tokens, names)
        spot = descend(self._path, self._rights)
        try:
            return from_mbox(spot, tokens, self._before)
        finally:
            os.close(spot.folder)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        spot = descend(self._path, self._rights)
        try:
            handle = open_spot(spot)
        finally:
            os.close(spot.folder)
        try:
            yield handle
        finally:
            os.close(handle)

    def _reader_of(self, handle: int) -> Mbox | Maildir:
        wanted = Maildir if stat.S_ISDIR(os.fstat(handle).st_mode) else Mbox
        if not isinstance(self._reader, wanted):
            self._tally.clear()
            self._reader = wanted(self._tally, self._since)
        if isinstance(self._reader, Maildir):
            self._reader.most = self._most
        return self._reader

    def _is_folder(self) -> bool:
        try:
            with self._opened() as handle:
                return stat.S_ISDIR(os.fstat(handle).st_mode)
        except FileNotFoundError:
            return False
