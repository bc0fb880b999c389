# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The texts that addresses are expanded from: where an entry stands, and the lists that others own.

Made for files of a million lines: an entry is searched for, the file is not parsed.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from typing import TYPE_CHECKING, NamedTuple

from .._system.reader import RefusedError, UnseenError
from ..verdict import FAIL, INCONCLUSIVE, Problem
from .lines import FEW, index, occurrences, places, starts_with

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .._system.host import Account, Host
    from .._system.reader import Content


MEMBERS = 10_000  # of one list that is looked into

_FIRST_WORD = re.compile(rb'^(?:"[^"\n]*"|[^\s:#"][^\s:]*)', re.MULTILINE)
_BEHIND_A_KEY = re.compile(rb"[ \t]*(:|(?=[ \t\r\n])|$)")


class Entry(NamedTuple):
    """An entry of a table's source: its line number, what stands to the right, and the sign that ends the key."""

    line: int
    value: str
    sign: str


class Source:
    """The text of a table: lines of ``key: value`` or ``key value``, continued by lines that begin with a blank.

    It is kept as octets, once as it is and once in lower case.
    """

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self._content = text.encode("utf-8", "surrogateescape")
        self._folded = self._content.lower()
        self._found: dict[str, Entry | None] = {}
        self._words: array[int] | None = None  # an index of what the lines begin with, once many keys are asked for
        self._ends: array[int] | None = None  # where the lines end

    def entry(self, key: str) -> Entry | None:
        """The first entry for a key, whatever the letter case of its ASCII signs."""
        if key not in self._found:
            forms = (form.lower().encode("utf-8", "surrogateescape") for form in (key, f'"{key}"'))
            found = [entry for form in forms for entry in self._entries(form)]
            self._found[key] = min(found, default=(0, None), key=lambda row: row[0])[1]
        return self._found[key]

    def _entries(self, key: bytes) -> Iterator[tuple[int, Entry]]:
        """The first entry for a key in one of its forms, and where it begins."""
        for start in self._starts(key):
            rest = _BEHIND_A_KEY.match(self._content, start + len(key))
            if rest and self._folded.startswith(key, start):
                value = self._logical(rest.end()).decode("utf-8", "surrogateescape")
                yield start, Entry(self._line(start), value, rest.group(1).decode())
                return

    def _starts(self, key: bytes) -> Iterable[int]:
        if len(self._found) >= FEW and _FIRST_WORD.fullmatch(key):
            if self._words is None:
                self._words = index((found[0], found.start()) for found in _FIRST_WORD.finditer(self._folded))
            return places(self._words, key)
        return starts_with(self._folded, key)

    def _line(self, start: int) -> int:
        """The number of a line."""
        if len(self._found) < FEW:
            return self._content.count(b"\n", 0, start) + 1
        if self._ends is None:
            self._ends = array("Q", occurrences(self._content, b"\n"))
        return bisect_left(self._ends, start) + 1

    def _logical(self, start: int) -> bytes:
        """The rest of the line at ``start`` and the lines that continue it."""
        end = self._end(start)
        lines = [self._content[start:end]]
        while end < len(self._content):
            start, end = end + 1, self._end(end + 1)
            line = self._content[start:end]
            if line.strip() and line[:1] not in (b" ", b"\t", b"#"):
                break
            if not line.lstrip().startswith(b"#"):
                lines.append(line)
        return b"\n".join(lines).strip()

    def _end(self, start: int) -> int:
        found = self._content.find(b"\n", start)
        return len(self._content) if found < 0 else found


def members(path: str, found: Iterable[tuple[int, str]]) -> tuple[dict[str, str], tuple[Problem, ...]]:
    """Each member of a list once, with the place where it stands first; they come with the numbers of their lines.

    There is a problem where the list has more members than are looked at.
    """
    first: dict[str, str] = {}
    for number, member in found:
        if member not in first and len(first) >= MEMBERS:
            message = f"{path} has more than {MEMBERS} members, and only these were looked at"
            return first, (Problem("R1", INCONCLUSIVE, message, f"{path}:{number}", f"shorten {path}"),)
        first.setdefault(member, f"{path}:{number}")
    return first, ()


class Forward(NamedTuple):
    """A .forward file: ``content`` where it was read, else ``why`` not; both are empty where there is none.

    ``seen`` is false where it may be good, and was not read all the same; ``denied`` says that the account may not.
    """

    content: Content | None = None
    why: str = ""
    seen: bool = True
    denied: bool = False


def forward(host: Host, path: str, account: Account | None, follow: bool) -> Forward:
    """The .forward file at ``path``, as an account reads it (None: root)."""
    try:
        return Forward(host.read_as(path, account, follow=follow))
    except UnseenError as error:
        return Forward(why=str(error), seen=False)
    except RefusedError as error:
        return Forward(why=str(error))
    except PermissionError:
        # Who may not even look there sees no file.
        there = host.stat_as(path, account, follow=False)
        return (
            Forward(why=f"cannot be read by {account.name if account else 'root'}", denied=True) if there else Forward()
        )
    except OSError:
        return Forward()


def include(host: Host, path: str, reader: Account | None, where: str) -> tuple[str, tuple[Problem, ...]]:
    """The text of an ``:include:`` file, as ``reader`` reads it (None: root), and what is wrong with it (row R9)."""

    def broken(message: str, remedy: str, verdict: str = FAIL) -> tuple[str, tuple[Problem, ...]]:
        return "", (Problem("R9", verdict, f"the included file {path} {message}", where, remedy),)

    if not path.startswith("/"):
        return broken("is not named by its whole path", "write :include:/ and the whole path")
    try:
        found = host.read_as(path, reader, follow=True)
    except UnseenError as error:
        return broken(f"was not read: it {error}", "put a smaller text file of root's in its place", INCONCLUSIVE)
    except RefusedError as error:
        return broken(str(error), "put a text file in its place")
    except PermissionError:
        name = reader.name if reader else "root"
        remedy = f"name a list that {name} may read, or take the :include: out"  # it may be a secret of another account
        return broken(f"cannot be read by {name}, as whom the MTA opens it", remedy)
    except (FileNotFoundError, NotADirectoryError):
        return broken("is missing", "write the file, or take the :include: out")
    except OSError as error:
        return broken(f"cannot be opened: {error.strerror}", "write the file, or take the :include: out")
    if found.mode & 0o022:
        return broken(f"can be written by others than its owner (mode {found.mode:04o})", f"chmod go-w {path}")
    return found.text, ()
