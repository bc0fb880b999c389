# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks for tokens in mailboxes, and waits until they are there."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Callable

from .._system.deadline import Deadline
from ..checked import Checked, moment, wait
from ..errors import UserError
from ..proof import Found
from ..shown import line
from ..verdict import FAIL, INCONCLUSIVE, PASS
from .message import TOKEN
from .watched import Mailboxes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Hits = Mapping[str, Mapping[str, Found]]

INTERVAL = 0.05  # seconds between two looks
BEYOND = 60.0  # seconds for all looks, beside those for which is waited


class Search:
    """Tokens looked for in mailboxes; what was read once is not read again, however often ``wait`` is called.

    The tokens come by mailbox. ``since``, in seconds since the epoch: none of the messages was sent before.
    ``reasons`` says of each mailbox that could not be looked at, or not as a whole, why.
    """

    def __init__(self, tokens: Mapping[str, Iterable[str]], mailboxes: Mailboxes, since: float = 0.0) -> None:
        self._tokens = {path: list(dict.fromkeys(wanted)) for path, wanted in tokens.items()}
        self._all = list(dict.fromkeys(token for wanted in self._tokens.values() for token in wanted))
        for token in self._all:
            if not TOKEN.fullmatch(token):
                raise UserError(f"tokens: {token!r} is not allowed; allowed: printable ASCII characters without spaces")
        self._mailboxes, self._since = mailboxes, since
        mailboxes.expect(self._tokens)
        self._seconds: dict[tuple[str, str], float] = {}
        self._start = time.monotonic()
        self._behind = False
        self.reasons: dict[str, str] = {}

    def wait(
        self,
        timeout: float,
        done: Callable[[Hits], bool] | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> Hits:
        """By token and mailbox, what is found once ``done`` says so, or after ``timeout`` seconds.

        Without ``done`` that is once every token is in some mailbox. However short the time is, what was in the
        mailboxes is looked at to its end, or to the deadline of the mailboxes.
        """
        finished = done or self._everything
        end = time.monotonic() + timeout
        while True:
            begun = time.monotonic()
            hits = self._look()
            now = time.monotonic()
            if not self._behind and (finished(hits) or now >= end):
                return hits
            if self._mailboxes.late:
                for path in self._tokens:
                    self.reasons.setdefault(path, f"{line(path)} was not watched to the end: {self._mailboxes.over}")
                return hits
            if not self._behind:
                # A look at a large Maildir takes its time, and then there are fewer of them.
                pause(min(max(INTERVAL, now - begun), end - now))

    def _everything(self, hits: Hits) -> bool:
        return all(token in hits for token in self._all)

    def _look(self) -> Hits:
        hits: dict[str, dict[str, Found]] = {}
        self._behind = False
        self.reasons.clear()
        for path, wanted in self._tokens.items():
            seen = self._mailboxes.look(path, wanted, self._since)
            self._behind |= seen.behind
            if seen.reason:
                self.reasons[path] = seen.reason
            for token, count in seen.counts.items():
                seconds = self._seconds.setdefault((token, path), round(time.monotonic() - self._start, 3))
                hits.setdefault(token, {})[path] = Found(count, seconds, seen.headers.get(token, {}))
        return hits


def find_as_asked(params: Mapping[str, Any]) -> dict[str, Any]:
    """Find by the options of the module mailbox_find, and return its result."""
    note = Checked(params)
    timeout, since = note.one("timeout", wait), note.one("since", moment)
    note.settle()
    return find(params["tokens"], params["mailboxes"], timeout, params["deadline"], since)


def find(
    tokens: Iterable[str], mailboxes: Iterable[str], timeout: float, deadline: float | None = None, since: float = 0.0
) -> dict[str, Any]:
    """Look for tokens as the module mailbox_find documents it, and return its result."""
    wanted = list(dict.fromkeys(tokens))
    with closing(Mailboxes(Deadline(timeout + BEYOND if deadline is None else deadline))) as boxes:
        search = Search(dict.fromkeys(mailboxes, wanted), boxes, since)
        hits = search.wait(timeout)
    missing = [token for token in wanted if token not in hits]
    return {
        "verdict": (INCONCLUSIVE if search.reasons else FAIL) if missing else PASS,
        "found": [
            {"token": token, "mailbox": mailbox, **asdict(found)}
            for token, boxes_of in hits.items()
            for mailbox, found in boxes_of.items()
        ],
        "missing": [{"token": token} for token in missing],
        "inconclusive": [{"mailbox": path, "reason": reason} for path, reason in search.reasons.items()],
    }
