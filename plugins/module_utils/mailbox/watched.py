# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mailboxes as the program sees them: each has a child process that looks at it, and that may fail or hang alone."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from .._system.reader import RefusedError
from .._system.worker import Worker
from ..shown import line
from .box import Box
from .maildir import reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .._system.deadline import Deadline

LOOK = 0.5  # seconds of one look; a mailbox with more to read is looked at again
ANSWER = 10.0  # seconds for an answer, before the child is killed
LATE = 0.5  # seconds after the deadline for the answer to a question that was asked before it
REMOVAL = 15.0  # seconds that a removal may take; a child that is killed while it holds a lock would leave it
UNREAD = 3.0  # seconds for the look at what waits
MOST = 100  # mailboxes: each has a process, and a user may have his mail put into as many files as he likes


class Seen(NamedTuple):
    """What a look has found: counts and header fields by token; ``reason`` says what could not be looked at.

    ``behind``: there is more to read, and another look goes on with it.
    """

    counts: Mapping[str, int]
    headers: Mapping[str, Mapping[str, Any]]
    reason: str
    behind: bool


NOTHING = Seen({}, {}, "", behind=False)
CHANGED = "are followed by other mail, or were changed"


class Waiting(NamedTuple):
    """For how many days the oldest unread message has waited; None where that is not known, and the reason."""

    days: int | None
    reason: str


class Mailboxes:
    """The mailboxes that were asked for, by their paths; their children end with ``close``, or with the program."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._workers: dict[str, Worker] = {}
        self._waiting: dict[str, Waiting] = {}
        self._seen: dict[str, Seen] = {}

    def close(self) -> None:
        for worker in self._workers.values():
            worker.close()
        self._workers.clear()

    @property
    def late(self) -> bool:
        """Whether the deadline is over."""
        return self._deadline.over

    @property
    def over(self) -> str:
        """That the deadline is over, in words."""
        return f"the deadline of {self._deadline.seconds:g} s was over"

    def mark(self, path: str) -> list[int]:
        """From now on only what comes is looked at; the mailbox's state."""
        return self._state(path, "mark")

    def state(self, path: str) -> list[int]:
        """What changes when a message comes; empty where there is no mailbox, or none that can be looked at."""
        return self._state(path, "state")

    def look(self, path: str, tokens: Iterable[str], since: float = 0.0) -> Seen:
        """Which messages carry the tokens; what was sent before ``since`` does not. See ``Mbox`` and ``Maildir``.

        What an earlier look has found stays found where this one fails.
        """
        question = {"do": "look", "tokens": list(tokens), "since": since, "seconds": self._deadline.within(LOOK)}
        try:
            said = self._ask(path, question)
        except (OSError, RefusedError) as error:
            before = self._seen.get(path, NOTHING)
            return before._replace(reason=before.reason or f"{line(path)} {reason(error)}", behind=False)
        reasons = [f"{line(path)}{'/' if name else ''}{line(name)} {why}" for name, why in said["problems"].items()]
        if said["behind"]:
            reasons.append(f"{line(path)} {said['behind']}: {self.over}")
        self._seen[path] = Seen(said["counts"], said["headers"], "; ".join(reasons), bool(said["behind"]))
        return self._seen[path]

    def unread(self, path: str) -> Waiting:
        """How long mail has waited there; asked once."""
        if path not in self._waiting:
            question = {"do": "unread", "now": time.time(), "seconds": self._deadline.within(UNREAD)}
            try:
                self._waiting[path] = Waiting(**self._ask(path, question))
            except (OSError, RefusedError) as error:
                self._waiting[path] = Waiting(None, reason(error))
        return self._waiting[path]

    def remove(self, path: str, tokens: Iterable[str]) -> tuple[int, str]:
        """Remove the messages of the proof that were found there: how many were, and why others are left."""
        wanted = [token for token in tokens if token in self._seen.get(path, NOTHING).counts]
        if not wanted:
            return 0, ""
        there = sum(self._seen[path].counts[token] for token in wanted)
        if self._deadline.left < REMOVAL:
            return (
                0,
                f"{line(path)}: {there} were not removed, because less than {REMOVAL:g} s of the deadline were left",
            )
        try:
            removed = int(self._worker(path).ask({"do": "remove", "tokens": wanted}, REMOVAL))
        except (OSError, RefusedError) as error:
            return 0, f"{line(path)} {reason(error)}"
        left = there - removed
        return removed, f"{line(path)}: {left} of {there} {CHANGED}" if left > 0 else ""

    def _state(self, path: str, do: str) -> list[int]:
        try:
            found: list[int] = self._ask(path, {"do": do})
        except (OSError, RefusedError):
            return []
        return found

    def _ask(self, path: str, question: dict[str, Any]) -> Any:
        if self._deadline.over:
            raise RefusedError(f"was not looked at: {self.over}")
        return self._worker(path).ask(question, self._deadline.within(ANSWER) + LATE)

    def _worker(self, path: str) -> Worker:
        if path not in self._workers and len(self._workers) >= MOST:
            raise RefusedError(f"was not looked at: no more than {MOST} mailboxes are")
        return self._workers.setdefault(path, Worker(Box(path).answer))
