# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a message waits for a reader, and since when, by its header block. Pure."""

from __future__ import annotations

import re
from datetime import datetime

from ..smtp.message import HEADER, MONTHS

_SEEN = re.compile(rb"^Status:[ \t]*[RO]", re.IGNORECASE | re.MULTILINE)
_OWN = re.compile(rb"^%b:" % HEADER.encode(), re.IGNORECASE | re.MULTILINE)
_CAME = re.compile(r"From .*({}) +(\d+) (\d\d):(\d\d)(?::\d\d)? (?:[-+\w]+ )?(\d{{4}})\b".format("|".join(MONTHS)))


def waits(block: bytes) -> bool:
    """Whether no mail reader has marked the message; those of the proof are for nobody to read."""
    return not (_SEEN.search(block) or _OWN.search(block))


def came(block: bytes) -> float | None:
    """When a message of an mbox came, by its line ``From `` (RFC 4155); None where that has no date."""
    found = _CAME.match(block.partition(b"\n")[0].decode("utf-8", "replace"))
    if not found:
        return None
    month, *numbers = found.groups()
    day, hour, minute, year = map(int, numbers)
    try:
        return datetime(year, MONTHS.index(month) + 1, day, hour, minute).timestamp()
    except (ValueError, OverflowError):
        return None
