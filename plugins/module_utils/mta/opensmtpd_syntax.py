# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What smtpd.conf(5) says: its words, its statements, and the tables, actions and rules that they make."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Callable, NamedTuple, Union

if TYPE_CHECKING:
    from collections.abc import Iterator

# What takes a value after an action's method; all else stands alone.
LOCAL_OPTIONS = ("alias", "virtual", "user", "userbase", "wrapper", "ttl")
RELAY_OPTIONS = ("host", "domain", "helo", "helo-src", "pki", "ca", "auth", "mail-from", "src", "filter")
VALUED = frozenset((*LOCAL_OPTIONS, *RELAY_OPTIONS))
# The conditions of a match that take no table, those that may go without one, and the words that begin another.
BARE = frozenset(("from any", "from local", "from socket", "for any", "for local", "tls"))
OPTIONAL = frozenset(("auth", "from auth", "from rdns"))
KEYWORDS = frozenset(("action", "auth", "for", "from", "helo", "mail-from", "rcpt-to", "reject", "tag", "tls", "!"))

_WORD = re.compile(
    r"""(?P<skip>\\\n|[ \t\r]+|\#(?:\\\n|[^\n])*)
      | "(?P<double>(?:\\.|[^"\\])*)" | '(?P<single>(?:\\.|[^'\\])*)'
      | \$(?P<macro>\w+)
      | (?P<sign>=>|[\n{}<>!=,()])
      | (?P<word>(?:\\[^\n]|[^\s(){}<>!=\#,\\"'])(?:\\[^\n]|[^\s(){}<>!=\#,\\])*)""",
    re.VERBOSE | re.DOTALL,
)


class Word(NamedTuple):
    """A word of the configuration; ``kind`` is word, text (it stood in quotes) or sign. ``where`` is file:line."""

    text: str
    kind: str
    where: str


@dataclass(frozen=True)
class Table:
    """A table: its type (``static`` is written in the configuration), its file, or its keys with value and place."""

    name: str
    type: str
    path: str = ""
    entries: tuple[tuple[str, str, str], ...] = ()


Value = Union[str, Table]


@dataclass(frozen=True)
class Action:
    """What is done with a message: the method, its argument, and the options, each with its value."""

    name: str
    where: str
    method: str = ""
    argument: str = ""
    options: dict[str, Value] = field(default_factory=dict)

    def table(self, option: str) -> Table | None:
        found = self.options.get(option)
        return found if isinstance(found, Table) else None

    def text(self, option: str) -> str:
        found = self.options.get(option, "")
        return found if isinstance(found, str) else ""


@dataclass(frozen=True)
class Condition:
    """One condition of a match: ``what`` in the words of smtpd.conf(5), and the table that is asked."""

    what: str
    negated: bool = False
    regex: bool = False
    table: Table | None = None


@dataclass(frozen=True)
class Rule:
    """A match: who may send to whom, and the action; none where it rejects."""

    where: str
    conditions: tuple[Condition, ...]
    action: Action | None


@dataclass
class Config:
    """All that is understood of a configuration; ``files`` are those that it was read from."""

    files: list[str] = field(default_factory=list)
    tables: dict[str, Table] = field(default_factory=dict)
    actions: dict[str, Action] = field(default_factory=dict)
    rules: list[Rule] = field(default_factory=list)
    wrappers: dict[str, str] = field(default_factory=dict)
    greets_as: str = ""
    delimiter: str = "+"


def words(text: str, path: str) -> Iterator[Word]:
    """The words of a file, without comments, with line ends as signs, and macros as words of the kind macro."""
    at, line = 0, 1
    while at < len(text):
        found = _WORD.match(text, at)
        if not found:
            at += 1
            continue
        kind = found.lastgroup or "double"
        if kind != "skip":
            value = re.sub(r"\\([\"' \t])|\\\n", r"\1", found.group(kind))
            named = {"double": "text", "single": "text"}.get(kind, kind)
            yield Word(value, named, f"{path}:{line}")
        line += found.group().count("\n")
        at = found.end()


def parse(path: str, read: Callable[[str], str]) -> Config:
    """The configuration that begins in a file; ``read`` gives the text of a file."""
    parser = Parser(read)
    parser.file(path)
    return parser.config


class Parser:
    """Goes through the statements in their order, for each of them knows only those above it."""

    def __init__(self, read: Callable[[str], str]) -> None:
        self.config = Config()
        self._read = read
        self._macros: dict[str, str] = {}

    def file(self, path: str) -> None:
        self.config.files.append(path)
        statement: list[Word] = []
        depth = 0
        for word in self._expanded(words(self._read(path), path)):
            depth += {"{": 1, "}": -1}.get(word.text, 0) if word.kind == "sign" else 0
            if word.text != "\n" or word.kind != "sign":
                statement.append(word)
            elif not depth and statement:
                self._statement(statement)
                statement = []
        if statement:
            self._statement(statement)

    def _expanded(self, found: Iterator[Word]) -> Iterator[Word]:
        for word in found:
            if word.kind == "macro":
                for inner in words(self._macros.get(word.text, ""), ""):
                    yield inner._replace(where=word.where)
            else:
                yield word

    def _statement(self, statement: list[Word]) -> None:
        head, rest = statement[0].text, statement[1:]
        two = f"{head} {rest[0].text}" if rest else head
        if len(rest) == 2 and rest[0].text == "=":
            self._macros[head] = rest[1].text
        elif head == "include" and rest:
            self.file(rest[0].text)
        elif head == "table" and len(rest) > 1:
            self._table(rest[0].text, rest[1:])
        elif head == "action" and len(rest) > 1:
            self.config.actions[rest[0].text] = self._action(rest)
        elif head == "match":
            self.config.rules.append(self._rule(statement))
        elif two == "mda wrapper" and len(rest) > 2:
            self.config.wrappers[rest[1].text] = rest[2].text
        elif two == "smtp sub-addr-delim" and len(rest) > 1:
            self.config.delimiter = rest[1].text
        elif head == "listen" and not self.config.greets_as:
            names = [value.text for option, value in zip(rest, rest[1:]) if option.text == "hostname"]
            self.config.greets_as = "".join(names[:1])

    def _table(self, name: str, rest: list[Word]) -> None:
        if rest[0].text == "{" and rest[0].kind == "sign":
            table = Table(name, "static", entries=_entries(rest[1:]))
        else:
            kind, sign, path = rest[0].text.partition(":")
            table = Table(name, kind, path) if sign else Table(name, "file", rest[0].text)
        self.config.tables[name] = table

    def _value(self, rest: deque[Word]) -> Table:
        """A table where one is wanted: by its name, in braces, or as one value."""
        first = rest.popleft()
        if first.kind != "sign":
            return Table("", "static", entries=((first.text, "", first.where),))
        inner = []
        closing = {"{": "}", "<": ">"}.get(first.text, "")
        while rest:
            word = rest.popleft()
            if word.kind == "sign" and word.text == closing:
                break
            inner.append(word)
        if first.text == "<" and inner:
            return self.config.tables.get(inner[0].text, Table(inner[0].text, "unknown"))
        return Table("", "static", entries=_entries(inner))

    def _action(self, words_of_it: list[Word]) -> Action:
        name, rest = words_of_it[0], deque(words_of_it[1:])
        method = rest.popleft().text
        argument = ""
        options: dict[str, Value] = {}
        takes_argument = method in ("lmtp", "mda") or (method == "maildir" and rest and rest[0].text not in VALUED)
        if takes_argument and rest and (rest[0].kind == "text" or rest[0].text not in ("junk", "rcpt-to")):
            argument = rest.popleft().text
        while rest:
            option = rest.popleft()
            if option.text in VALUED and option.kind == "word" and rest:
                table = rest[0].kind == "sign" or option.text in ("host", "src")
                options[option.text] = self._value(rest) if table else rest.popleft().text
            else:
                options[option.text] = ""
        return Action(name.text, name.where, method, argument, options)

    def _rule(self, statement: list[Word]) -> Rule:
        where, rest = statement[0].where, deque(statement[1:])
        conditions: list[Condition] = []
        action: Action | None = None
        negated = False
        while rest:
            what = rest.popleft().text
            if what == "!":
                negated = True
                continue
            if what == "action" and rest:
                name = rest.popleft().text
                action = self.config.actions.get(name, Action(name, where))
            elif what != "reject":
                conditions.append(self._condition(what, negated, rest))
            negated = False
        given = {condition.what.partition(" ")[0] for condition in conditions}
        conditions += [Condition(f"{word} local") for word in ("from", "for") if word not in given]
        return Rule(where, tuple(conditions), action)

    def _condition(self, what: str, negated: bool, rest: deque[Word]) -> Condition:
        if what in ("from", "for") and rest:
            what += " " + rest.popleft().text
        if what in BARE or (what in OPTIONAL and (not rest or rest[0].text in KEYWORDS)):
            return Condition(what, negated)
        regex = bool(rest) and rest[0].text == "regex" and rest[0].kind == "word"
        if regex:
            rest.popleft()
        return Condition(what, negated, regex, self._value(rest) if rest else None)


def _entries(inner: list[Word]) -> tuple[tuple[str, str, str], ...]:
    """Keys, values and places in the braces of a table; a list has no values."""
    found: list[tuple[str, str, str]] = []
    values = deque(word for word in inner if word.kind != "sign" or word.text in ("=", "=>"))
    while values:
        key = values.popleft()
        if len(values) > 1 and values[0].kind == "sign":
            values.popleft()
            found.append((key.text, values.popleft().text, key.where))
        else:
            found.append((key.text, "", key.where))
    return tuple(found)
