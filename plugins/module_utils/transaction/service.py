# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The service of the MTA: brought up, told of a new configuration, and asked whether it answers."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

from ..smtp.reply import NoReply
from ..smtp.transport import Limits, connect, own_name
from .crowd import BUSY, STATES, Crowd
from .force import ENDING, RENEWED, Force

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .._system.host import Host
    from ..smtp.reply import Answer
    from .crowd import End
    from .force import Signs

DAEMON = "{daemon}"  # in a reload: the process of the daemon, or several
ANSWER = 30.0  # seconds for a service that was started to answer
INTERVAL = 0.1  # seconds between two attempts to reach a service that has just been told to start
RARELY = 15.0  # seconds at the most between two attempts to reach one that is busy
SHOWN = 3  # processes that are named
HELD = 1.0  # seconds after which it must still answer: at first that may be a process of the old configuration


class Wrong(NamedTuple):
    """What is wrong with a service, nothing where it is empty; ``busy`` where it answers that it is not ready, and who
    makes up the ``crowd`` that it serves meanwhile. ``outlasting``: whether connections of before may be the reason."""

    text: str = ""
    busy: bool = False
    crowd: str = ""
    outlasting: bool = False


class Service:
    """A systemd unit, and the addresses on which it must answer; ``timeout`` of a command in seconds."""

    def __init__(
        self, host: Host, unit: Mapping[str, Any], answers: Sequence[Mapping[str, Any]], timeout: float
    ) -> None:
        self._host, self._unit, self._answers, self._timeout = host, unit, answers, timeout
        self._force = Force(host, unit, answers)
        self._late = ""
        self._before: frozenset[str] = frozenset()  # the connections of when the daemon was told
        self._outlasting = False
        self.warnings: list[str] = []

    @property
    def enabled(self) -> bool:
        return not self._unit or self._says("is-enabled")

    @property
    def active(self) -> bool:
        return not self._unit or self._says("is-active")

    @property
    def late(self) -> bool:
        """Whether the last command did not end in time."""
        return bool(self._late)

    def activate(self, how: str) -> str:
        """Bring the unit up with the configuration that is in place, and see that it is in force; an empty string, or
        what went wrong. What is no reason to fail is in ``warnings``."""
        if not self._unit:
            return ""
        if how == "none" and self.enabled and self.active:
            return ""
        self._bring_needs()
        # systemd does not start a unit that was started a few times in a row: this start is meant
        self._host.run(["systemctl", "--quiet", "reset-failed", self._unit["name"]])
        enabled = "" if self.enabled else self._tell(["systemctl", "enable", self._unit["name"]])
        if enabled:
            return enabled
        before = self._force.signs()
        self.warnings += [f"{one} was stopped, and goes on" for one in self._force.resume()]
        told = self._reload(before) if how == "reload" and self.active else None
        reloaded = told is not None
        told = self._restart(before) if told is None else told
        if told and not self._late:
            return told
        wrong = self.answer(lambda: self._force.wrong(before, reloaded))
        if wrong and reloaded and self._outlasting:
            before = self._force.signs()
            self.warnings.append(f"{wrong}; connections of before the reload held all places, and it was restarted")
            told = self._restart(before)
            wrong = told if told and not self._late else self.answer(lambda: self._force.wrong(before, False))
        return "; ".join(filter(None, (wrong and self._late, wrong)))

    def _bring_needs(self) -> None:
        """Have the units that the service asks enabled, and told of their files."""
        needs = self._unit.get("needs") or []
        words = [[verb, unit] for unit in needs for verb in ("enable", "reload-or-restart")]
        for said in [["daemon-reload"], *words] if needs else []:
            wrong = self._tell(["systemctl", "--quiet", *said])
            self.warnings += [wrong] if wrong else []

    def _reload(self, before: Signs) -> str | None:
        """Let the service read its configuration again; what went wrong, and None where only a restart will do."""
        argv = self._unit["reload"]
        daemons = [str(one.pid) for one in self._force.daemons()] if DAEMON in argv else []
        words = [word for given in argv for word in (daemons if given == DAEMON else [given])]
        if not argv or (DAEMON in argv and not daemons):
            return None
        self._before = self._force.connections()
        wrong = self._tell(words)
        # a daemon that has ended meanwhile cannot be signalled, and has no configuration any more
        if wrong and not self._late and DAEMON not in argv:
            return wrong
        if self._force.in_force(before, True, RENEWED):
            return self._late
        self.warnings.append(f"{self._force.wrong(before, True)} after the reload, and was restarted")
        return None

    def _restart(self, before: Signs) -> str:
        """Start the service anew, and stop what goes on as before; what went wrong."""
        self._before = self._force.connections()
        wrong = self._tell(self._unit["restart"])
        failed = wrong and not self._late
        if self._force.in_force(before, False, 0 if failed else ENDING):
            return wrong
        stopped = self._force.stop_leftovers(before)
        if not stopped:
            return wrong
        self.warnings += [f"{one} did not end with the service, and was stopped" for one in stopped[:SHOWN]]
        more = len(stopped[SHOWN:])
        self.warnings += [f"{more} more processes did not end with the service, and were stopped"] if more else []
        return self._tell(self._unit["restart"])

    def _tell(self, command: Sequence[str]) -> str:
        """Run a command; what went wrong. That it timed out says nothing of the service: that is asked before it is
        judged, and ``_late`` keeps the words."""
        done = self._host.run(command, timeout=self._timeout)
        self._late = f"{done.why}; allow more with mta_command_timeout" if done.timed_out else ""
        return self._late or (done.why if done.rc else "")

    def answer(self, misplaced: Callable[[], str] = str) -> str:
        """Wait until every address greets and answers EHLO, twice, and nothing is ``misplaced``; an empty string, or
        what went wrong.

        A server that says 421 has a configuration that it can serve with, and something else to do: it has all the
        time that a command has. It may count those who ask, so that it is asked ever more rarely. Where it is seen that
        others hold all its places, no more is asked of it: anybody can do that, and for as long as he likes.
        """
        # where the command did not end in time, the service is still about to start
        seconds = self._timeout if self._late else min(self._timeout, ANSWER)
        limits, whole = (Limits.starting_now(seconds, end) for end in (seconds, self._timeout))
        pause = HELD
        wrong = self._look(misplaced, limits)
        while (self._answers or wrong.text) and not (limits := _more_time(wrong, limits, whole)).over:
            answered = not wrong.text
            time.sleep(min(pause, limits.left) if wrong.busy else HELD if answered else INTERVAL)
            pause = min(2 * pause, RARELY) if wrong.busy else pause
            found = self._look(misplaced, limits)
            if answered and not found.text:
                return ""
            # that there was no more time is no answer: the one before says more
            wrong = wrong if limits.over and wrong.text else found
        self._outlasting = wrong.outlasting
        if not wrong.crowd:
            return wrong.text
        self.warnings.append(
            f"{wrong.text}; others hold its connections: {wrong.crowd}. The configuration that is in place stays,"
            " and a proof goes on. It may be inconclusive until these connections end"
        )
        # processes come and go between the looks at them and at their sockets: what is wrong is so for a while
        elsewhere, end = misplaced(), time.monotonic() + HELD
        while elsewhere and time.monotonic() < end:
            time.sleep(min(INTERVAL, HELD))
            elsewhere = misplaced()
        return elsewhere

    def _look(self, misplaced: Callable[[], str], limits: Limits) -> Wrong:
        elsewhere = misplaced()
        return Wrong(elsewhere) if elsewhere else self._wrong(limits)

    @property
    def answering(self) -> list[dict[str, Any]]:
        """Those of the addresses at which there is an answer now."""
        seconds = min(self._timeout, ANSWER)
        limits = Limits.starting_now(seconds, seconds)
        return [dict(listener) for listener in self._answers if self.active and not self._ask(listener, limits).text]

    def _wrong(self, limits: Limits) -> Wrong:
        """What is wrong at the first address that does not answer as it should, but for a crowd, if there is one."""
        crowded = Wrong()
        for listener in self._answers:
            wrong = self._ask(listener, limits)
            place = f"{listener['address']} port {listener['port']}"
            if wrong.crowd:
                crowded = wrong._replace(text=f"{place} serves nobody else: {wrong.text}")
            elif wrong.text:
                still = f"still says {wrong.text} after {self._timeout:g} s; allow more with mta_command_timeout"
                return wrong._replace(text=f"{place} {still if wrong.busy else f'does not answer: {wrong.text}'}")
        return crowded

    def _ask(self, listener: Mapping[str, Any], limits: Limits) -> Wrong:
        connection = connect(listener["address"], listener["port"], limits)
        if isinstance(connection, NoReply):
            return self._unanswered(listener, connection, None)
        said = connection.greeting()
        wrong = not re.match(listener["greeting"], str(said.code))
        found = self._unanswered(listener, said, (connection.own, connection.own_port)) if wrong else Wrong()
        if not wrong and said.positive:
            said = connection.hello("EHLO", own_name() or "localhost")
            found = Wrong() if said.positive else Wrong(f"EHLO: {_words(said)}", said.code == BUSY)
        connection.quit()
        return found

    def _unanswered(self, listener: Mapping[str, Any], said: Answer, own: End | None) -> Wrong:
        """What a server that does not greet as it should says or does not say, and who holds its places, as far as that
        is seen. ``own`` is the end of the connection to it, if there was one."""
        wrong = Wrong(_words(said), said.code == BUSY)
        if said.code != BUSY and not (isinstance(said, NoReply) and said.late):
            return wrong
        port, entries = listener["port"], self._host.tcp(*STATES)
        accepts = self._force.accepts(port, listener["address"])
        found = Crowd.at(port, entries, self._host.account_name, self._before, accepts)
        crowd = str(found) if found.explains(said.code, said.text, own) else ""
        return wrong._replace(crowd=crowd, outlasting=not crowd and not said.code and found.outlasts(own))

    def _says(self, verb: str) -> bool:
        return self._host.ask(["systemctl", "--quiet", verb, self._unit["name"]], timeout=self._timeout).rc == 0


def _words(said: Answer) -> str:
    return f"{said.code or ''} {said.text}".strip()


def _more_time(wrong: Wrong, limits: Limits, whole: Limits) -> Limits:
    """How long a service is asked again: the ``whole`` time where it has another reason than others to be busy."""
    return whole if wrong.busy and not wrong.crowd else limits
