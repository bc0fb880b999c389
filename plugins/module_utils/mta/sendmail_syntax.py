# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The syntax of Sendmail's configuration, of what its test mode prints, and of its aliases. Pure."""

from __future__ import annotations

import posixpath
import re
from typing import NamedTuple

# What belongs to one member; comments are dropped. Behind a quote that nothing closes no other one is closed, either.
_PART = re.compile(r'(?P<kept>"[^"\\]*(?:\\.[^"\\]*)*"|[^,"(]+)|\([^()]*\)', re.DOTALL)
_PART_BEHIND_AN_OPEN_QUOTE = re.compile(r'(?P<kept>[^,"(]+)|\([^()]*\)')
_LOOKED_UP = re.compile(r"map_lookup: \w+ \(")
_DATABASES = ("hash", "btree", "dbm", "cdb")


class Route(NamedTuple):
    """What ruleset 0 makes of an address: mailer, host (empty for a local one) and user."""

    mailer: str
    host: str
    user: str


class Map(NamedTuple):
    """A map of the configuration: its name, its type, and the path without the ending of the compiled file."""

    name: str
    type: str
    path: str


def option(cf: str, name: str) -> str:
    """An option (O Name=value) of sendmail.cf, and an empty text where it is not set."""
    found = re.search(rf"^O {name}=(.*)$", cf, re.MULTILINE)
    return found.group(1).strip() if found else ""


def maps(cf: str) -> list[Map]:
    """The maps that are looked up in files."""
    rows = (line[1:].split() for line in cf.split("\n") if line.startswith("K"))
    return [
        Map(row[0], row[1], re.sub(r"\.(db|cdb)$", "", row[-1]))
        for row in rows
        if len(row) > 2 and row[1] in _DATABASES and row[-1].startswith("/")
    ]


def alias_files(cf: str) -> list[Map]:
    """The files of the option AliasFile; without a type Sendmail takes the first that it was compiled with, hash."""
    found = []
    for item in option(cf, "AliasFile").split(","):
        kind, _sign, rest = item.strip().rpartition(":")
        path = rest.split(" ")[-1]
        if path.startswith("/") and kind in ("", *_DATABASES, "implicit"):
            found.append(Map("AliasFile", kind if kind in _DATABASES else "hash", path))
    return found


def ports(cf: str) -> dict[str, str]:
    """The mailers whose connections go to a port that is not 25."""
    logical = re.sub(r"\n[ \t]+", " ", cf)
    rows = re.findall(r"^M(\w+),.*\bA=(?:TCP|IPC) \$h (\S+)", logical, re.MULTILINE)
    return {mailer: port for mailer, port in rows if port not in ("25", "smtp")}


def route(text: str) -> Route | None:
    """The answer of the test mode to one ``/parse``; None where it does not parse the address.

    What it says of the address before that may look like an answer, so that the last line counts.
    """
    rows = re.findall(r"^mailer (\S+?)(?:, host (.*?))?, user (.*)$", text, re.MULTILINE)
    return Route(rows[-1][0], rows[-1][1], rows[-1][2]) if rows else None


def relays_names(cf: str) -> bool:
    """Whether local names that are no aliases may be another host's or another user's (MAIL_HUB, LUSER_RELAY)."""
    return bool(re.search(r"^D[HL]\S", cf, re.MULTILINE))


def onward(text: str) -> Route | None:
    """What ruleset 5, for local names that are no aliases, makes of one; None where it stays as it is."""
    found = re.search(r"^localaddr +returns: \$# (\S+)(?: \$@ (.*?))? \$: (.*)$", text, re.MULTILINE)
    if not found:
        return None
    mailer, host, user = found.groups("")
    if mailer == "error":
        return Route("*error*", "", user)
    return Route(mailer, host.replace(" ", ""), re.sub(r"[ <>]", "", user))


def found_in_map(text: str) -> dict[str, str]:
    """The keys that a map has, and what it returns for them, from the answers of the test mode to ``/map``."""
    found = {}
    for line in text.split("\n"):
        head = _LOOKED_UP.search(line)
        key, sign, value = line[head.end() :].partition(") returns ") if head else ("", "", "")
        if sign and value.endswith(" (0)"):
            found[key] = value[: -len(" (0)")]
    return found


def members(text: str) -> list[str]:
    """The members of a right-hand side, without comments, and without quotes where they are around all of one."""
    found: list[list[str]] = [[]]
    part, at = _PART, 0
    while at < len(text):
        token = part.match(text, at)
        if token is None:
            part = _PART_BEHIND_AN_OPEN_QUOTE if text[at] == '"' else part
            found.append([])
        elif token["kept"]:
            found[-1].append(token["kept"])
        at = token.end() if token else at + 1
    items = ("".join(parts).strip() for parts in found)
    return [plain(item) for item in items if item]


def plain(item: str) -> str:
    """A member without a phrase and angle brackets, and without the quotes around it, or around its local part."""
    route = re.fullmatch(r'[^|/:"<>][^<>]*<([^<>]+)>', item)
    if route:
        return plain(route.group(1).strip())
    whole = re.fullmatch(r'"((?:[^"\\]|\\.)*)"(@[^"]*)?', item)
    return re.sub(r"\\(.)", r"\1", whole.group(1)) + (whole.group(2) or "") if whole else item


def keys(name: str) -> list[str]:
    """What an alias is looked up under: alice+lists, then alice+*, then alice."""
    user, sign, _detail = name.partition("+")
    return [name, f"{user}+*", user] if sign and user else [name]


def forward_files(path: str, home: str, host: str) -> list[str]:
    """The files that the option ForwardPath names for an account; those for a detail or another host are left out."""
    known = [
        item.replace("$z", home).replace("$w", host.split(".", maxsplit=1)[0])
        for item in (path or "$z/.forward").split(":")
    ]
    return [posixpath.normpath(item) for item in known if "$" not in item]
