# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The token message: small, harmless, explains itself, and can be found again. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

HEADER = "X-Postmaster-Token"
BODY = (
    "This is a test message of mailops.postmaster, a program that manages this mail server.",
    "It shows that mail for postmaster is delivered to you (RFC 5321 section 4.5.1).",
    "You need not do anything. You can delete this message.",
)
# In an mbox a line like this begins a message, unless what delivers the mail quotes it (row D9). Then there are two.
SEPARATOR = "From postmaster Thu Jan  1 00:00:00 2026"
WITHIN = (
    "The two lines above look as if another message began there. They are here to see whether",
    "this mail server is deceived by that.",
)
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def body(token: str, sender: str) -> tuple[str, ...]:
    """The lines of its text. One from the null sender holds what looks like another message with the same token."""
    return BODY if sender else (*BODY, "", SEPARATOR, f"{HEADER}: {token}", "", *WITHIN)


def compose(token: str, sender: str, recipient: str, helo: str, server: str, now: datetime) -> bytes:
    """A message (RFC 5322) to the address ``recipient`` of an envelope, in any form of it but a source route.

    Every address in it has a domain: the name of the ``server`` where the recipient has none, ``helo`` where the
    sender is the null one. ``now`` is in UTC.
    """
    date = f"{DAYS[now.weekday()]}, {now.day} {MONTHS[now.month - 1]} {now:%Y %H:%M:%S} +0000"
    lines = (
        f"From: {sender or f'mailer-daemon@{helo}'}",
        f"To: {recipient if '@' in recipient else f'{recipient}@{server}'}",
        f"Subject: mailops.postmaster check {token}",
        f"Date: {date}",
        f"Message-ID: <{token}@{helo}>",
        "Auto-Submitted: auto-generated",
        f"{HEADER}: {token}",
        "",
        *body(token, sender),
        "",
    )
    return "\r\n".join(lines).encode("ascii")
