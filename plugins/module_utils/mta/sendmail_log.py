# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of a message, by Sendmail's log and queue."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..proof import HandedOn
from .fate import worst
from .log import accounts, hearsay, journal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .._system.host import Host
    from .log import Line

QUEUE_ID = re.compile(r"(?:^|\s)([0-9A-Za-z]{14,}) Message accepted")
# what is before the status, as short as can be; what an address has between quotes is no part of the line's own words
WORDS = r'(?:"(?:[^"\\]|\\.)*"|[^"])*?'
PROGRAMS = ("sm-mta", "sendmail")
STATES = {"2": "sent", "4": "deferred", "5": "bounced"}


def handed_on(host: Host, reply: str, since: float) -> HandedOn:
    """The state of a message by the last word of the log on each of its recipients, the worst first."""
    named = QUEUE_ID.search(reply)
    queue_id = named.group(1) if named else reply.strip()
    fates = _fates(journal(host, accounts(host), since, f"{re.escape(queue_id)}: to="), queue_id)
    if not fates and host.stat(f"/var/spool/mqueue/qf{queue_id}"):
        return HandedOn("queued", "in the queue")
    heard = hearsay(host, f"{queue_id}: to=")
    return worst(fates.values(), f"neither the queue nor the log of Sendmail knows {reply.strip()}{heard}")


def _fates(log: Iterable[Line], queue_id: str) -> dict[str, tuple[str, str]]:
    pattern = re.compile(rf"{re.escape(queue_id)}: to=({WORDS}), {WORDS}\bdsn=(\d)\.\S+, stat=(.*)")
    found = [pattern.fullmatch(line.text) for line in log if line.program in PROGRAMS]
    return {said[1]: (STATES.get(said[2], "queued"), said[3]) for said in found if said}
