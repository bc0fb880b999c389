# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads a Maildir as it grows: every message once, also when a mail reader moves it from ``new`` to ``cur``.

The folders are listed; only what was not there before is opened. No link is followed: neither a message nor a folder
may be one.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import time
from array import array
from typing import TYPE_CHECKING, NoReturn

from .._system.inside import entries, folder_of
from .._system.reader import RefusedError, open_plain
from ..shown import line
from .listed import Listed
from .message import END_OF_HEADERS, LONGEST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .._system.deadline import Deadline
    from .message import Tally

FOLDERS = ("new", "cur")
PIECE = 1 << 14
MOST = 1_000_000  # files that are listed, of all Maildirs together
NEWEST = 5000  # names that are kept at once, or half as many as were seen before: a name needs more room than a number
SETTLED = 2 * 10**9  # nanoseconds after which a folder's time says whether it has changed since
NAMED = 20  # files that are named because they cannot be looked at
CARRIERS = 100  # messages with one token that can be removed


class Maildir:
    """A Maildir, and the messages that were seen in it; a message's unique name is what stands before its flags.

    ``since``, in seconds since the epoch, is when the messages were sent: what is older is not opened.
    """

    def __init__(self, tally: Tally, since: float = 0.0) -> None:
        self._tally, self._since = tally, since
        self._seen = Listed()
        self._times: dict[str, tuple[int, int]] = {}
        self._unopened: list[tuple[str, str]] = []
        self._unlisted = dict.fromkeys(FOLDERS, 0)  # files for whose names there was no room
        self._full = ""
        self.most = MOST  # files that it may hold
        self.problems: dict[str, str] = {}  # by the name of the file, why it cannot be looked at
        self.carriers: dict[str, list[str]] = {}  # by token, the name of each message

    @property
    def files(self) -> int:
        """How many files are known."""
        return len(self._seen)

    def mark(self, handle: int) -> None:
        """Look only at what comes from now on."""
        for folder in FOLDERS:
            with folder_of(handle, folder) as opened:
                self._list(opened, folder, wanted=False)

    def look(self, handle: int, budget: Deadline) -> None:
        """Count the messages that have come since the last look. Ends when the ``budget`` is spent."""
        with contextlib.ExitStack() as stack:
            folders = {folder: stack.enter_context(folder_of(handle, folder)) for folder in FOLDERS}
            for folder, opened in folders.items():
                self._list(opened, folder)
            while not budget.over:
                if self._unopened:
                    folder, name = self._unopened.pop()
                    self._open(folders[folder], folder, name)
                elif any(self._unlisted.values()):
                    for folder, opened in folders.items():
                        self._list(opened, folder)
                else:
                    break

    @property
    def behind(self) -> str:
        """What was not read yet, in words."""
        left = len(self._unopened) + sum(self._unlisted.values())
        return f"has {left} files that were not opened" if left else ""

    def _list(self, opened: int, folder: str, *, wanted: bool = True) -> None:
        """Note what has come into a folder; only what is ``wanted`` will be opened."""
        if self._full:
            raise RefusedError(self._full)
        seen = os.fstat(opened)
        state = (seen.st_ino, seen.st_mtime_ns)
        unlisted = self._unlisted[folder] and not self._unopened
        if self._times.get(folder) == state and not unlisted:
            return
        self._times.pop(folder, None)
        if time.time_ns() - seen.st_mtime_ns > SETTLED:
            self._times[folder] = state
        unwanted = array("q")
        with entries(opened) as found:
            fresh = self._fresh(found, unwanted, folder, wanted=wanted)
            # Names begin with the time of delivery: the newest is opened first.
            newest = heapq.nlargest(max(NEWEST, len(self._seen) // 2), fresh)
        self._unlisted[folder] -= len(newest)
        names = {_key(name): name for name in reversed(newest)}
        self._unopened += [(folder, name) for name in names.values()]
        self._seen.add(unwanted)
        self._seen.add(array("q", names))

    def _fresh(
        self, found: Iterator[os.DirEntry[str]], unwanted: array[int], folder: str, *, wanted: bool
    ) -> Iterator[str]:
        """The names of the files to open; the numbers of others go to ``unwanted``."""
        self._unlisted[folder] = 0
        for entry in found:
            key = _key(entry.name)
            if entry.name.startswith(".") or key in self._seen:
                continue
            if len(self._seen) + len(unwanted) + self._unlisted[folder] >= self.most:
                self._refuse_more(folder)
            if wanted and (not self._since or self._is_new(entry)):
                self._unlisted[folder] += 1
                yield entry.name
            else:
                unwanted.append(key)

    def _refuse_more(self, folder: str) -> NoReturn:
        """It stays refused: to list it again and again would cost the time of the others."""
        self._full = f"holds more than {self.most} files, and {MOST} of all mailboxes together are looked at"
        self._seen.clear()
        self._unopened.clear()
        self._unlisted[folder] = 0
        raise RefusedError(self._full)

    def _is_new(self, entry: os.DirEntry[str]) -> bool:
        try:
            found = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return True
        return max(found.st_mtime, found.st_ctime) >= self._since

    def _open(self, opened: int, folder: str, name: str) -> None:
        try:
            block = header_block(opened, name)
        except FileNotFoundError:  # moved to cur, where the next look finds it
            self._seen.discard(_key(name))
        except (OSError, RefusedError) as error:
            if len(self.problems) < NAMED:
                self.problems[f"{folder}/{name}"] = reason(error)
        else:
            for token in self._tally.add(block):
                carriers = self.carriers.setdefault(token, [])
                if len(carriers) < CARRIERS:
                    carriers.append(name)


def header_block(opened: int, name: str) -> bytes:
    """The header block of a message in a folder."""
    handle = open_plain(name, folder=opened)
    try:
        text = b"\n"
        while len(text) < LONGEST:
            piece = os.read(handle, PIECE)
            begun, text = max(0, len(text) - 2), text + piece
            end = END_OF_HEADERS.search(text, begun)
            if end:
                return text[1 : max(1, end.start())]
            if not piece:
                break
        return text[1:]
    finally:
        os.close(handle)


def reason(error: OSError | RefusedError) -> str:
    """Why a file cannot be looked at, in words that go on after its name."""
    return line(f"cannot be opened: {error.strerror}" if isinstance(error, OSError) else str(error))


def _key(name: str) -> int:
    """A number that stands for the unique part of a name: a million of them need little room."""
    return hash(name.partition(":")[0])
