# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of a message, by Exim's log and queue."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..proof import HandedOn
from .fate import worst
from .log import accounts, journal, own_file

if TYPE_CHECKING:
    from collections.abc import Collection

    from .._system.host import Host

ACCEPTED_AS = re.compile(r"\bid=([0-9A-Za-z-]+)")
# what is before a message's id: nothing in syslog; the time, its zone and the process id, by log_selector, in a file
WHEN = r"(?:[\d-]+ [\d:.]+ (?:[+-]\d{4} )?(?:\[\d+\] )?)?"
STATES = {"=>": "sent", "->": "sent", "**": "bounced", "==": "deferred"}


def handed_on(host: Host, log_file: str, owner: str, reply: str, since: float) -> HandedOn:
    """The state of a message by the last word of the log on each of its recipients, the worst first.

    ``log_file`` is Exim's own, empty where it logs by syslog; ``owner`` is Exim's account.
    """
    named = ACCEPTED_AS.search(reply)
    queue_id = named.group(1) if named else reply.strip()
    uids = accounts(host, owner)
    log = own_file(host, log_file, uids) if log_file else _logged(host, uids, since, queue_id)
    fates = dict(_fates(log, queue_id))
    if not fates and host.ask(["exim4", "-Mvh", queue_id]).rc == 0:
        return HandedOn("queued", "in the queue")
    return worst(fates.values(), f"neither the queue nor the log of Exim knows {reply.strip()}")


def _logged(host: Host, uids: Collection[str], since: float, queue_id: str) -> str:
    lines = journal(host, uids, since, re.escape(queue_id))
    return "\n".join(line.text for line in lines if line.program.startswith("exim"))


def _fates(log: str, queue_id: str) -> list[tuple[str, tuple[str, str]]]:
    """Recipient, state and the words of the log, in its order."""
    lines = re.findall(rf"^{WHEN}{re.escape(queue_id)} (=>|->|\*\*|==) (.*)$", log, re.MULTILINE)
    return [(_recipient(text), (STATES[sign], text)) for sign, text in lines]


def _recipient(text: str) -> str:
    """Whom a line is about: a deferral names the whole address where a delivery names the local part alone."""
    final, _blank, original = text.split(" R=", maxsplit=1)[0].partition(" ")
    return final.partition("@")[0] + original if original else final
