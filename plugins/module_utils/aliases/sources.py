# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The texts that addresses are expanded from: where an entry stands, and who may read and write a list.

Made for files of 100,000 lines: an entry is searched for, the file is not parsed.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, NamedTuple

from ..verdict import FAIL, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .._system.host import Account, Host

READ, WRITE, SEARCH = 4, 2, 1


class Entry(NamedTuple):
    """An entry of a table's source: its line number, what stands to the right, and the sign that ends the key."""

    line: int
    value: str
    sign: str


class Source:
    """The text of a table: lines of ``key: value`` or ``key value``, continued by lines that begin with a blank."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self._text = "\n" + text
        self._folded = self._text.lower()
        self._quotes = '\n"' in self._text
        self._found: dict[str, Entry | None] = {}

    def entry(self, key: str) -> Entry | None:
        """The first entry for a key, whatever its letter case."""
        if key not in self._found:
            forms = [key.lower(), *([f'"{key.lower()}"'] if self._quotes else [])]
            self._found[key] = min((entry for form in forms for entry in self._entries(form)), default=None)
        return self._found[key]

    def _entries(self, key: str) -> Iterator[Entry]:
        start = self._folded.find("\n" + key)
        while start >= 0:
            after = start + 1 + len(key)
            rest = re.compile(r"[ \t]*(:|(?=[ \t\r\n])|$)").match(self._text, after)
            if rest:
                yield Entry(self._text.count("\n", 0, start + 1), self._logical(rest.end()), rest.group(1))
                return
            start = self._folded.find("\n" + key, after)

    def _logical(self, start: int) -> str:
        """The rest of the line at ``start`` and the lines that continue it."""
        end = self._end(start)
        lines = [self._text[start:end]]
        while end < len(self._text):
            start, end = end + 1, self._end(end + 1)
            line = self._text[start:end]
            if line.strip() and line[0] not in " \t#":
                break
            if not line.lstrip().startswith("#"):
                lines.append(line)
        return "\n".join(lines).strip()

    def _end(self, start: int) -> int:
        found = self._text.find("\n", start)
        return len(self._text) if found < 0 else found


def may(host: Host, account: Account | None, path: str, right: int) -> bool:
    """Whether an account can use a file, by the modes of the file and of the directories above; None is root."""
    found = host.stat(path)
    if found is None:
        return False
    if account is None or account.uid == 0:
        return right != SEARCH or found.is_dir or bool(found.mode & 0o111)
    shift = 6 if found.uid == account.uid else 3 if found.gid == account.gid else 0
    above = posixpath.dirname(path)
    return bool(found.mode >> shift & right) and (above in ("", path) or may(host, account, above, SEARCH))


def include(host: Host, path: str, reader: Account | None, where: str) -> tuple[str, tuple[Problem, ...]]:
    """The text of an ``:include:`` file, and what is wrong with it (row R9)."""

    def broken(message: str, remedy: str) -> tuple[str, tuple[Problem, ...]]:
        return "", (Problem("R9", FAIL, f"the included file {path} {message}", where, remedy),)

    if not path.startswith("/"):
        return broken("is not named by its whole path", "write :include:/ and the whole path")
    found = host.stat(path)
    if found is None:
        return broken("is missing", "write the file, or take the :include: out")
    if not found.is_file:
        return broken("is not a regular file", "put a text file in its place")
    if found.mode & 0o022:
        return broken(f"can be written by others than its owner (mode {found.mode:04o})", f"chmod go-w {path}")
    if not may(host, reader, path, READ):
        name = reader.name if reader else "root"
        return broken(f"cannot be read by {name}, as whom the MTA opens it", f"chmod a+r {path}")
    return host.read(path), ()
