# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The header block of a message, and the tokens that occur in it. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

TOKEN = re.compile(r"[!-~]+")
END_OF_HEADERS = re.compile(rb"\n\r?\n")
LONGEST = 1 << 18  # bytes of a header block that are looked at

SHOWN = 1 << 15  # bytes of a header block that are shown
FIELD = 2000  # characters of a field that are shown
RECEIVED = 100  # fields that are shown; a message that has more is in a loop (RFC 5321 section 6.3)
ALL = 1 << 17  # bytes of header blocks that are shown of one mailbox

KEPT = ("Return-Path", "Delivered-To", "Subject", "X-Postmaster-Token")
_NAME = re.compile(r"[!-9;-~]+")


class Tally:
    """How many messages carry each token, and the header fields of the first of them."""

    def __init__(self, tokens: Iterable[str] = ()) -> None:
        self.counts: dict[str, int] = {}
        self.headers: dict[str, dict[str, Any]] = {}
        self._room = ALL
        self._patterns = {token: _pattern(token) for token in tokens}

    @property
    def complete(self) -> bool:
        """Whether every token was found."""
        return len(self.counts) == len(self._patterns)

    def expect(self, tokens: Iterable[str]) -> None:
        """The tokens to look for from now on."""
        self._patterns = {token: _pattern(token) for token in tokens}

    def add(self, block: bytes) -> list[str]:
        """Count a message with this header block, and return the tokens that it carries."""
        carried = [token for token, (plain, whole) in self._patterns.items() if plain in block and whole.search(block)]
        for token in carried:
            self.counts[token] = self.counts.get(token, 0) + 1
            if token not in self.headers and self._room > 0:
                self.headers[token] = headers(block)
                self._room -= min(len(block), SHOWN)
        return carried

    def clear(self) -> None:
        self.counts.clear()
        self.headers.clear()
        self._room = ALL


def headers(block: bytes) -> dict[str, Any]:
    """The fields that say how a message came here: the first of each kept one, and every ``Received``, newest first."""
    fields: list[tuple[str, list[str]]] = []
    for line in block[:SHOWN].decode("utf-8", "replace").replace("\r\n", "\n").split("\n"):
        name, colon, value = line.partition(":")
        if line[:1] in (" ", "\t") and fields:
            fields[-1][1].append(line)
        elif colon and _NAME.fullmatch(name.rstrip(" \t")):
            fields.append((name.rstrip(" \t").lower(), [value]))
        else:  # no field, nor is what continues it
            fields.append(("", []))
    unfolded = [(name, " ".join(" ".join(lines).split())[:FIELD]) for name, lines in fields]
    first = dict(reversed(unfolded))
    found: dict[str, Any] = {name: first[name.lower()] for name in KEPT if name.lower() in first}
    return {**found, "Received": [value for name, value in unfolded if name == "received"][:RECEIVED]}


def _pattern(token: str) -> tuple[bytes, re.Pattern[bytes]]:
    plain = token.encode()
    return plain, re.compile(rb"(?<![\w-])" + re.escape(plain) + rb"(?![\w-])")
