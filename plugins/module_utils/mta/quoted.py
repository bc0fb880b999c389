# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Quoted strings in the lists that users write, found in one pass whatever they write. Pure."""

from __future__ import annotations

import re

_SIGN = re.compile(r'["\\]')


def end_of(text: str, start: int) -> int:
    """Where the quoted string ends that opens at ``start``; -1 where nothing closes it.

    Where nothing closes one, nothing closes any later one: all quotes that follow are escaped ones.
    """
    at = start + 1
    while True:
        found = _SIGN.search(text, at)
        if found is None:
            return -1
        if found.group() == '"':
            return found.end()
        at = found.end() + 1


def unquoted(text: str) -> str:
    """Text without its backslashes."""
    return re.sub(r"\\(.)", r"\1", text)


def inside(text: str) -> str | None:
    """What stands in the quotes where they are around all of a text; None where they are not."""
    whole = text.startswith('"') and end_of(text, 0) == len(text)
    return unquoted(text[1:-1]) if whole else None
