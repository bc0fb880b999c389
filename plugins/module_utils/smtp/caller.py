# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls to one server, each up to the point where both sides have said hello."""

from __future__ import annotations

from .dialogue import Heard
from .reply import Answer, NoReply
from .transport import Connection, Limits, Transcript, connect


class Caller:
    """Connects to one server, again and again, always to the address that answered first."""

    def __init__(self, server: str, port: int, limits: Limits) -> None:
        self.transcript = Transcript()
        self._server, self._port, self._limits = server, port, limits
        self._waiting: tuple[Connection | None, Answer] | None = None
        self._greeted: tuple[Connection, Heard] | None = None

    def first(self) -> tuple[Connection | None, Answer]:
        """The first connection and its greeting; they are kept for ``call``."""
        self._waiting = self._dial()
        if self._waiting[0]:
            self._server = self._waiting[0].peer
        return self._waiting

    def extensions(self, helo: str) -> dict[str, str]:
        """What the server offers after EHLO; the connection is kept for the next ``call`` that says EHLO."""
        connection, heard = self.call("EHLO", helo)
        self._greeted = (connection, heard) if connection else None
        return connection.extensions if connection else {}

    def call(self, verb: str, helo: str) -> tuple[Connection | None, Heard]:
        """A connection on which both sides have said hello, or nothing and what was heard instead."""
        if verb == "EHLO" and self._greeted:
            ready, self._greeted = self._greeted, None
            return ready
        if self._waiting:
            (connection, answer), self._waiting = self._waiting, None
        else:
            connection, answer = self._dial()
            if answer.code >= 500:  # whatever made it change its mind, it is no answer to what is asked
                answer = NoReply(f"the server takes no further connection: {answer.code} {answer.text}")
        command = "connect"
        if connection and answer.positive:
            command = f"{verb} {helo}"
            answer = connection.hello(verb, helo)
            if verb == "EHLO" and answer.code >= 500:
                answer = connection.hello("HELO", helo)  # RFC 5321 section 3.2
            if answer.positive:
                return connection, Heard(command, answer)
        if connection:
            connection.quit()
        return None, Heard(command, answer)

    def _dial(self) -> tuple[Connection | None, Answer]:
        connection = connect(self._server, self._port, self._limits, self.transcript)
        return (None, connection) if isinstance(connection, NoReply) else (connection, connection.greeting())
