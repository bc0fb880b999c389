# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads an mbox as it grows: every look goes on where the last one ended, in pieces of bounded size.

A message begins at a line ``From `` that follows an empty line or begins the file (RFC 4155); in a body such a line is
quoted with ``>``. A message counts as soon as its header block has ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from .message import END_OF_HEADERS, LONGEST
from .quiet import open_quietly

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .message import Tally

PIECE = 1 << 20
KNOWN = 256  # bytes before the offset that must be the same at the next look
SEPARATOR = b"\nFrom "


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
    """An mbox file, and how far it was read."""

    def __init__(self, path: str, tally: Tally) -> None:
        self._path = path
        self._tally = tally
        self._begin()

    def _begin(self) -> None:
        self._scanner = Scanner()
        self._tally.clear()
        self._offset, self._known = 0, b""

    def look(self) -> None:
        """Count what has come since the last look; a file that was written anew is counted anew."""
        with open_quietly(self._path) as file:
            if not self._is_known(file):
                self._begin()
                file.seek(0)
            while True:
                piece = file.read(PIECE)
                if not piece:
                    return
                for block in self._scanner.feed(piece):
                    self._tally.add(block.partition(b"\n")[2])
                self._offset += len(piece)
                self._known = (self._known + piece)[-KNOWN:]

    def _is_known(self, file: BinaryIO) -> bool:
        """Whether the bytes before the offset are those of the last look; leaves the file at the offset."""
        file.seek(self._offset - len(self._known))
        return file.read(len(self._known)) == self._known
