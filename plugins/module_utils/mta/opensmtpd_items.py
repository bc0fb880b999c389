# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The values of aliases, as smtpd tells them apart: users, addresses, files, programs, lists and errors."""

from __future__ import annotations

import re
from typing import NamedTuple

ADDRESS, USER, FILE, PROGRAM, ERROR, INCLUDE = "address", "user", "file", "program", "error", "include"

# In the order in which smtpd tries them.
KINDS = (
    (ERROR, re.compile(r":?error:([45]\d\d [A-Za-z0-9].*)", re.IGNORECASE | re.DOTALL)),
    (INCLUDE, re.compile(r":?include:(/.*)", re.IGNORECASE)),
    (PROGRAM, re.compile(r'"\|(.*)"|\|(.*)', re.DOTALL)),
    (FILE, re.compile(r"(/.*)")),
    (ADDRESS, re.compile(r"([A-Za-z0-9!#$%*/?|^{}`~&'+=_.-]+@[A-Za-z0-9.-]+)")),
    (USER, re.compile(r"([A-Za-z0-9_.+-]+)")),
)
ATOM = r"[A-Za-z0-9!#$%&'*/?^`{|}~+=_-]+"
LOCAL_PART = re.compile(rf"{ATOM}(?:\.{ATOM})*")


class Item(NamedTuple):
    """One value, without what marks its kind."""

    kind: str
    text: str


def items(line: str) -> tuple[list[Item], str]:
    """The values of a line, up to the first that smtpd cannot read; that one, which is empty where all can be read."""
    found: list[Item] = []
    parts, whole = _split(line)
    for part in parts:
        item = _item(part)
        if item is None:
            return found, part
        found.append(item)
    return found, "" if whole else line


def _item(part: str) -> Item | None:
    for kind, pattern in KINDS:
        match = pattern.fullmatch(part)
        if match:
            return Item(kind, next(group for group in match.groups() if group is not None))
    return None


def _split(line: str) -> tuple[list[str], bool]:
    """The parts between commas that are in no quotes; whether the last of them is complete."""
    parts: list[str] = []
    part: list[str] = []
    quote, escaped = "", False
    for sign in line:
        if escaped:
            part.append(sign)
            escaped = False
        elif sign == "\\":
            escaped = True
        elif sign == "," and not quote:
            parts.append("".join(part))
            part = []
        else:
            part.append(sign)
            if sign in "\"'" and quote in ("", sign):
                quote = "" if quote else sign
    whole = not (quote or escaped)
    return [text for text in map(str.strip, [*parts, "".join(part)] if whole else parts) if text], whole


def split(address: str) -> tuple[str, str]:
    """User and domain of an address as it is given in RCPT TO: without a source route; the user may be in quotes."""
    user, sign, domain = address.strip().rpartition("@")
    user, domain = (user, domain) if sign else (domain, "")
    return user.rpartition(":")[2], domain
