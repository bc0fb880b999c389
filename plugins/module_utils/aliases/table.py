# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
r"""The aliases(5) grammar. Pure.

A table is made of logical lines ``name: target, target``. A line that begins with white space continues the one
before it; empty lines and lines whose first sign is ``#`` are comments and may stand anywhere, also within a logical
line. A name is a word, or quoted; its letter case says nothing. Targets are separated by commas or white space:

    alice                   a name of this host
    "\\alice"               its account, whatever the table says of it (Postfix drops the backslash of ``\alice``)
    "john smith"@a.example  an address
    "|/usr/bin/program -x"  a program; ``/var/mail/archive`` is a file, ``:include:/etc/list`` a list of targets

Comments in parentheses are dropped, and so are the words before an address in ``<>``. This is what the tables of
Postfix, Sendmail, Exim and OpenSMTPD have in common. Of a name that occurs twice the first entry counts.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from ..shown import BREAKS, HIDDEN

if TYPE_CHECKING:
    from collections.abc import Iterable

NAME, ADDRESS, PIPE, FILE, INCLUDE = "name", "address", "pipe", "file", "include"
MARKS = {PIPE: "|", INCLUDE: ":include:"}

BLANK = " \t\r\f\v"
_INDENT = "#\n" + BLANK
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_KEY = re.compile(r'(?:"((?:[^"\\]|\\.)+)"|([^\s",:()<>]+))[ \t\r\f\v]*:[ \t\r\f\v]*', re.ASCII | re.DOTALL)
_SIMPLE = re.compile(r"[\w.+/@-]+(?:[ \t]*,[ \t]*[\w.+/@-]+)*[ \t\r]*", re.ASCII)
_TOKEN = re.compile(
    r"""(?P<blank>\s+)
    |(?P<quoted>"(?:[^"\\]|\\.)*")
    |(?P<plain>(?:\\.|[^\s"\\(),<>@])+)
    |(?P<sign>[(),<>@])
    """,
    re.ASCII | re.DOTALL | re.VERBOSE,
)
_SIGN_IN_COMMENT = re.compile(r"\\.|[()]", re.DOTALL)
_BARE_WORD = re.compile(r'[^\s"\\(),:;<>@#\[\]]+|:[a-z]+:', re.ASCII)
# OpenSMTPD takes the quotes of a name for a part of it: they stand only where nothing else would be read.
_BARE_NAME = re.compile(r'[^\s"\\(),:;<>@#\[\]|/][^\s"\\(),:;<>@#\[\]|]*', re.ASCII)
_BARE_PATH = re.compile(r'(?::include:)?/[^\s"\\(),:;<>@#\[\]]*', re.ASCII)
_BARE_DOMAIN = re.compile(r'[^\s"\\(),;<>@#]+', re.ASCII)


class ParseError(ValueError):
    """A line that is not of the grammar: its number, and why."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line, self.reason = line, reason


class Target(NamedTuple):
    """One place that mail for a name goes to. ``value`` is without quotes, and without the mark of its kind."""

    kind: str
    value: str

    def __str__(self) -> str:
        return MARKS.get(self.kind, "") + self.value


class Entry(NamedTuple):
    """A logical line: its name in lower case, its targets, and its ``text`` to the last byte."""

    line: int
    name: str
    targets: tuple[Target, ...]
    text: str

    def __str__(self) -> str:
        return self.text


class Table(NamedTuple):
    """Entries, and between them the comments as they stand."""

    parts: tuple[Entry | str, ...]

    def __str__(self) -> str:
        return "".join(map(str, self.parts))


def parse(text: str) -> Table:
    """The table that a text holds; raises ``ParseError``."""
    parts: list[Entry | str] = []
    start = 0  # the number of the line that the entry began on
    entry: list[str] = []
    comments: list[str] = []

    def end_of_entry() -> None:
        parts.extend(filter(None, (_entry(start, entry), "".join(comments))))
        entry.clear()
        comments.clear()

    for number, line in enumerate(_LINE.findall(text), 1):
        if line[0] in _INDENT and is_comment(line):
            comments.append(line)
        elif line[0] in BLANK:
            if not entry:
                raise ParseError(number, "begins with white space, and there is no entry before it that it continues")
            entry += [*comments, line]
            comments.clear()
        else:
            end_of_entry()
            start = number
            entry.append(line)
    end_of_entry()
    return Table(tuple(parts))


def target(text: str) -> Target:
    """One target as a user writes it: around a program, a file and an ``:include:`` the quotes may be left out."""
    _no_control(text)
    found = [_target(text, False)]
    if found[0].kind in (NAME, ADDRESS):
        try:
            found = _targets(text)
        except ValueError as error:
            raise ValueError(f"{text!r} is not a target: {error}") from error
    if len(found) != 1:
        raise ValueError(f"{text!r} is {len(found)} targets; allowed: one target, or a list of them")
    return found[0]


def render(found: Target) -> str:
    """The text that stands for a target in a table, with quotes where they are needed."""
    text = _no_control(str(found))
    if found.kind == ADDRESS:
        local, _at, domain = text.rpartition("@")
        return f"{_quoted(local, _BARE_WORD)}@{_quoted(domain, _BARE_DOMAIN)}"
    return _quoted(text, _BARE_WORD if found.kind == NAME else _BARE_PATH)


def fold(name: str) -> str:
    """A name as it is looked up; raises ``ValueError`` where it cannot be one."""
    if not name:
        raise ValueError(f"{name!r} is not a name; allowed: one character or more")
    return _no_control(name).lower()


def key(text: str) -> str | None:
    """The name of the logical line that a text begins with, in lower case; None where that is no entry."""
    found = _KEY.match(text.partition("\n")[0]) or _KEY.match(_words(_LINE.findall(text)))
    return (found[2] or _plain(found[1])).lower() if found else None


def comments(text: str) -> str:
    """The comments within a logical line."""
    return "".join(filter(is_comment, _LINE.findall(text)))


def rewritten(entry: Entry, targets: Iterable[Target], end: str) -> str:
    """An entry with other targets; its name and the gap behind it stay as they are."""
    return _lead(entry) + _right(targets) + end


def new_entry(name: str, targets: Iterable[Target]) -> str:
    return _quoted(name, _BARE_NAME) + ": " + _right(targets)


def is_comment(line: str) -> bool:
    return line.lstrip(BLANK + "\n")[:1] in ("", "#")


def _entry(line: int, lines: list[str]) -> Entry | None:
    """The entry that these lines are, comments among them; ``line`` is the number of the first."""
    if not lines:
        return None
    words = _words(lines)
    found = _KEY.match(words)
    if not found:
        raise ParseError(line, 'is not of the form "name: targets", where odd signs in a name want quotes')
    right = words[found.end() :]
    name = found[2] or _plain(found[1])
    if _SIMPLE.fullmatch(right):
        targets = [_target(word.strip(BLANK), "@" in word) for word in right.split(",")]
    else:
        try:
            targets = _targets(right)
        except ValueError as error:
            raise ParseError(line, str(error)) from error
    return Entry(line, name.lower(), tuple(targets), "".join(lines))


def _words(lines: Iterable[str]) -> str:
    """What lines say together, without the comments among them."""
    return "".join(text.rstrip("\n") for text in lines if not is_comment(text))


def _targets(right: str) -> list[Target]:
    """The targets of a right-hand side; raises ``ValueError``."""
    found: list[Target] = []
    member = 0  # where in ``found`` the member begins that the last comma opened
    word, is_address = "", False
    at = 0
    while at < len(right) or word:
        token = _TOKEN.match(right, at)
        kind, text = (str(token.lastgroup), token[0]) if token else ("", "")
        if kind == "quoted":
            word += _plain(text[1:-1])
        elif kind == "plain":
            word += text[:1] + _plain(text[1:]) if not word and text[0] == "\\" else _plain(text)
        elif text == "@":
            word, is_address = word + text, True
        elif text == "(":
            at = _end_of_comment(right, at)
            continue
        elif text == ")" or (at < len(right) and not token):
            raise ValueError(f"{right[at]!r} has no counterpart")
        else:
            found += [_target(word, is_address)] if word else []
            word, is_address = "", False
            if text == ",":
                member = len(found)
            elif text == "<":
                del found[member:]
        at = token.end() if token else at
    return found


def _target(value: str, is_address: bool) -> Target:
    if value[:1] == "/":
        return Target(FILE, value)
    if value[:1] == "|":
        return Target(PIPE, value[1:])
    if value[:1] == ":" and value[:9].lower() == MARKS[INCLUDE]:
        return Target(INCLUDE, value[9:])
    return Target(ADDRESS if is_address else NAME, value)


def _end_of_comment(text: str, start: int) -> int:
    """Where the comment that opens at ``start`` ends; comments nest."""
    depth = 0
    for sign in _SIGN_IN_COMMENT.finditer(text, start):
        depth += {"(": 1, ")": -1}.get(sign[0], 0)
        if not depth:
            return sign.end()
    raise ValueError("'(' has no counterpart")


def _plain(text: str) -> str:
    """Text without its backslashes."""
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL) if "\\" in text else text


def _quoted(text: str, bare: re.Pattern[str]) -> str:
    return text if bare.fullmatch(text) else '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def _lead(entry: Entry) -> str:
    """Name, colon and gap as they stand in an entry."""
    found = _KEY.match(entry.text.partition("\n")[0])
    if not found:  # the colon stands on another line
        return _quoted(entry.name, _BARE_NAME) + ": "
    lead = found[0].rstrip(BLANK)
    return lead + (found[0][len(lead) :].rstrip("\r\f\v") or " ")


def _right(targets: Iterable[Target]) -> str:
    return ", ".join(map(render, targets))


def _no_control(text: str) -> str:
    if BREAKS.search(text) or HIDDEN.search(text):
        raise ValueError(f"{text!r} has a line break, or a character that is not seen, in it")
    return text
