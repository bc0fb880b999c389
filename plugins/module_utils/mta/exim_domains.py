# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which domains an Exim serves: what its access lists and routers take, item by item, as `exim4 -bP` prints it. Pure.

A domain is served where an access list accepts it, or a router delivers it here. A list that routes mail to other
hosts serves nothing. Some items name domains; others, such as databases and patterns, can only be asked about one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Callable

from .exim_syntax import items_of, lookups

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from .exim_syntax import Driver

HERE = ("redirect", "accept")  # drivers of routers that deliver on this host
DOMAIN = re.compile(r"(?=[\w.-]*[A-Za-z])[\w-]+(\.[\w-]+)*\.?")
READABLE = re.compile(r"(partial\d*(\([^)]*\))?-)?(n?wild|i?p)?lsearch")
KEY = re.compile(r'"?([^\s:#"]+)')
VARIABLE = re.compile(r"(?<!\\)\$(?:([a-z_]\w*)|\{([a-z_]\w*)\})")
PROGRAM = re.compile(r"\$\{(?:run|perl|readsocket|dlfunc|acl)\b")
FIXED = ("primary_hostname", "smtp_active_hostname", "qualify_domain", "qualify_recipient", "value", "item", "key")
NOT_SHOWN = "<value not displayable>"  # of a list that is hidden (`hide domainlist`)
ALL = re.compile(r"^\s*(?:hide\s+)?domainlist(?:_cache)?\s+(\w+)\s*=", re.MULTILINE)
ACCEPTING, REFUSING = ("accept", "require"), ("deny", "defer", "drop", "discard")
VERB = re.compile(r"(accept|defer|deny|discard|drop|require|warn)\b\s*")
CONDITION = re.compile(r"(!?)\s*domains\s*=[ \t]*(.*)")


@dataclass
class Listing:
    """The domains that are named, each with the lists that name it; and what cannot be listed, as a person knows it."""

    domains: dict[str, list[str]] = field(default_factory=dict)
    unlisted: list[str] = field(default_factory=list)


def names(config: str) -> list[str]:
    """The names of all domain lists in what `exim4 -bP config` prints."""
    return list(dict.fromkeys(ALL.findall(config)))


def values(printed: str) -> dict[str, str]:
    """The named domain lists that `exim4 -bP +NAME ...` prints, a line each."""
    rows = (re.match(r"domainlist (\w+) =[ \t]*(.*)", line) for line in printed.splitlines())
    return {row.group(1): row.group(2) for row in rows if row}


def sources(config: str, routers: Iterable[Driver]) -> list[tuple[str, str]]:
    """The lists of domains that are served: where each stands, and its text; no text twice."""
    found = [("acl", text) for text in _accepted(config)]
    found += [
        (f"router {router.name}", router.get("domains"))
        for router in routers
        if router.get("driver") in HERE and router.get("domains")
    ]
    return list({text: (where, text) for where, text in reversed(found)}.values())[::-1]


def _accepted(config: str) -> Iterator[str]:
    """The lists of the condition ``domains`` in the access lists, as far as they say what is taken."""
    section = re.search(r"^begin acl$(.*?)(?=^begin |\Z)", config, re.MULTILINE | re.DOTALL)
    verb = ""
    for line in section.group(1).splitlines() if section else ():
        text = line.strip()
        begins = VERB.match(text)
        if begins:
            verb, text = begins.group(1), text[begins.end() :]
        condition = CONDITION.match(text)
        if not condition:
            continue
        negated, items = condition.groups()
        items = items.strip('"')
        if verb in (REFUSING if negated else ACCEPTING):
            yield items
        elif verb in REFUSING and all(item.startswith("!") for item in items_of(items)):
            yield " : ".join(item.lstrip("! ").replace(":", "::") for item in items_of(items))


def listing(
    found: Iterable[tuple[str, str]],
    lists: Mapping[str, str],
    own_name: str,
    expand: Callable[[str], str | None],
    read: Callable[[str], Sequence[str] | None],
) -> Listing:
    """The domains of some lists. ``expand`` does it as Exim does; ``read`` gives the lines of a file."""
    made = Listing()
    _Reading(made, lists, own_name, expand, read).all(found)
    made.unlisted = list(dict.fromkeys(made.unlisted))
    return made


@dataclass
class _Reading:
    made: Listing
    lists: Mapping[str, str]
    own_name: str
    expand: Callable[[str], str | None]
    read: Callable[[str], Sequence[str] | None]
    seen: set[str] = field(default_factory=set)

    def all(self, found: Iterable[tuple[str, str]]) -> None:
        for where, text in found:
            self._text(where, text)

    def _text(self, where: str, text: str) -> None:
        if text == NOT_SHOWN:
            self.made.unlisted.append(f"{where}: a hidden list")
        elif "$" not in text:
            self._items(where, text)
        elif _constant(text):
            made = self.expand(text)
            if made is None:
                self.made.unlisted.append(f"{where}: {kinds(text)}, which Exim cannot expand")
            self._items(where, made or "")
        else:
            self.made.unlisted.append(f"{where}: {kinds(text)}")

    def _items(self, where: str, text: str) -> None:
        for item in items_of(text):
            name = item[1:] if item.startswith("+") else ""
            if name and name not in self.seen:
                self.seen.add(name)
                self._text(f"domainlist {name}", self.lists.get(name, ""))
            elif not name and not item.startswith("!") and item != "@[]":
                self._item(where, item)

    def _item(self, where: str, item: str) -> None:
        if item == "@":
            self._add(where, self.own_name)
        elif DOMAIN.fullmatch(item):
            self._add(where, item)
        elif re.fullmatch(r"[\d.]+", item):
            return  # an IP address, which is no domain
        elif ";" in item and READABLE.match(item):
            self._file(where, item)
        elif item.startswith("/"):
            self._file(where, f"a file;{item}")
        else:
            self.made.unlisted.append(f"{where}: {kinds(item)}")

    def _file(self, where: str, item: str) -> None:
        path = item.partition(";")[2].strip()
        lines = self.read(path)
        if lines is None:
            self.made.unlisted.append(f"{where}: {path}, which cannot be read")
        for line in lines or ():
            key = KEY.match(line)
            if key and DOMAIN.fullmatch(key.group(1)):
                self._add(where, key.group(1))
            elif key:
                self.made.unlisted.append(f"{where}: {key.group(1)} in {path}")

    def _add(self, where: str, domain: str) -> None:
        self.made.domains.setdefault(domain.lower().rstrip("."), []).append(where)


def varying(text: str) -> list[str]:
    """The variables of an expandable string that have another value, or none, while Exim expands it for us."""
    found = (plain or braced for plain, braced in VARIABLE.findall(text))
    return [name for name in dict.fromkeys(found) if name not in FIXED]


def _constant(text: str) -> bool:
    return not varying(text) and not PROGRAM.search(text)


def kinds(text: str) -> str:
    """What looks a domain up, without the query, which may hold a password."""
    files = [f"{kind};{path}" for kind, path in lookups(text)]
    others = re.findall(r"\$\{lookup\s*(?:\{(?:[^{}]|\{[^{}]*\})*\}\s*)?([a-z][\w-]*)\s*\{", text)
    single = re.match(r"([a-z][\w-]*)\s*;", text)
    others += [single.group(1)] if single else []
    kinds = [kind for kind in others if not any(file.startswith(kind + ";") for file in files)]
    found = list(dict.fromkeys([*files, *kinds]))
    return ", ".join(found) or ("an expansion" if "$" in text else text)
