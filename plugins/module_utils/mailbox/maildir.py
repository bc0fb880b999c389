# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads a Maildir as it grows: every message once, also when a mail reader moves it from ``new`` to ``cur``.

The folders are listed; only what was not there before is opened. No link is followed: neither a message nor a folder
may be one.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

from .._system.inside import entries, folder_of
from .._system.reader import RefusedError, open_plain
from ..shown import line
from .message import END_OF_HEADERS, LONGEST

if TYPE_CHECKING:
    from .._system.deadline import Deadline
    from .message import Tally

FOLDERS = ("new", "cur")
PIECE = 1 << 14
MOST = 1_000_000  # files of a Maildir that are listed
SETTLED = 2 * 10**9  # nanoseconds after which a folder's time says whether it has changed since
NAMED = 20  # files that are named because they cannot be looked at


class Maildir:
    """A Maildir, and the messages that were seen in it; a message's unique name is what stands before its flags.

    ``since``, in seconds since the epoch, is when the messages were sent: what is older is not opened.
    """

    def __init__(self, tally: Tally, since: float = 0.0) -> None:
        self._tally, self._since = tally, since
        self._seen: set[int] = set()
        self._times: dict[str, tuple[int, int]] = {}
        self._unopened: list[tuple[str, str]] = []
        self.problems: dict[str, str] = {}  # by the name of the file, why it cannot be looked at
        self.carriers: dict[str, list[str]] = {}  # by token, the name of each message

    def mark(self, handle: int) -> None:
        """Look only at what comes from now on."""
        for folder in FOLDERS:
            with folder_of(handle, folder) as opened:
                self._list(opened, folder)
        self._unopened.clear()

    def look(self, handle: int, budget: Deadline) -> None:
        """Count the messages that have come since the last look. Ends when the ``budget`` is spent."""
        with contextlib.ExitStack() as stack:
            folders = {folder: stack.enter_context(folder_of(handle, folder)) for folder in FOLDERS}
            for folder, opened in folders.items():
                self._list(opened, folder)
            while self._unopened and not budget.over:
                folder, name = self._unopened.pop()
                self._open(folders[folder], folder, name)

    @property
    def behind(self) -> str:
        """What was not read yet, in words."""
        return f"has {len(self._unopened)} files that were not opened" if self._unopened else ""

    def _list(self, opened: int, folder: str) -> None:
        seen = os.fstat(opened)
        state = (seen.st_ino, seen.st_mtime_ns)
        if self._times.get(folder) == state:
            return
        self._times.pop(folder, None)
        if time.time_ns() - seen.st_mtime_ns > SETTLED:
            self._times[folder] = state
        fresh = []
        with entries(opened) as found:
            for entry in found:
                key = _key(entry.name)
                if key in self._seen or entry.name.startswith("."):
                    continue
                if len(self._seen) >= MOST:
                    raise RefusedError(f"holds more than {MOST} files")
                self._seen.add(key)
                if not self._since or self._is_new(entry):
                    fresh.append((folder, entry.name))
        self._unopened += sorted(fresh)  # names begin with the time of delivery: the newest is opened first

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
                self.carriers.setdefault(token, []).append(name)


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
