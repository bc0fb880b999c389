# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of a message, by Sendmail's log and queue."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..proof import HandedOn
from .fate import worst

if TYPE_CHECKING:
    from .._system.host import Host

QUEUE_ID = re.compile(r"(?:^|\s)([0-9A-Za-z]{14,}) Message accepted")
STATES = {"2": "sent", "4": "deferred", "5": "bounced"}


def handed_on(host: Host, reply: str, since: float) -> HandedOn:
    """The state of a message by the last word of the log on each of its recipients, the worst first."""
    named = QUEUE_ID.search(reply)
    queue_id = named.group(1) if named else reply.strip()
    fates = _fates(_log(host, since), queue_id)
    if not fates and host.stat(f"/var/spool/mqueue/qf{queue_id}"):
        return HandedOn("queued", "in the queue")
    return worst(fates.values(), f"neither the queue nor the log of Sendmail knows {reply.strip()}")


def _fates(log: str, queue_id: str) -> dict[str, tuple[str, str]]:
    rows = re.findall(rf"\b{re.escape(queue_id)}: to=(.*?), .*?\bdsn=(\d)\.\S+, stat=(.*)$", log, re.MULTILINE)
    return {recipient: (STATES.get(status, "queued"), text) for recipient, status, text in rows}


def _log(host: Host, since: float) -> str:
    done = host.ask(
        ["journalctl", "--quiet", "--output=cat", f"--since=@{int(since)}", "--identifier=sm-mta"], timeout=10
    )
    return done.out or host.tail("/var/log/mail.log")
