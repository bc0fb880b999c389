# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How Postfix reads addresses, lists of them, and lists of tables. Pure.

Addresses are in Postfix's internal form: no quotes, no comments. Only what decides where mail goes is here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

PORTS = {"smtp": 25, "smtps": 465, "submissions": 465, "submission": 587}
NEVER_SPLIT = ("postmaster", "mailer-daemon", "double-bounce")

_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |"(?P<quoted>(?:[^"\\]|\\.)*)"?
    |(?P<literal>\[(?:[^\]\\]|\\.)*\]?)
    |(?P<sign>[<>@,;:.|%!)\]])
    |(?P<atom>(?:\\.|[^\s()<>@,;:".\[\]|%!\\])+|\\)
    """,
    re.DOTALL | re.VERBOSE,
)
_SIGN_IN_COMMENT = re.compile(r"\\.|[()]", re.DOTALL)


class Key(NamedTuple):
    """A key to look up; a ``partial`` one is not asked of tables that match patterns. ``extension`` was cut off it."""

    text: str
    partial: bool = False
    extension: str = ""


def addresses(text: str) -> list[str]:
    """The members of a right-hand side, as Postfix's RFC 822 parser reads them.

    Comments and phrases are dropped, and two words side by side are two members.
    """
    found: list[str] = []
    word: list[str] = []
    after_word, phrase = False, 0

    def end_of_member() -> None:
        if any(word):
            found.append("".join(word))
        word.clear()

    for kind, value in _tokens(text):
        if kind == "sign" and value in ",;>":
            end_of_member()
            after_word, phrase = False, len(found)
        elif kind == "sign" and value == "<":
            del found[phrase:]
            word.clear()
            after_word = False
        elif kind == "sign":
            word.append(value)
            after_word = False
        else:
            if after_word:
                end_of_member()
            word.append(value if kind == "literal" else plain(value))
            after_word = True
    end_of_member()
    return found


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    """The kinds and texts of the tokens, white space and comments left out, quotes without their signs."""
    at = 0
    while at < len(text):
        token = _TOKEN.match(text, at)
        if text[at] == "(":
            at = _end_of_comment(text, at)
        elif token is None:  # a lone control character
            at += 1
        else:
            at = token.end()
            kind = str(token.lastgroup)
            if kind != "space":
                yield kind, token[kind]


def _end_of_comment(text: str, start: int) -> int:
    """Where the comment that opens at ``start`` ends; comments nest."""
    depth = 0
    for sign in _SIGN_IN_COMMENT.finditer(text, start):
        depth += {"(": 1, ")": -1}.get(sign.group(), 0)
        if depth == 0:
            return sign.end()
    return len(text)


def plain(quoted: str) -> str:
    """Text without its backslashes."""
    return re.sub(r"\\(.?)", r"\1", quoted, flags=re.DOTALL)


def elements(text: str) -> list[str]:
    """The elements of a list of tables, domains or patterns; braces keep an element together."""
    found, word, depth = [], "", 0
    for char in text:
        depth += {"{": 1, "}": -1}.get(char, 0)
        if depth == 0 and (char == "," or char.isspace()):
            found.append(word)
            word = ""
        else:
            word += char
    return [element for element in [*found, word] if element]


def parameters(text: str) -> dict[str, str]:
    """The output of ``postconf -x``."""
    pairs = (line.partition(" =") for line in text.splitlines())
    return {name: value.strip() for name, sign, value in pairs if sign}


def split(address: str) -> tuple[str, str]:
    """Local part and domain."""
    local, _dummy, domain = address.rpartition("@")
    return local, domain


def split_extension(local: str, delimiters: str, owner_request_special: bool = True) -> tuple[str, str]:
    """User and extension, the delimiter with it: ``alice+lists`` is ``alice`` and ``+lists``."""
    folded = local.lower()
    special = owner_request_special and "-" in delimiters
    if folded in NEVER_SPLIT or (special and (folded.startswith("owner-") or folded[1:].endswith("-request"))):
        return local, ""
    at = min((local.find(sign) for sign in delimiters if sign in local), default=0)
    return (local[:at], local[at:]) if at > 0 else (local, "")


def with_extension(address: str, extension: str) -> str:
    local, domain = split(address) if "@" in address else (address, "")
    return local + extension + ("@" + domain if domain else "")


def address_keys(address: str, delimiters: str, local_domain: bool) -> list[Key]:
    """The keys under which canonical and virtual tables are asked for an address, in Postfix's order."""
    local, domain = split(address)
    user, extension = split_extension(local, delimiters)
    keys = [Key(address)]
    if extension:
        keys.append(Key(f"{user}@{domain}", True, extension))
    if local_domain:
        keys.append(Key(local, True))
        if extension:
            keys.append(Key(user, True, extension))
    return [*keys, Key("@" + domain, True)]


def transport_keys(address: str, delimiters: str, parents_match: bool) -> list[Key]:
    """The keys under which transport tables are asked for an address, in Postfix's order."""
    local, domain = split(address)
    user, extension = split_extension(local, delimiters)
    labels = domain.split(".")
    parents = [".".join(labels[at:]) for at in range(1, len(labels))]
    keys = [Key(address), *([Key(f"{user}@{domain}", True, extension)] if extension else [])]
    keys += [Key(domain, True)] + [Key(parent if parents_match else "." + parent, True) for parent in parents]
    return [*keys, Key("*", True)]


def rewrite(address: str, settings: Mapping[str, str], origin: str) -> tuple[str, str]:
    """The canonical form of an address, and the setting that changed it, if one did."""
    via = ""
    if address.startswith("@") and ":" in address:
        address, via = address.partition(":")[2], "source route"
    if "@" not in address:
        if "!" in address and settings["swap_bangpath"] == "yes":
            site, _sign, user = address.partition("!")
            address, via = f"{user}@{site}", "swap_bangpath"
        elif "%" in address and settings["allow_percent_hack"] == "yes":
            address, via = "@".join(address.rsplit("%", 1)), "allow_percent_hack"
        elif origin and settings["append_at_myorigin"] == "yes":
            address, via = f"{address}@{origin}", "myorigin"
    _dummy, domain = split(address)
    if domain and "." not in domain and domain[0] != "[" and settings["append_dot_mydomain"] == "yes":
        address, via = "{}.{}".format(address, settings["mydomain"]), "append_dot_mydomain"
    if address.endswith(".") and not address.endswith(("..", "@.")):
        address, via = address[:-1], via or "trailing dot"
    return address, via


def expand(pattern: str, values: Mapping[str, str | None]) -> str | None:
    """A setting with its ``$name``, ``${name?text}`` and ``${name:text}`` filled in; None where a name has no value."""
    unset = False

    def fill(match: re.Match[str]) -> str:
        nonlocal unset
        name, sign, text = match.group(1) or match.group(2), match.group(3), match.group(4) or ""
        value = values.get(name)
        if sign == "?":
            return expand(text, values) or "" if value else ""
        if sign == ":":
            return "" if value else expand(text, values) or ""
        unset = unset or value is None
        return value or ""

    filled = re.sub(r"\$(?:(\w+)|[{(](\w+)(?:([?:])([^})]*))?[})])", fill, pattern)
    return None if unset else filled


def services(master_cf: str, *types: str) -> dict[str, str]:
    """The services of some types in master.cf: name to command line."""
    logical = re.sub(r"\n[ \t]+", " ", re.sub(r"(?m)^\s*(#.*)?\n", "", master_cf))
    rows = (line.split(None, 7) for line in logical.splitlines())
    return {row[0]: row[7] for row in rows if len(row) == 8 and row[1] in types}


def ports(names: Iterable[str]) -> set[int]:
    """The ports of services named ``[address:]port``."""
    plain_names = (name.rpartition(":")[2] for name in names)
    return {int(PORTS.get(name, name)) for name in plain_names if name in PORTS or name.isdigit()}
