# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The logical lines of a table, found by their names in its octets. Pure.

Made for tables of a million lines: a few names are searched for, and nothing else is parsed. Who asks for many names
gets an index of 8 octets for each line.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from typing import TYPE_CHECKING

from .table import BLANK, Entry, is_comment, key, parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FEW = 32  # names that are searched for, one by one, before an index is made
PLACE = (1 << 40) - 1  # the bits of an index's item that are a place; those above are of a hash

_SIMPLE_KEY = re.compile(rb'^([^\s",:()<>#][^\s",:()<>]*)(?=[\s:]|$)', re.MULTILINE)
_BEHIND_A_NAME = re.compile(rb"[\s:]|$")
_NOT_ASCII = re.compile(rb"[\x80-\xff]")
_WITHIN = tuple(sign.encode() for sign in BLANK + "#\n")


class Lines:
    """Where the logical lines of a table stand; a place is the number of octets before it."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self._folded = content.lower()
        self._asked = 0
        self._quoted_or_foreign: array[int] | None = None
        self._all: array[int] | None = None

    def first(self, name: str) -> int | None:
        """Where the entry of a name in lower case begins that counts."""
        return next((start for start in self.starts(name) if self.key(start) == name), None)

    def starts(self, name: str) -> list[int]:
        """Where entries of a name in lower case may begin, and lines that begin with it and are none, in order."""
        self._asked += 1
        if self._asked > FEW and self._all is None:
            self._all = index(self._every_key())
        if self._all is not None:
            return places(self._all, _octets(name))
        if self._quoted_or_foreign is None:
            self._quoted_or_foreign = index(self._quoted_or_foreign_keys())
        return sorted({*places(self._quoted_or_foreign, _octets(name)), *self._plain(name)})

    def every(self) -> Iterator[int]:
        """Where each logical line begins; comments outside of them are none."""
        start = 0
        while start < len(self.content):
            if self.content.startswith(_WITHIN, start):
                start = self._line_end(start)
            else:
                yield start
                start = self.end(start)

    def end(self, start: int) -> int:
        """Where the logical line that begins at ``start`` ends; the comments behind it are no part of it."""
        end = last = self._line_end(start)
        while end < len(self.content) and self.content.startswith(_WITHIN, end):
            line, end = self.content[end : self._line_end(end)], self._line_end(end)
            if not is_comment(line.decode("latin-1")):
                last = end
        return last

    def text(self, start: int) -> str:
        return self.content[start : self.end(start)].decode("utf-8", "surrogateescape")

    def key(self, start: int) -> str | None:
        """The name of the entry at ``start``, in lower case."""
        return key(self.text(start))

    def entry(self, start: int) -> Entry:
        """The entry at ``start``, its line counted from there; raises ``ParseError``."""
        (found,) = parse(self.text(start)).parts
        if isinstance(found, str):
            raise ValueError(f"no entry begins at {start}")
        return found

    def number(self, place: int) -> int:
        """The number of a line, from 1."""
        return self.content.count(b"\n", 0, place) + 1

    def _line_end(self, start: int) -> int:
        return self.content.find(b"\n", start) + 1 or len(self.content)

    def _plain(self, name: str) -> Iterator[int]:
        """Lines that begin with a name of ASCII signs, in any letter case."""
        sought = _octets(name)
        if sought.isascii():
            for start in starts_with(self._folded, sought):
                if _BEHIND_A_NAME.match(self.content, start + len(sought)):
                    yield start

    def _quoted_or_foreign_keys(self) -> Iterator[tuple[bytes, int]]:
        """The names that no search for ASCII signs finds, and where they begin."""
        for start in {*starts_with(self.content, b'"'), *self._foreign()}:
            name = self.key(start)
            if name is not None:
                yield _octets(name), start

    def _foreign(self) -> Iterator[int]:
        """Lines whose name has octets that are not ASCII."""
        sign = None if self.content.isascii() else _NOT_ASCII.search(self.content)
        while sign:
            start = self.content.rfind(b"\n", 0, sign.start()) + 1
            if not self.content.startswith((*_WITHIN, b'"'), start) and b":" not in self.content[start : sign.start()]:
                yield start
            sign = _NOT_ASCII.search(self.content, self._line_end(start))

    def _every_key(self) -> Iterator[tuple[bytes, int]]:
        yield from self._quoted_or_foreign_keys()
        for found in _SIMPLE_KEY.finditer(self._folded):
            if found[1].isascii():  # the others have been given
                yield found[1], found.start()


def occurrences(content: bytes, sought: bytes) -> Iterator[int]:
    place = content.find(sought)
    while place >= 0:
        yield place
        place = content.find(sought, place + 1)


def starts_with(content: bytes, sought: bytes) -> Iterator[int]:
    """Where the lines begin that begin with this."""
    if content.startswith(sought):
        yield 0
    yield from (place + 1 for place in occurrences(content, b"\n" + sought))


def index(keys: Iterable[tuple[bytes, int]]) -> array[int]:
    """Keys and their places, in 8 octets each."""
    return array("Q", sorted(_hash(key) | place for key, place in keys))


def places(found: array[int], key: bytes) -> list[int]:
    """The places of all keys in an index that may be this one, in order; few others have the same hash."""
    least = _hash(key)
    first = bisect_left(found, least)
    last = first
    while last < len(found) and found[last] <= least | PLACE:
        last += 1
    return [item & PLACE for item in found[first:last]]


def _hash(key: bytes) -> int:
    return (hash(key) & 0xFFFFFF) << 40


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
