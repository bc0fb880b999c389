# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place where text is cleaned before a person sees it. Pure.

Users' files, mail headers, SMTP replies, logs and file names can hold characters that command a terminal or that hide
and reorder what stands beside them. Each is shown as its escape: ESC as ``\\x1b``, U+202E as ``\\u202e``.
"""

from __future__ import annotations

import re
from typing import Any

LIMIT = 10_000  # characters of one text

# C0 but for tab and line feed, DEL, C1; soft hyphen, joiners, zero-width and bidirectional controls; line and paragraph
# separators; fillers and selectors that have no shape; surrogates; annotations and tags (Unicode: Cc, Cf, Zl, Zp, Cs,
# and Default_Ignorable_Code_Point).
HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5"
    "\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
BREAKS = re.compile("[\t\n]")
BYTES = range(0xDC80, 0xDD00)  # where surrogateescape puts octets that are no text (PEP 383)


def shown(value: Any, limit: int = LIMIT) -> Any:
    """A result, however deep, with all its texts and names clean, and each of them at most ``limit`` characters.

    What ``diff`` says is as long as the files are.
    """
    if isinstance(value, str):
        return text(value, limit)
    if isinstance(value, dict):
        return {
            shown(key, limit): _whole(found) if key == "diff" else shown(found, limit) for key, found in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [shown(found, limit) for found in value]
    return value


def text(said: str, limit: int = LIMIT) -> str:
    """Text that may have lines, cut where it is longer than ``limit``; what is clean and short stays as it is."""
    if len(said) <= limit:
        found = escaped(said)
        if len(found) <= limit:
            return found
    mark = cut_mark(said)
    return escaped(said[:limit])[: max(0, limit - len(mark))] + mark


def cut_mark(said: str) -> str:
    """What stands at the end of a text that was cut."""
    return f" [cut here, of {len(said)} characters]"


def line(said: str, limit: int = LIMIT) -> str:
    """Text for one line: line breaks and tabs are shown as escapes, too."""
    return text(BREAKS.sub(_escape, said), limit)


def escaped(said: str) -> str:
    """The same text, as long as it is."""
    return HIDDEN.sub(_escape, said)


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return escaped(value)
    if isinstance(value, dict):
        return {_whole(key): _whole(found) for key, found in value.items()}
    return [_whole(found) for found in value] if isinstance(value, (list, tuple)) else value


def _escape(found: re.Match[str]) -> str:
    code = ord(found.group())
    return f"\\x{code - 0xDC00:02x}" if code in BYTES else found.group().encode("unicode_escape").decode("ascii")
