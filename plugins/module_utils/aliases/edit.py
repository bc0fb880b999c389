# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Edits of a table that leave every other octet as it was. Pure.

Only the entries of the names that are managed are parsed, and those that mail for these names comes by. Lines that say
something else stay as they are, whether they can be read or not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .lines import Lines
from .table import NAME, Entry, ParseError, comments, fold, new_entry, rewritten

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from .table import Target

PRESENT, ABSENT, CHANGED, ADDED, REMOVED = "present", "absent", "changed", "added", "removed"

# What is shown of an edit: names that were removed besides the managed ones, and of the texts around the changes
# the number, the lines of context, and the characters of all together.
MOST_NAMES, MOST_HUNKS, CONTEXT, LONGEST = 1000, 50, 3, 65536


@dataclass(frozen=True)
class Change:
    """The octets from ``start`` to ``end`` become ``new``."""

    start: int
    end: int
    new: bytes


@dataclass(frozen=True)
class Hunk:
    """The lines around changes, as they are and as they will be; ``line`` is the number of the first."""

    line: int
    before: str
    after: str


@dataclass(frozen=True)
class Edit:
    """What has to change in a table, and what becomes of each name.

    ``removed`` counts the entries of other names that are taken out, the first of which have their ``states``, too.
    ``loop`` is the loop that mail for one of the managed names would run into.
    """

    content: bytes
    changes: list[Change]
    states: dict[str, str]
    removed: int
    loop: list[str]

    def after(self) -> bytes:
        """The whole table as it will be."""
        return b"".join(_applied(self.content, self.changes, 0, len(self.content)))


def edit(content: bytes, wanted: Mapping[str, Iterable[Target]], exact: bool = False) -> Edit:
    """What gives these names these targets, where no targets stand for no entry.

    An entry that says so already keeps every octet; another one, and one that cannot be read, keeps its place, and the
    comments around and in it. New entries come last. Of a name's entries only the first stays. ``exact`` takes out all
    other names, and what is no entry: some MTAs read a line without a colon as one. Raises ``ValueError`` for what
    cannot stand in a table.
    """
    targets = {fold(name): tuple(dict.fromkeys(found)) for name, found in wanted.items()}
    if len(targets) < len(wanted):
        raise ValueError(f"names that differ in letter case only: {sorted(wanted)}")
    lines = Lines(content)
    end = "\r\n" if re.match(rb"[^\n]*\r\n", content) else "\n"
    missing, removed = dict(targets), 0
    states = {name: ADDED if found else ABSENT for name, found in targets.items()}
    changed = _Changes()
    for start, name in _every(lines) if exact else _managed(lines, targets):
        text, to = lines.text(start), missing.pop(name, ())
        entry = _entry(lines, start, name) if to else None
        if entry and entry.targets == to:
            states[name] = PRESENT
            continue
        new = (rewritten(entry, to, end) if entry else "") + comments(text)
        changed.add(start, lines.end(start), _octets(new))
        removed += name not in targets
        if name in targets or removed <= MOST_NAMES:
            states[name or text.strip()] = CHANGED if targets.get(name) else REMOVED
    new = "".join(new_entry(name, to) + end for name, to in missing.items() if to)
    if new:
        gap = "" if _last_octet(content, changed.all()) in (b"", b"\n") else end
        changed.add(len(content), len(content), _octets(gap + new))
    loop = cycle(targets, lambda name: _targets(lines, name, targets, exact))
    return Edit(content, changed.all(), states, removed, loop)


def hunks(found: Edit) -> tuple[list[Hunk], int]:
    """The lines around the changes, and how many changes are not shown."""
    shown: list[Hunk] = []
    room, at = LONGEST, 0
    while at < len(found.changes) and room > 0 and len(shown) < MOST_HUNKS:
        first = at
        start, end = _back(found.content, found.changes[at].start), _onward(found.content, found.changes[at].end)
        while at + 1 < len(found.changes) and _back(found.content, found.changes[at + 1].start) <= end:
            at += 1
            end = _onward(found.content, found.changes[at].end)
        at += 1
        before = _cut([memoryview(found.content)[start:end]], room)
        after = _cut(_applied(found.content, found.changes[first:at], start, end), room)
        room -= max(len(before), len(after))
        shown.append(Hunk(found.content.count(b"\n", 0, start) + 1, before, after))
    return shown, len(found.changes) - at


def cycle(names: Iterable[str], targets: Callable[[str], Sequence[Target]]) -> list[str]:
    """The first loop that mail for one of ``names`` would run into, from a name to itself; empty where there is none.

    A name among its own targets is no loop: it stands for the account.
    """
    done: set[str] = set()

    def onward(name: str) -> Iterator[str]:
        return iter([target.value.lower() for target in targets(name) if target.kind == NAME])

    for start in names:
        way, depths = [(start, onward(start))], {start: 0}
        while way:
            name, following = way[-1]
            reached = next(following, None)
            if reached is None:
                done.add(name)
                del depths[name]
                way.pop()
            elif reached in depths and reached != name:
                return [*(member for member, _dummy in way[depths[reached] :]), reached]
            elif reached not in done and reached != name:
                depths[reached] = len(way)
                way.append((reached, onward(reached)))
    return []


def _managed(lines: Lines, names: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Where the entries of these names begin, and what is one for some MTAs alone, as without a colon; in order."""
    starts = ((start, name) for name in names for start in lines.starts(name))
    yield from sorted((start, name) for start, name in starts if lines.key(start) in (name, None))


def _every(lines: Lines) -> Iterator[tuple[int, str]]:
    """Where each logical line begins, and its name; the empty one where it has none."""
    for start in lines.every():
        yield start, lines.key(start) or ""


def _entry(lines: Lines, start: int, name: str) -> Entry:
    """The entry at ``start``; without targets where nobody can read which ones it has."""
    try:
        return lines.entry(start)
    except ParseError:
        return Entry(lines.number(start), name, (), lines.text(start))


def _targets(lines: Lines, name: str, managed: Mapping[str, Sequence[Target]], exact: bool) -> Sequence[Target]:
    """The targets of a name after the edit; of an entry that cannot be read there are none."""
    start = None if exact or name in managed else lines.first(name)
    try:
        return managed.get(name, ()) if start is None else lines.entry(start).targets
    except ParseError:
        return ()


class _Changes:
    """Changes in order; those that touch each other are one."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, int, list[bytes]]] = []

    def add(self, start: int, end: int, new: bytes) -> None:
        parts: list[bytes] = []
        if self._rows and self._rows[-1][1] == start:
            start, _end, parts = self._rows.pop()
        if new:
            parts.append(new)
        self._rows.append((start, end, parts))

    def all(self) -> list[Change]:
        return [Change(start, end, b"".join(parts)) for start, end, parts in self._rows]


def _last_octet(content: bytes, changes: Sequence[Change]) -> bytes:
    """Of the table after these changes, none of which touches another."""
    if not changes or changes[-1].end < len(content):
        return content[-1:]
    last = changes[-1]
    return last.new[-1:] or content[max(0, last.start - 1) : last.start]


def _applied(content: bytes, changes: Iterable[Change], start: int, end: int) -> Iterator[bytes | memoryview]:
    """The octets from ``start`` to ``end`` after these changes, of which all lie there."""
    view = memoryview(content)
    for change in changes:
        yield view[start : change.start]
        yield change.new
        start = change.end
    yield view[start:end]


def _back(content: bytes, place: int) -> int:
    """Where the lines of context begin that stand before a line."""
    for _dummy in range(CONTEXT):
        place = content.rfind(b"\n", 0, max(0, place - 1)) + 1
    return place


def _onward(content: bytes, place: int) -> int:
    """Where the lines of context end that stand behind a line."""
    for _dummy in range(CONTEXT):
        place = content.find(b"\n", place) + 1 or len(content)
    return place


def _cut(parts: Iterable[bytes | memoryview], room: int) -> str:
    """Text of at most about ``room`` octets; octets that are no text would not survive the way to the controller."""
    found, length = b"", 0
    for part in parts:
        found += bytes(part[: max(0, room - len(found))])
        length += len(part)
    cut = f"\n[{length - room} more octets]\n" if length > room else ""
    return found.decode("utf-8", "replace") + cut


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
