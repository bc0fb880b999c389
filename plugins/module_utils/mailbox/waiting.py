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
_CAME = re.compile(r"({}) {{1,2}}(\d\d?) (\d\d):(\d\d)(?::\d\d)? (?:[-+\w]+ )?(\d{{4}})\b".format("|".join(MONTHS)))
MINUTE = 60.0  # seconds: dates are read to the minute
LINE = 1000  # octets of a line "From " that are looked at


def waits(block: bytes) -> bool:
    """Whether no mail reader has marked the message; those of the proof are for nobody to read."""
    return not (_SEEN.search(block) or _OWN.search(block))


def came(block: bytes) -> float | None:
    """When a message of an mbox came, by its line ``From `` (RFC 4155); None where that has no date."""
    line = block[:LINE].partition(b"\n")[0].decode("utf-8", "replace")
    found = list(_CAME.finditer(line)) if line.startswith("From ") else []
    if not found:
        return None
    month, *numbers = found[-1].groups()
    day, hour, minute, year = map(int, numbers)
    try:
        return datetime(year, MONTHS.index(month) + 1, day, hour, minute).timestamp()
    except (ValueError, OverflowError, OSError):  # a date that the calendar, or the system's clock, does not have
        return None
