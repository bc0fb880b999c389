# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of a message, from Postfix's queue and log."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from .fate import worst

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .._system.host import Host
    from ..proof import HandedOn

QUEUED_AS = re.compile(r"queued as ([0-9A-Za-z]+)")
FORWARDED_AS = re.compile(r"forwarded as ([0-9A-Za-z]+)")
STATUS = re.compile(r"\bstatus=(\w+) \((.*)\)\s*$")
STATES = {"bounced": "bounced", "expired": "bounced", "undeliverable": "bounced", "deferred": "deferred"}
DEFERRED, QUEUED = "deferred", "queued"


def handed_on(host: Host, log_file: str, reply: str, since: float) -> HandedOn:
    """The state of a message and of all that it was forwarded as, the worst first."""
    named = QUEUED_AS.search(reply)
    pending, seen = [named.group(1) if named else reply.strip()], set()
    log = _log(host, log_file, since)
    waiting = _queue(host)
    fates: list[tuple[str, str]] = []
    while pending:
        queue_id = pending.pop()
        if queue_id in seen:
            continue
        seen.add(queue_id)
        logged = list(_statuses(log, queue_id))
        successors = [found.group(1) for dummy, text in logged for found in [FORWARDED_AS.search(text)] if found]
        pending += successors
        fates += [(state, text) for state, text in logged if not FORWARDED_AS.search(text)]
        fates += waiting.get(queue_id, [])
    return worst(fates, f"neither the queue nor the log of Postfix knows {reply.strip()}")


def _statuses(log: str, queue_id: str) -> Iterator[tuple[str, str]]:
    """The last word of the log on each recipient of a message."""
    last: dict[str, tuple[str, str]] = {}
    for line in re.findall(rf"^.*\b{re.escape(queue_id)}: to=<.*$", log, re.MULTILINE):
        status = STATUS.search(line)
        recipient = line.partition(": to=<")[2].partition(">")[0]
        if status:
            last[recipient] = (STATES.get(status.group(1), status.group(1)), status.group(2))
    return iter(last.values())


def _queue(host: Host) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for line in host.ask(["postqueue", "-j"]).out.splitlines():
        message = json.loads(line)
        for recipient in message["recipients"]:
            reason = recipient.get("delay_reason", "")
            fate = (DEFERRED if reason else QUEUED, reason or "in the {} queue".format(message["queue_name"]))
            found.setdefault(message["queue_id"], []).append(fate)
    return found


def _log(host: Host, log_file: str, since: float) -> str:
    """Postfix's log: the file that it writes itself, else the journal, else the file of the system logger."""
    if log_file.startswith("/"):
        return host.tail(log_file)
    done = host.ask(["journalctl", "--quiet", "--output=cat", f"--since=@{int(since)}", "--grep=status="], timeout=10)
    return done.out or host.tail("/var/log/mail.log")
