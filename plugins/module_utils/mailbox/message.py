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
LONGEST = 1 << 20  # bytes of a header block that are looked at

KEPT = ("Return-Path", "Delivered-To", "Subject", "X-Postmaster-Token")
_FIELD = re.compile(r"^([!-9;-~]+)[ \t]*:[ \t]*((?:.|\n[ \t])*)", re.MULTILINE)


class Tally:
    """How many messages carry each token, and the header fields of the first of them."""

    def __init__(self, tokens: Iterable[str]) -> None:
        self.counts: dict[str, int] = {}
        self.headers: dict[str, dict[str, Any]] = {}
        self._patterns = {token: _pattern(token) for token in tokens}

    def add(self, block: bytes) -> None:
        """Count a message with this header block."""
        for token, (plain, whole) in self._patterns.items():
            if plain in block and whole.search(block):
                self.counts[token] = self.counts.get(token, 0) + 1
                self.headers.setdefault(token, headers(block))

    def clear(self) -> None:
        self.counts.clear()
        self.headers.clear()


def headers(block: bytes) -> dict[str, Any]:
    """The fields that say how a message came here: the first of each kept one, and every ``Received``, newest first."""
    text = block.decode("utf-8", "replace").replace("\r\n", "\n")
    fields = [(name.lower(), " ".join(value.split())) for name, value in _FIELD.findall(text)]
    first = dict(reversed(fields))
    found: dict[str, Any] = {name: first[name.lower()] for name in KEPT if name.lower() in first}
    return {**found, "Received": [value for name, value in fields if name == "received"]}


def _pattern(token: str) -> tuple[bytes, re.Pattern[bytes]]:
    plain = token.encode()
    return plain, re.compile(rb"(?<![\w-])" + re.escape(plain) + rb"(?![\w-])")
