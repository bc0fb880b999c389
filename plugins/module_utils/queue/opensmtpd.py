# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The queue of OpenSMTPD: a directory for each message, with its text and a file for each envelope."""

from __future__ import annotations

import os
import re

from .._system.names import is_folder, listed, seen
from .spool import Entry, Queued, Spool, UnreadableError, text

MESSAGE = "message"
NOBODY = "@"  # the null sender
FAILED = "failed"  # the kind of a bounce, other than that mail is late, or has arrived


def fields(raw: bytes) -> dict[str, str]:
    """The fields of an envelope."""
    found = dict(line.partition(": ")[::2] for line in text(raw).split("\n") if ": " in line)
    if not {"type", "sender", "rcpt", "dest"} <= set(found):
        raise UnreadableError("an envelope is not the text that smtpd writes (is the queue compressed or encrypted?)")
    return found


def recipient(envelope: dict[str, str]) -> str:
    """To whom the envelope goes: it is one of the ends of an alias, and nobody else of that is to get it again."""
    user, dest = envelope.get("mda-user", ""), envelope["dest"]
    if envelope["type"] != "mda":
        return dest
    if envelope.get("mda-exec") or not user:
        raise UnreadableError(f"{envelope['rcpt']} leads to a program, to which no mail can be addressed")
    return dest if re.fullmatch(re.escape(user) + r"(\+.*)?@.*", dest, re.IGNORECASE) else user


def read(entry: Entry) -> Queued | None:
    names = [name for name in listed(entry.path) if re.fullmatch(f"{entry.id}[0-9a-f]{{8}}", name)]
    envelopes = [fields(entry.data(os.path.join(entry.path, name))) for name in names]
    # of these the sender is still to be told: they will fail once more, and then that is done
    left = [found for found in envelopes if found["type"] != "bounce" or found.get("bounce-type") == FAILED]
    if not left:
        return None
    senders = {re.sub(f"^{NOBODY}$", "", found["sender"]) for found in left}
    if len(senders) > 1:
        raise UnreadableError("its envelopes have different senders")
    content = entry.data(os.path.join(entry.path, MESSAGE))
    recipients = tuple(dict.fromkeys(recipient(found) for found in left))
    return Queued(SPOOL.mta, entry.id, senders.pop(), recipients, content)


def read_any(entry: Entry) -> Queued | None:
    """A message of the queue; or what was submitted while smtpd did not run: the words of a command, and its input."""
    if is_folder(entry.path):
        return read(entry)
    if seen(entry.path).st_size:
        raise UnreadableError("it was submitted while smtpd did not run, and only smtpd knows what is to become of it")
    return None


def others(_entry: Entry) -> list[str]:
    return []


# A stop interrupts deliveries, which are then made twice. So they are paused: by a unit of systemd, which lets them go
# on when the process that has started this one is gone, and after 30 s.
DRAIN = r"""same='same() { test "$(cut -d " " -f 22 /proc/$1/stat 2>/dev/null)" = "$2"; }'
since() { cut -d ' ' -f 22 /proc/$1/stat 2>/dev/null; }
pid=$(systemctl show --property=MainPID --value opensmtpd)
there="same $pid $(since $pid) && same $PPID $(since $PPID)"
systemd-run --quiet --collect --description='Hold the deliveries of OpenSMTPD' --property=RuntimeMaxSec=30 \
  --property="ExecStopPost=/bin/sh -c 'smtpctl resume mda; smtpctl resume mta; true'" \
  /bin/sh -c "$same; smtpctl pause mda; smtpctl pause mta; while $there; do sleep 0.2; done" &&
  timeout 2 sh -c 'until smtpctl show status | grep --quiet "MTA paused"; do sleep 0.05; done'
timeout 10 sh -c 'while smtpctl show stats | grep --quiet inflight=[1-9]; do sleep 0.1; done'
"""

SPOOL = Spool(
    mta="opensmtpd",
    folders=("/var/spool/smtpd/queue", "/var/spool/smtpd/offline"),
    key=r"([0-9a-f]{8}|\d+\.[0-9A-Za-z]{10})",
    read=read_any,
    others=others,
    flush=("smtpctl", "schedule", "all"),
    units=("opensmtpd",),
    programs=("/usr/sbin/smtpd", "/usr/sbin/smtpctl"),
    drain=("sh", "-c", DRAIN),
)
