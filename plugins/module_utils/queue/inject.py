# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands saved messages to the MTA that serves now, by SMTP, and keeps the file of each until its 250 is there."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from ..smtp.reply import Answer, NoReply
from ..smtp.transport import Connection, Limits, UnsafeCommandError, connect, own_name
from .saved import Saved, load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .spool import Queued

TIMEOUT = 60.0  # seconds for one reply
FINAL = 600.0  # seconds for the one to the final dot, after which the message may have been taken (section 4.5.3.2.6)
RECIPIENTS = 100  # of one transaction: so many everybody takes (RFC 5321 section 4.5.3.1.8)
TRUSTED = ("127.0.0.1", "::1")  # from here a mail host relays for its own programs


class Injector:
    """One connection after another to the MTA at ``address``; a reply that refuses ends a connection.

    Some end one themselves after so many messages (OpenSMTPD takes 100, and answers MAIL with 452): what a connection
    refuses that has been used before is offered to the next one. ``end`` is by the monotonic clock: after it nothing is
    said, but the reply to a message that was sent before is waited for all the same.
    """

    def __init__(self, address: str, port: int, end: float = math.inf) -> None:
        self._address, self._port = address, port
        self._limits = Limits(TIMEOUT, end)
        self._connection: Connection | None = None

    def send(self, queued: Queued) -> dict[str, str]:
        """The recipients for whom it was not taken, each with the reply."""
        refused: dict[str, str] = {}
        for at in range(0, len(queued.recipients), RECIPIENTS):
            refused.update(self._transaction(queued, queued.recipients[at : at + RECIPIENTS]))
        return refused

    def close(self) -> None:
        if self._connection:
            self._connection.quit()
        self._connection = None

    def _transaction(self, queued: Queued, recipients: Sequence[str]) -> dict[str, str]:
        used = self._connection
        connection = self._ready()
        if isinstance(connection, NoReply):
            return dict.fromkeys(recipients, connection.text)
        try:
            answers = connection.commands(_commands(connection, queued, recipients))
        except UnsafeCommandError as error:
            return dict.fromkeys(recipients, f"an address cannot be sent: {error}")
        if answers[0].positive:
            refused = {to: _words(said) for to, said in zip(recipients, answers[1:]) if not said.positive}
        elif connection is used:
            self.close()
            return self._transaction(queued, recipients)
        else:
            refused = dict.fromkeys(recipients, _words(answers[0]))
        if len(refused) < len(recipients):
            connection.limits = Limits(FINAL, math.inf)
            said = connection.data(_wire(queued.content))
            connection.limits = self._limits
            if not said.positive:
                refused = {to: refused.get(to) or _words(said) for to in recipients}
        if refused:
            self.close()
        return refused

    def _ready(self) -> Connection | NoReply:
        if self._connection and not self._connection.open:
            self.close()
        if not self._connection:
            source = TRUSTED[":" in self._address]
            connection = connect(self._address, self._port, self._limits, source=source)
            if isinstance(connection, NoReply):
                return connection
            for said in (connection.greeting(), connection.hello("EHLO", own_name() or "localhost")):
                if not said.positive:
                    connection.quit()
                    return NoReply(_words(said))
            self._connection = connection
        return self._connection


def inject(saved: Saved, address: str, port: int, seconds: float) -> dict[str, str]:
    """Hand over all that is saved; what stays, by file, and why. After so many seconds no other message is begun."""
    until = time.monotonic() + seconds
    injector = Injector(address, port, until)
    kept = {}
    for path in saved.paths():
        if time.monotonic() > until:
            kept[path] = f"there was no time for it within {seconds:g} s"
            continue
        why = _hand_over(saved, path, injector)
        if why:
            kept[path] = why
    injector.close()
    return kept


def _hand_over(saved: Saved, path: str, injector: Injector) -> str:
    """Hand over one message; an empty string, or why it stays."""
    try:
        queued = load(path)
        refused = injector.send(queued)
        if not refused:
            saved.remove(path)
        elif len(refused) < len(queued.recipients):
            saved.note(path, set(queued.recipients) - set(refused))
    except (OSError, ValueError) as error:
        return str(error)
    return "; ".join(f"{to}: {why}" for to, why in refused.items())


def _commands(connection: Connection, queued: Queued, recipients: Sequence[str]) -> list[str]:
    parameters = ""
    if "8BITMIME" in connection.extensions and not queued.content.isascii():
        parameters = " BODY=8BITMIME"
    sender = queued.sender and _qualified(queued.sender, connection.name)
    named = [_qualified(recipient, connection.name) for recipient in recipients]
    return [f"MAIL FROM:<{sender}>{parameters}", *(f"RCPT TO:<{recipient}>" for recipient in named)]


def _qualified(address: str, name: str) -> str:
    return address if "@" in address else f"{address}@{name}"


def _wire(content: bytes) -> bytes:
    """The message as it goes over the line."""
    whole = content if content.endswith(b"\n") else content + b"\n"
    return whole.replace(b"\n", b"\r\n")


def _words(answer: Answer) -> str:
    return f"{answer.code} {answer.text}" if answer.code else answer.text
