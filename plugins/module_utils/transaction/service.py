# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The service of the MTA: brought up, told of a new configuration, and asked whether it answers."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from ..smtp.reply import NoReply
from ..smtp.transport import Limits, connect, own_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .._system.host import Host

INTERVAL = 0.1  # seconds between two attempts to reach a service that has just been told to start
HELD = 1.0  # seconds after which it must still answer: at first that may be a process of the old configuration


class Service:
    """A systemd unit, and the addresses on which it must answer; ``timeout`` in seconds."""

    def __init__(
        self, host: Host, unit: Mapping[str, Any], answers: Sequence[Mapping[str, Any]], timeout: float
    ) -> None:
        self._host, self._unit, self._answers, self._timeout = host, unit, answers, timeout

    @property
    def enabled(self) -> bool:
        return not self._unit or self._says("is-enabled")

    @property
    def active(self) -> bool:
        return not self._unit or self._says("is-active")

    def activate(self, how: str) -> str:
        """Bring the unit up with the configuration that is in place; an empty string, or what went wrong."""
        if not self._unit:
            return ""
        if how == "none" and self.enabled and self.active:
            return ""
        # systemd does not start a unit that was started a few times in a row: this start is meant
        self._says("reset-failed")
        commands = [] if self.enabled else [["systemctl", "enable", self._unit["name"]]]
        commands.append((how == "reload" and self.active and self._unit["reload"]) or self._unit["restart"])
        for command in commands:
            done = self._host.run(command, timeout=self._timeout)
            if done.rc:
                return f"`{done.command}` failed: {(done.err or done.out).strip() or done.rc}"
        return self.answer()

    def answer(self) -> str:
        """Wait until every address greets and answers EHLO, twice; an empty string, or what went wrong."""
        limits = Limits.starting_now(self._timeout, self._timeout)
        wrong = self._wrong(limits)
        while self._answers and not limits.over:
            answered = not wrong
            time.sleep(HELD if answered else INTERVAL)
            found = self._wrong(limits)
            if answered and not found:
                return ""
            # that there was no more time is no answer: the one before says more
            wrong = wrong if limits.over and wrong else found
        return wrong

    @property
    def answering(self) -> list[dict[str, Any]]:
        """Those of the addresses at which there is an answer now."""
        limits = Limits.starting_now(self._timeout, self._timeout)
        return [dict(listener) for listener in self._answers if self.active and not self._ask(listener, limits)]

    def _wrong(self, limits: Limits) -> str:
        """What is wrong at the first address that does not answer as it should."""
        for listener in self._answers:
            wrong = self._ask(listener, limits)
            if wrong:
                return f"{listener['address']} port {listener['port']} does not answer: {wrong}"
        return ""

    def _ask(self, listener: Mapping[str, Any], limits: Limits) -> str:
        connection = connect(listener["address"], listener["port"], limits)
        if isinstance(connection, NoReply):
            return connection.text
        greeting = connection.greeting()
        wrong = "" if re.match(listener["greeting"], str(greeting.code)) else f"{greeting.code or ''} {greeting.text}"
        if not wrong and greeting.positive:
            hello = connection.hello("EHLO", own_name() or "localhost")
            wrong = "" if hello.positive else f"EHLO: {hello.code or ''} {hello.text}"
        connection.quit()
        return wrong.strip()

    def _says(self, verb: str) -> bool:
        return self._host.run(["systemctl", "--quiet", verb, self._unit["name"]]).rc == 0
