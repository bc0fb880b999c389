# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks for tokens in mailboxes, and waits until they are there."""

from __future__ import annotations

import os
import stat
import time
from typing import TYPE_CHECKING, Callable

from ..errors import UserError
from ..proof import Found
from .maildir import Maildir
from .mbox import Mbox
from .message import TOKEN, Tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Hits = Mapping[str, Mapping[str, Found]]

INTERVAL = 0.05  # seconds between two looks


class Search:
    """Tokens looked for in mailboxes; what was read once is not read again, however often ``wait`` is called."""

    def __init__(self, tokens: Iterable[str], mailboxes: Iterable[str]) -> None:
        self._tokens = list(dict.fromkeys(tokens))
        for token in self._tokens:
            if not TOKEN.fullmatch(token):
                raise UserError(f"tokens: {token!r} is not allowed; allowed: printable ASCII characters without spaces")
        self._tallies = {path: Tally(self._tokens) for path in mailboxes}
        self._readers: dict[str, Mbox | Maildir] = {}
        self._seconds: dict[tuple[str, str], float] = {}
        self._start = time.monotonic()

    def wait(
        self,
        timeout: float,
        done: Callable[[Hits], bool] | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> Hits:
        """By token and mailbox, what is found once ``done`` says so, or after ``timeout`` seconds.

        Without ``done`` that is once every token is in some mailbox.
        """
        finished = done or self._everything
        end = time.monotonic() + timeout
        while True:
            begun = time.monotonic()
            hits = self._look()
            now = time.monotonic()
            if finished(hits) or now >= end:
                return hits
            # A look at a large Maildir takes its time, and then there are fewer of them.
            pause(min(max(INTERVAL, now - begun), end - now))

    def _everything(self, hits: Hits) -> bool:
        return all(token in hits for token in self._tokens)

    def _look(self) -> Hits:
        hits: dict[str, dict[str, Found]] = {}
        for path, tally in self._tallies.items():
            self._read(path, tally)
            for token, count in tally.counts.items():
                seconds = self._seconds.setdefault((token, path), round(time.monotonic() - self._start, 3))
                hits.setdefault(token, {})[path] = Found(count, seconds, tally.headers[token])
        return hits

    def _read(self, path: str, tally: Tally) -> None:
        """A mailbox that is not there yet has no messages; its kind shows when it is."""
        try:
            if path not in self._readers:
                self._readers[path] = _reader(path, tally)
            self._readers[path].look()
        except FileNotFoundError:
            self._readers.pop(path, None)
            tally.clear()


def find(
    tokens: Iterable[str], mailboxes: Iterable[str], timeout: float, done: Callable[[Hits], bool] | None = None
) -> Hits:
    """One search, waited for once."""
    return Search(tokens, mailboxes).wait(timeout, done)


def _reader(path: str, tally: Tally) -> Mbox | Maildir:
    mode = os.stat(path).st_mode
    if stat.S_ISREG(mode):
        return Mbox(path, tally)
    if stat.S_ISDIR(mode):
        return Maildir(path, tally)
    raise UserError(f"mailboxes: {path} is neither a file nor a directory; allowed: an mbox or a Maildir")
