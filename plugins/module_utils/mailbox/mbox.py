# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads an mbox as it grows, and backwards from its end, in pieces of bounded size.

A message begins at a line ``From `` that follows an empty line or begins the file (RFC 4155); in a body such a line is
quoted with ``>``. A message counts as soon as its header block has ended.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from .message import END_OF_HEADERS, LONGEST
from .waiting import MINUTE, came

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .._system.deadline import Deadline
    from .message import Tally

PIECE = 1 << 20
KNOWN = 256  # bytes before the offset that must be the same at the next look
SEPARATOR = b"\nFrom "
START = re.compile(rb"\n\r?\n(?=From )")
CONTEXT = 3  # bytes before a message that say that it begins there


class Scanner:
    """Pieces of an mbox in, header blocks out. Pure, and never holds more than a piece and a header block."""

    def __init__(self) -> None:
        self._rest = b"\n\n"
        self._in_headers = False

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """The header blocks that ended within this piece, each after its line ``From ``."""
        data, at = self._rest + piece, 0
        while True:
            if self._in_headers:
                end = END_OF_HEADERS.search(data, at)
                if not end and len(data) - at < LONGEST:
                    break
                stop = end.start() if end else len(data)
                yield data[at : stop + 1]
                at, self._in_headers = stop, False
            start = self._separator(data, at)
            if start < 0:
                # What may be the beginning of a separator is kept, with the empty line before it.
                at = max(at, len(data) - len(SEPARATOR) - 1)
                break
            at, self._in_headers = start, True
        self._rest = data[at:]

    @staticmethod
    def _separator(data: bytes, at: int) -> int:
        """Where the next line ``From `` begins that follows an empty line, or -1."""
        found = data.find(SEPARATOR, at)
        while found >= 0 and not data.endswith((b"\n", b"\n\r"), at, found):
            found = data.find(SEPARATOR, found + 1)
        return found if found < 0 else found + 1


class Mbox:
    """An mbox file, and how far it was read.

    What comes is read forwards, from where the mailbox ended. What was there before is read backwards from there, and
    not at all after a ``mark``. ``since``, in seconds since the epoch, is when the messages were sent: once all tokens
    are found, nothing is read of what came before.
    """

    def __init__(self, tally: Tally, since: float = 0.0) -> None:
        self._tally, self._since = tally, since
        self._scanner = Scanner()
        self._offset, self._known = -1, b""  # how far was read, and the bytes before that
        self._low = 0  # where what was read begins; 0 where nothing before that is wanted

    def mark(self, handle: int) -> None:
        """Look only at what comes from now on."""
        self._start(handle, os.fstat(handle).st_size)
        self._low = 0

    def look(self, handle: int, budget: Deadline) -> None:
        """Count what is new; a file that was written anew is counted anew. Ends when the ``budget`` is spent."""
        if self._offset < 0 or not self._is_known(handle):
            self._tally.clear()
            self._start(handle, _last_start(handle, os.fstat(handle).st_size))
        while not budget.over:
            piece = os.pread(handle, PIECE, self._offset)
            if not piece:
                break
            for block in self._scanner.feed(piece):
                self._tally.add(block.partition(b"\n")[2])
            self._offset += len(piece)
            self._known = (self._known + piece)[-KNOWN:]
        while self._low > 0 and not budget.over:
            low = max(0, self._low - PIECE)
            blocks = list(header_blocks(handle, low, self._low))
            for block in blocks:
                self._tally.add(block.partition(b"\n")[2])
            self._low = 0 if self._came_before(blocks) else low

    @property
    def behind(self) -> str:
        """What was not read yet, in words."""
        return f"was read from octet {self._low} on" if self._low else ""

    def _start(self, handle: int, offset: int) -> None:
        self._scanner = Scanner()
        self._low = self._offset = offset
        self._known = _between(handle, max(0, offset - KNOWN), offset)

    def _is_known(self, handle: int) -> bool:
        """Whether the bytes before the offset are those of the last look."""
        return _between(handle, self._offset - len(self._known), self._offset) == self._known

    def _came_before(self, blocks: list[bytes]) -> bool:
        """Whether messages with these header blocks, and so all before them, are older than what is looked for."""
        if not self._since or not self._tally.complete:
            return False
        dates = [date for date in map(came, blocks) if date]
        return bool(dates) and max(dates) + MINUTE < self._since


def header_blocks(handle: int, low: int, high: int) -> Iterator[bytes]:
    """The header blocks of the messages of an mbox that begin between two offsets, each with its line ``From ``."""
    data, at = _around(handle, low, high)
    for found in START.finditer(data):
        start = found.end()
        if low <= at + start < high:
            end = END_OF_HEADERS.search(data, start)
            if end or len(data) - start >= LONGEST:
                yield data[start : end.start() + 1 if end else start + LONGEST]
            else:  # it goes on after the higher offset
                block = _between(handle, at + start, at + start + LONGEST)
                end = END_OF_HEADERS.search(block)
                yield block[: end.start() + 1] if end else block


def message_starts(handle: int, low: int, high: int) -> list[int]:
    """Where the messages of an mbox begin between two offsets."""
    data, at = _around(handle, low, high)
    return [start for start in (at + found.end() for found in START.finditer(data)) if low <= start < high]


def _around(handle: int, low: int, high: int) -> tuple[bytes, int]:
    """The bytes between two offsets, and what says whether a message begins at either; the offset of the first.

    Before the first message of a file is no empty line; here it has one.
    """
    before = b"\n\n" if low < CONTEXT else b""
    at = 0 if low < CONTEXT else low - CONTEXT
    return before + _between(handle, at, high + len(SEPARATOR) - 2), at - len(before)


def _last_start(handle: int, size: int) -> int:
    """Where the last message begins, for it may not be whole yet; the end of the file where that is far before it."""
    return next(reversed(message_starts(handle, max(0, size - PIECE - LONGEST), size)), size)


def _between(handle: int, low: int, high: int) -> bytes:
    """The bytes between two offsets: fewer where the file has become shorter."""
    pieces = []
    while low < high:
        piece = os.pread(handle, high - low, low)
        if not piece:
            break
        pieces.append(piece)
        low += len(piece)
    return b"".join(pieces)
