# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends the token messages, each in a transaction of its own."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Callable

from .dialogue import Heard, Step, Target
from .message import compose
from .names import host
from .reply import Answer, NoReply

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .caller import Caller
    from .transport import Connection

MESSAGES = 10  # on one connection: of more, Exim delivers none at once


@dataclass(frozen=True)
class Message:
    """A token message and what became of it: the reply to the message, or to the command that was refused.

    ``sent`` is when that was, in seconds since the epoch by the clock of the sender.
    """

    token: str
    id: str
    sender: str
    recipient: str
    domain: str
    code: int
    text: str
    sent: float


def send(
    caller: Caller,
    target: Target,
    wanted: Sequence[tuple[str, Step]],
    retries: int,
    sent: Callable[[Message], None] | None = None,
) -> list[Message]:
    """Send a message from each sender to the address of its step; ``sent`` is called with each that was taken."""
    post = _Post(caller, target, retries)
    messages = []
    for sender, step in wanted:
        messages.append(post.send(sender, step))
        if sent and 200 <= messages[-1].code < 300:
            sent(messages[-1])
    post.close()
    return messages


class _Post:
    """Sends messages. None is sent again once its text has left: it might arrive twice."""

    def __init__(self, caller: Caller, target: Target, retries: int) -> None:
        self._caller, self._target, self._tries = caller, target, retries + 1
        self._connection: Connection | None = None
        self._sent = 0
        self._given_up: Heard | None = None

    def send(self, sender: str, step: Step) -> Message:
        token = secrets.token_hex(16)
        answer: Answer = NoReply("not tried")
        for _number in range(self._tries):
            answer, final = self._try(token, sender, step)
            if final:
                break
            self.close()
        else:
            if isinstance(answer, NoReply):
                self._given_up = Heard("connect", answer)
        now = datetime.now(timezone.utc).timestamp()
        return Message(token, step.check, sender, step.address, step.domain, answer.code, answer.text, now)

    def close(self) -> None:
        if self._connection:
            self._connection.quit()
        self._connection = None

    def _try(self, token: str, sender: str, step: Step) -> tuple[Answer, bool]:
        """The answer to one attempt, and whether it is the last word."""
        connection = self._ready()
        if isinstance(connection, Heard):
            return connection.answer, True
        for command in (f"MAIL FROM:<{sender}>", step.command):
            answer = connection.command(command)
            if not answer.positive:
                connection.command("RSET")
                return answer, answer.code >= 500
        text = compose(
            token, sender, step.address, self._target.helo, _name(connection, self._target), datetime.now(timezone.utc)
        )
        self._sent += 1
        return connection.data(text), True

    def _ready(self) -> Connection | Heard:
        """A connection that takes a message, or why there is none; then none is tried again."""
        if self._connection and (not self._connection.open or self._sent >= MESSAGES):
            self.close()
        if not self._connection and not self._given_up:
            self._connection, heard = self._caller.call("EHLO", self._target.helo)
            self._sent = 0
            if not self._connection:
                self._given_up = heard
        return self._connection or self._given_up or Heard("connect", NoReply("no connection"))


def _name(connection: Connection, target: Target) -> str:
    """What the server calls itself, where that is a name that can stand in an address."""
    try:
        return host(connection.name)
    except ValueError:
        return target.helo
