# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of a message, from Postfix's queue and log."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from .fate import worst
from .log import accounts, hearsay, journal, messages, own_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .._system.host import Host
    from ..proof import HandedOn
    from .log import Line

QUEUED_AS = re.compile(r"queued as ([0-9A-Za-z]+)")
FORWARDED_AS = re.compile(r"forwarded as ([0-9A-Za-z]+)")
# An address can hold whatever a user writes between quotes, and the text at the end whatever a server answers: what
# looks like a status in either is none.
ADDRESS = r'<(?:"(?:[^"\\]|\\.)*"|[^"<>]*)(?:@[^"<>]*)?>'
STATUS = re.compile(rf"to=({ADDRESS}), (?:orig_to={ADDRESS}, )?(?:[a-z_]+=[^,()<>]*, )*status=(\w+) \((.*)\)\s*$")
STATES = {"bounced": "bounced", "expired": "bounced", "undeliverable": "bounced", "deferred": "deferred"}
DELIVERING = re.compile(r"/(smtp|lmtp|local|virtual|pipe|error|retry|discard|qmgr)$")
DEFERRED, QUEUED = "deferred", "queued"


def handed_on(host: Host, log_file: str, owner: str, reply: str, since: float) -> HandedOn:
    """The state of a message and of all that it was forwarded as, the worst first; ``owner`` is Postfix's account."""
    named = QUEUED_AS.search(reply)
    pending, seen = [named.group(1) if named else reply.strip()], set()
    log = _log(host, log_file, owner, since)
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
    heard = hearsay(host, f"{named.group(1) if named else reply.strip()}: to=")
    return worst(fates, f"neither the queue nor the log of Postfix knows {reply.strip()}{heard}")


def _statuses(log: Iterable[Line], queue_id: str) -> Iterator[tuple[str, str]]:
    """The last word of the log on each recipient of a message."""
    last: dict[str, tuple[str, str]] = {}
    for line in log:
        named, _colon, said = line.text.partition(": ")
        status = STATUS.match(said) if named == queue_id else None
        if status:
            recipient, state, words = status.groups()
            last[recipient] = (STATES.get(state, state), words)
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


def _log(host: Host, log_file: str, owner: str, since: float) -> list[Line]:
    """What the programs that deliver say in the file that Postfix writes itself, else in the journal.

    Their names follow that of the instance: postfix/smtp, postfix/relay/smtp.
    """
    uids = accounts(host, owner)
    lines = (
        messages(own_file(host, log_file, uids)) if log_file.startswith("/") else journal(host, uids, since, "status=")
    )
    return [line for line in lines if DELIVERING.search(line.program)]
