# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts that quote a secret file are shown without what they quote: an MTA's check names the line that it rejects.

Pure.
A quotation is a run of ``RUN`` characters that stands in a secret text too, or a whole word of ``WORD`` or more. It may
be escaped: a backslash before a character, or before three octal digits for each octet, as MTAs and vis(3) print it.

Shorter words are in too many texts to be hidden. So ``secret_settings.py`` takes no value that is short.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

HIDDEN = "********"
RUN = 6
WORD = 4
ESCAPED = re.compile(r"((?:\\[0-7]{3})+)|\\(.)|.", re.DOTALL)
WORDS = re.compile(rf"[^\s\"'`=:;,(){{}}<>\[\]|/@]{{{WORD},}}")


def hide(said: str, secrets: Iterable[str]) -> str:
    """The text without its quotations; in time linear to both."""
    known = list(secrets)
    known += [_unescaped(secret)[0] for secret in known if "\\" in secret]
    quoted = _quoted(said, known)
    if "\\" in said:
        plain, places = _unescaped(said)
        for hidden, (start, end) in zip(_quoted(plain, known), places):
            if hidden:
                quoted[start:end] = b"\1" * (end - start)
    shown = "".join("\0" if hidden else char for char, hidden in zip(said, quoted))
    return re.sub("\0+", HIDDEN, shown)


def _quoted(said: str, secrets: Iterable[str]) -> bytearray:
    """1 for each character of a text that belongs to a quotation, else 0."""
    runs = {said[at : at + RUN] for at in range(len(said) - RUN + 1)}
    words = {found.group() for found in WORDS.finditer(said)}
    quoted_runs: set[str] = set()
    quoted_words: set[str] = set()
    for secret in secrets if said else ():
        quoted_runs |= runs.intersection(secret[at : at + RUN] for at in range(len(secret) - RUN + 1))
        quoted_words |= words.intersection(found.group() for found in WORDS.finditer(secret))
    quoted_runs = {run for run in quoted_runs if not run.isspace()}
    quoted = bytearray(len(said))
    for at in range(len(said) - RUN + 1):
        if said[at : at + RUN] in quoted_runs:
            quoted[at : at + RUN] = b"\1" * RUN
    for found in WORDS.finditer(said):
        if found.group() in quoted_words:
            quoted[found.start() : found.end()] = b"\1" * (found.end() - found.start())
    return quoted


def _unescaped(text: str) -> tuple[str, list[tuple[int, int]]]:
    """The text without escapes, and where each of its characters stood: from there, to there."""
    plain, places = [], []
    for found in ESCAPED.finditer(text):
        octets = bytes(int(digits, 8) & 0xFF for digits in (found[1] or "").split("\\")[1:])
        chars = octets.decode("utf-8", "replace") if octets else found[2] or found[0]
        plain.append(chars)
        places += [found.span()] * len(chars)
    return "".join(plain), places
