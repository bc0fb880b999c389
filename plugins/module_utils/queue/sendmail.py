# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The queue of Sendmail: qf files with the envelope and the header, and df files with the body."""

from __future__ import annotations

import os
import re

from .._system.names import there
from .spool import Entry, Queued, Spool, UnreadableError, text, without_blind

# A field between whose question marks stand letters goes out by a mailer that has one of them as a flag; of these the
# mailers for SMTP have all.
FLAGS = b"DFM"


def parse(raw: bytes) -> tuple[str, list[str], bytes]:
    """Sender, recipients who have not got it, and the header."""
    if not re.search(rb"^\.$", raw, re.MULTILINE):
        raise UnreadableError("the file with the envelope has no end")
    sender = None
    recipients: list[str] = []
    header: list[bytes] = []
    for line in re.split(rb"\n(?![ \t])", raw.partition(b"\n.\n")[0]):
        kind, rest = line[:1], line[1:]
        if kind == b"S":
            sender = bare(text(rest))
        elif kind == b"R":
            recipients.append(bare(text(rest.partition(b":")[2])))
        elif kind == b"H":
            flags, _mark, field = rest[1:].partition(b"?")
            if not flags or set(flags) & set(FLAGS):
                header.append(without_blind(field + b"\n"))
    if sender is None:
        raise UnreadableError("the file names no sender")
    return sender, recipients, b"".join(header)


def bare(address: str) -> str:
    """An address without angle brackets."""
    plain = address.strip()
    return plain[:-1].rpartition("<")[2] if plain.endswith(">") and "<" in plain else plain


def read(entry: Entry) -> Queued | None:
    sender, recipients, header = parse(entry.data(entry.path))
    programs = [recipient for recipient in recipients if recipient[:1] in ("|", "/", '"')]
    if any(re.match(r'"?[|/]', recipient) for recipient in programs):
        raise UnreadableError(f"it goes to {programs[0]}, to which no mail can be addressed")
    bodies = [path for path in others(entry) if os.path.basename(path) == "df" + entry.id]
    if not recipients:
        return None
    if not bodies:
        raise UnreadableError("its body is missing")
    return Queued(SPOOL.mta, entry.id, sender, tuple(dict.fromkeys(recipients)), header + b"\n" + entry.data(bodies[0]))


def others(entry: Entry) -> list[str]:
    """The body and the log of a message, which lie beside its envelope, or in a directory beside that one."""
    folder = os.path.dirname(entry.key)
    places = [f"{where}/{kind}{entry.id}" for kind in ("df", "xf") for where in (folder, f"{folder}/../{kind}")]
    return [os.path.normpath(path) for path in places if there(path)]


SPOOL = Spool(
    mta="sendmail",
    folders=("/var/spool/mqueue", "/var/spool/mqueue-client"),
    key="[qh]f([0-9A-Za-z]{8,})",
    read=read,
    others=others,
    flush=("sendmail", "-q"),
    units=("sendmail",),
    programs=("/usr/libexec/sendmail/", "/usr/sbin/sendmail-m"),
)
