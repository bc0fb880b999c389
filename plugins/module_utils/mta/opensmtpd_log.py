# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of a message, by the log and the queue of OpenSMTPD."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .fate import worst
from .log import accounts, hearsay, journal

if TYPE_CHECKING:
    from .._system.host import Host
    from ..proof import HandedOn

ACCEPTED_AS = re.compile(r"\b([0-9a-f]{8}) Message accepted")
ACCOUNTS = ("opensmtpd", "opensmtpq", "_smtpd", "_smtpq")  # of smtpd's processes, on Debian and elsewhere
STATES = {"Ok": "sent", "TempFail": "deferred", "PermFail": "bounced", "Loop": "bounced", "Expire": "bounced"}


def handed_on(host: Host, reply: str, since: float) -> HandedOn:
    """The state of a message by the last word of the log on each of its envelopes, the worst first."""
    named = ACCEPTED_AS.search(reply)
    message = named.group(1) if named else reply.strip()[:8]
    fates = {**_waiting(host, message), **_logged(host, message, since)}
    heard = hearsay(host, f"delivery evpid={message}")
    return worst(fates.values(), f"neither the queue nor the log of smtpd knows {reply.strip()}{heard}")


def _waiting(host: Host, message: str) -> dict[str, tuple[str, str]]:
    """What is in the queue, by envelope."""
    rows = [line.split("|") for line in host.ask(["smtpctl", "show", "queue", message]).out.splitlines()]
    return {row[0]: ("queued", row[-1] or "in the queue") for row in rows if row[0].startswith(message)}


def _logged(host: Host, message: str, since: float) -> dict[str, tuple[str, str]]:
    """The last word of the log, by envelope."""
    lines = journal(host, accounts(host, *ACCOUNTS), since, f"delivery evpid={re.escape(message)}")
    found = [
        re.fullmatch(
            rf'\S+ \w+ delivery evpid=({re.escape(message)}[0-9a-f]+) .*?\bresult="?(\w+)"? stat="?(.*?)"?', line.text
        )
        for line in lines
        if line.program == "smtpd"
    ]
    return {said[1]: (STATES.get(said[2], "deferred"), said[3]) for said in found if said}
