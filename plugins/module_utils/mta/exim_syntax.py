# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The syntax of Exim's configuration, as its -bP options print it, and of its redirection lists. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .quoted import end_of, inside, unquoted

if TYPE_CHECKING:
    from collections.abc import Mapping

_VARIABLE = re.compile(
    r"(?<!\\)\$(?:\{(?P<braced>[a-z_]+)\}|(?P<plain>local_part_data|local_part_suffix|local_part_prefix|local_part"
    r"|original_local_part|domain_data|original_domain|domain|home)(?![a-z_]))"
)
_LOOKUP = re.compile(
    r"\b(?P<kind>(?:partial\d*-)?(?:n?w?i?p?lsearch|dbmnz|dbm|cdb|dsearch)[\w*@,=]*)\s*[{;]\s*(?P<path>/[^}\s:;]+)"
)


_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_SPECIAL = re.compile(r"\s*:(fail|defer|blackhole|unknown):", re.IGNORECASE)
_SIGN = re.compile('[",#]')
LONGEST = 16384  # octets that Exim takes of a line


@dataclass(frozen=True)
class Driver:
    """A router or a transport: its name, its options (an unset one is empty), and its flags."""

    name: str
    options: Mapping[str, str] = field(default_factory=dict)
    flags: frozenset[str] = frozenset()

    def get(self, option: str) -> str:
        return self.options.get(option, "")


def drivers(text: str, kind: str) -> list[Driver]:
    """The routers or transports in what `exim4 -bP routers transports` prints."""
    found = []
    for block in re.split(r"\n(?=\S+ (?:router|transport):\n)", "\n" + text):
        head, _dummy, body = block.strip("\n").partition("\n")
        if head.endswith(f" {kind}:"):
            rows = [line.partition(" = ") for line in body.splitlines() if line.strip()]
            options = {name.rstrip(" ="): value for name, sign, value in rows if sign or name.endswith("=")}
            flags = frozenset(name.strip() for name, sign, _value in rows if not sign and not name.endswith("="))
            found.append(Driver(head.split(" ")[0], options, flags))
    return found


def settings(text: str) -> dict[str, str]:
    """Main options, from the lines ``name = value`` that -bP prints of them."""
    return {
        name.strip(): value.strip() for name, sign, value in (row.partition("=") for row in text.splitlines()) if sign
    }


def items_of(text: str) -> list[str]:
    """The items of a list: the separator is a colon, or what stands after ``<``; doubled it stands for itself."""
    text, sign = text.strip(), ":"
    if text.startswith("<") and len(text) > 1:
        sign, text = text[1], text[2:]
    mark = "\0"
    parts = text.replace(sign * 2, mark).split(sign)
    return [part.strip().replace(mark, sign) for part in parts if part.strip()]


def filled(text: str, values: Mapping[str, str]) -> str:
    """An expandable string with the variables of one address put in, so that `exim4 -be` can expand the rest."""

    def value(match: re.Match[str]) -> str:
        name = match.group("braced") or match.group("plain")
        return escaped(values[name]) if name in values else match.group()

    return _VARIABLE.sub(value, text)


def question(text: str) -> str:
    """The line that asks `exim4 -be` to expand a string; empty where no line can.

    What stands around it expands to nothing. Without it a line that begins with a capital letter would define a macro,
    blanks around it would be lost, and one that ends with a backslash would go on with the next line.
    """
    line = "${lc:}" + text.replace("\n", r"\n") + "${lc:}"
    return "" if _CONTROL.search(line) or len(line.encode("utf-8", "surrogateescape")) >= LONGEST else line


def escaped(value: str) -> str:
    """A value as it has to be written in an expandable string."""
    return re.sub(r"([\\${}])", r"\\\1", value)


def lookups(text: str) -> list[tuple[str, str]]:
    """The files that are looked up in an expandable string or list: the type of each look-up, and the path."""
    return list(dict.fromkeys((found.group("kind").lower(), found.group("path")) for found in _LOOKUP.finditer(text)))


def redirections(text: str) -> list[tuple[int, str]]:
    """The items of a redirection list, each with the number of its line, from 1 (chapter 22 of the specification)."""
    found = []
    for number, line in enumerate(re.sub(r"\\\n[ \t]*", " ", text).split("\n"), 1):
        if _SPECIAL.match(line):
            found.append((number, line.strip()))
            continue
        found += [(number, item) for item in map(_item, _parts(line)) if item]
    return found


def _parts(line: str) -> list[str]:
    """What stands between commas, up to a comment; within quotes neither is one.

    A quotation mark that nothing closes parts as a comma does.
    """
    parts: list[str] = []
    start, closes = 0, True
    sign = _SIGN.search(line)
    while sign:
        here, at = sign.span()
        end = end_of(line, here) if closes and sign.group() == '"' else -1
        if sign.group() == "#":
            if not here or line[here - 1].isspace():
                return [*parts, line[start:here]]
        elif end > 0:
            at = end
        else:
            closes = closes and sign.group() != '"'
            parts.append(line[start:here])
            start = at
        sign = _SIGN.search(line, at)
    return [*parts, line[start:]]


def _item(text: str) -> str:
    """An item without the blanks around it, and without quotes where they are around all of it."""
    text = text.strip()
    bare = inside(text)
    return text if bare is None else bare


def split(address: str) -> tuple[str, str]:
    """Local part without quotes, and domain, both in lower case; a source route, a phrase and a comment are dropped."""
    angle = re.search(r"<([^<>]*)>", address)
    text = re.sub(r"\([^()]*\)", "", angle.group(1) if angle else address).strip()
    if text.startswith("@") and ":" in text:
        text = text.partition(":")[2]
    local, sign, domain = text.rpartition("@")
    local = local if sign else domain
    if local.startswith('"') and end_of(local, 0) == len(local):
        local = local[1:-1]
    return unquoted(local).lower(), (domain if sign else "").lower()


def affixes(local: str, driver: Driver) -> tuple[str, str, str] | None:
    """Prefix, local part and suffix as a router sees them; None where it wants an affix that is not there."""
    prefix = suffix = ""
    if driver.get("local_part_prefix"):
        prefix = next(
            (found for item in items_of(driver.get("local_part_prefix")) for found in [_prefix(local, item)] if found),
            "",
        )
        if not prefix and "local_part_prefix_optional" not in driver.flags:
            return None
    rest = local[len(prefix) :]
    if driver.get("local_part_suffix"):
        suffix = next(
            (found for item in items_of(driver.get("local_part_suffix")) for found in [_suffix(rest, item)] if found),
            "",
        )
        if not suffix and "local_part_suffix_optional" not in driver.flags:
            return None
    return prefix, rest[: len(rest) - len(suffix)], suffix


def _prefix(local: str, item: str) -> str:
    if item.startswith("*"):
        at = local.rfind(item[1:])
        return local[: at + len(item) - 1] if at >= 0 else ""
    return item if local.startswith(item) else ""


def _suffix(local: str, item: str) -> str:
    if item.endswith("*"):
        at = local.find(item[:-1])
        return local[at:] if at > 0 else ""
    return item if local.endswith(item) and local != item else ""
