# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mailboxes as the program sees them: each has a child process that looks at it, and that may fail or hang alone.

Whoever gets the mail decides into how many files it is put, and how many files are in a Maildir. So there is one limit
for all together. What has the same inode is the same mailbox, and one child looks at it. Where there is nothing yet,
there is nothing to remember, and so no child.

A mailbox that a user names is looked at with the rights of the account as which the MTA writes it. Another user can
name the same one: each one's rights are tried, so that nobody takes a mailbox from anybody else.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from .._system.reader import RefusedError
from .._system.worker import Worker
from ..shown import line
from . import maildir
from .box import Box
from .maildir import reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .._system.deadline import Deadline
    from .._system.reader import Rights

LOOK = 0.5  # seconds of one look; a mailbox with more to read is looked at again
ANSWER = 10.0  # seconds for an answer, before the child is killed
LATE = 0.5  # seconds after the deadline for the answer to a question that was asked before it
REMOVAL = 15.0  # seconds that a removal may take; a child that is killed while it holds a lock would leave it
UNREAD = 3.0  # seconds for the look at what waits
MOST = 64  # mailboxes: each has a process, of some 2 MB
SURE = 10_000  # files of each mailbox that are listed, however many the others hold


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


@dataclass
class _Watched:
    """A mailbox that is there: its child, the tokens that were looked for, and how many files are known of it."""

    worker: Worker
    tokens: dict[str, None] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    files: int = 0


class Waiting(NamedTuple):
    """For how many days the oldest unread message has waited; None where that is not known, and the reason."""

    days: int | None
    reason: str


class Mailboxes:
    """The mailboxes that were asked for, by their paths; their children end with ``close``, or with the program.

    ``headers``: whether the header fields of what is found are wanted.
    """

    def __init__(self, deadline: Deadline, *, headers: bool = True) -> None:
        self._deadline, self._headers = deadline, headers
        self._paths: set[str] = set()
        self._boxes: dict[str, _Watched] = {}
        self._rights: dict[str, dict[Rights | None, None]] = {}
        self._refused: dict[tuple[str, Rights | None], _Watched] = {}
        self._same: dict[tuple[int, int], _Watched] = {}  # by device and inode
        self._waiting: dict[str, Waiting] = {}
        self._seen: dict[str, Seen] = {}

    def close(self) -> None:
        for box in self._boxes.values():  # all first: while one is waited for, the others end, too
            box.worker.kill()
        for box in self._boxes.values():
            box.worker.close()
        self._boxes.clear()
        self._same.clear()

    @property
    def late(self) -> bool:
        """Whether the deadline is over."""
        return self._deadline.over

    @property
    def over(self) -> str:
        """That the deadline is over, in words."""
        return f"the deadline of {self._deadline.seconds:g} s was over"

    def named(self, path: str, rights: Rights | None) -> None:
        """Say who has named a mailbox, before it is asked about: the ``rights`` of that account, None for root."""
        known = self._rights.setdefault(path, {})
        if rights not in known:
            known[rights] = None
            if path not in self._boxes:
                self._waiting.pop(path, None)
                self._seen.pop(path, None)

    def expect(self, tokens: Mapping[str, Iterable[str]]) -> None:
        """By mailbox, what is going to be looked for: a mailbox with several names has the tokens of all of them."""
        for path, wanted in tokens.items():
            if path in self._boxes:
                self._boxes[path].tokens.update(dict.fromkeys(wanted))

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
        wanted = list(tokens)
        try:
            box = self._box(path)
            box.tokens.update(dict.fromkeys(wanted))
            said = self._ask(
                path,
                {
                    "do": "look",
                    "tokens": list(box.tokens),
                    "since": since,
                    "headers": self._headers,
                    "seconds": self._deadline.within(LOOK),
                },
            )
        except FileNotFoundError:
            return self._seen.setdefault(path, NOTHING)
        except (OSError, RefusedError) as error:
            before = self._seen.get(path, NOTHING)
            return before._replace(reason=before.reason or f"{line(path)} {reason(error)}", behind=False)
        reasons = [f"{line(path)}{'/' if name else ''}{line(name)} {why}" for name, why in said["problems"].items()]
        if said["behind"]:
            reasons.append(f"{line(path)} {said['behind']}: {self.over}")
        counts = {token: said["counts"][token] for token in wanted if token in said["counts"]}
        self._seen[path] = Seen(counts, said["headers"], "; ".join(reasons), bool(said["behind"]))
        return self._seen[path]

    def unread(self, path: str) -> Waiting:
        """How long mail has waited there; asked once."""
        if path not in self._waiting:
            question = {"do": "unread", "now": time.time(), "seconds": self._deadline.within(UNREAD)}
            try:
                self._waiting[path] = Waiting(**self._ask(path, question))
            except FileNotFoundError:
                self._waiting[path] = Waiting(0, "")
            except (OSError, RefusedError) as error:
                self._waiting[path] = Waiting(None, reason(error))
        return self._waiting[path]

    def remove(self, path: str, tokens: Iterable[str]) -> tuple[int, str]:
        """Remove the messages of the proof that were found there: how many were, and why others are left."""
        found, box = self._seen.get(path, NOTHING).counts, self._boxes.get(path)
        wanted = [token for token in tokens if token in found and box and token not in box.removed]
        if not box or not wanted:
            return 0, ""
        there = sum(found[token] for token in wanted)
        if self._deadline.left < REMOVAL:
            return (
                0,
                f"{line(path)}: {there} were not removed, because less than {REMOVAL:g} s of the deadline were left",
            )
        box.removed.update(wanted)
        try:
            removed = int(box.worker.ask({"do": "remove", "tokens": wanted}, REMOVAL)["answer"])
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
        box = self._box(path)
        said = box.worker.ask({**question, "files": self._allowed(box)}, self._seconds())
        box.files = said["files"]
        return said["answer"]

    def _seconds(self) -> float:
        if self._deadline.over:
            raise RefusedError(f"was not looked at: {self.over}")
        return self._deadline.within(ANSWER) + LATE

    def _allowed(self, box: _Watched) -> int:
        """How many files a mailbox may hold: some in any case, and more while there are not too many of all."""
        known = {id(other): other.files for other in self._boxes.values()}
        return max(SURE, maildir.MOST - sum(known.values()) + box.files)

    def _box(self, path: str) -> _Watched:
        """The mailbox at a path; raises FileNotFoundError where there is none yet, and what else keeps it from us."""
        if path in self._boxes:
            return self._boxes[path]
        if path not in self._paths and len(self._paths) >= MOST:
            raise RefusedError(f"was not looked at: no more than {MOST} mailboxes are")
        self._paths.add(path)
        failed: OSError | RefusedError = FileNotFoundError(path)
        for number, rights in enumerate(self._rights.get(path) or {None: None}):
            found = self._opened(path, rights)
            if isinstance(found, _Watched):
                return found
            failed = found if isinstance(found, FileNotFoundError) or not number else failed
        raise failed

    def _opened(self, path: str, rights: Rights | None) -> _Watched | OSError | RefusedError:
        """The mailbox, or why it cannot be opened with these rights."""
        fresh = self._refused.pop((path, rights), None) or _Watched(Worker(Box(path, rights).answer))
        try:
            device, inode = fresh.worker.ask({"do": "identify"}, self._seconds())["answer"]
        except OSError as error:
            fresh.worker.close()
            return error
        except RefusedError as error:  # it may have hung: one that was killed is not tried again
            fresh.worker.close()
            if not self._deadline.over:
                self._refused[path, rights] = fresh
            return error
        self._boxes[path] = self._same.setdefault((device, inode), fresh)
        if self._boxes[path] is not fresh:
            fresh.worker.close()
        return self._boxes[path]
