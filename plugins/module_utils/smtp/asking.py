# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks a server the steps of a plan, in few connections, and finds each server's limit rather than guess it."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Callable

from ..verdict import INCONCLUSIVE
from .dialogue import Heard, Step, Transaction, judge
from .reply import Answer, NoReply, Reply

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .caller import Caller
    from .transport import Connection

# What every server puts up with in one connection: Postfix slows down after 10 errors and ends at 20, Exim ends after
# 10 commands that are not about mail (RSET is one), Sendmail counts connections.
REJECTIONS = 8
TRANSACTIONS = 5
SILENT = 2  # connections in a row without one reply to a step: then the rest is not asked


def ask(caller: Caller, helo: str, transactions: Sequence[Transaction], retries: int) -> dict[Step, Heard]:
    """What was heard to every step. What was not settled is asked again on fresh connections, in later rounds."""
    heard: dict[Step, Heard] = {}
    todo = list(transactions)
    for _number in range(retries + 1):
        again = _Round(caller, helo, heard).run(todo)
        parts = (replace(part, steps=tuple(step for step in part.steps if step in again)) for part in todo)
        todo = [part for part in parts if part.steps]
    return heard


class _Round:
    """One pass over some transactions, in as few connections as the server allows."""

    def __init__(self, caller: Caller, helo: str, heard: dict[Step, Heard]) -> None:
        self._caller, self._helo, self._heard = caller, helo, heard
        self._again: set[Step] = set()

    def run(self, transactions: Sequence[Transaction]) -> set[Step]:
        """Fill in what is heard; return the steps that are worth another try."""
        waiting = deque(transactions)
        silent = 0
        why = Heard("connect", NoReply("nothing was heard"))
        while waiting and silent < SILENT:
            connection, why = self._caller.call(waiting[0].hello, self._helo)
            if connection:
                talk = _Talk(connection, self._settle, self._again.add)
                talk.run(waiting)
                silent = 0 if talk.answered else silent + 1
                why = Heard("connect", connection.lost or why.answer)
                connection.quit()
            elif why.command == "connect" or isinstance(why.answer, NoReply):
                break
            else:  # this hello is refused, the other one may not be
                self._settle(waiting.popleft().steps, why)
        for transaction in waiting:
            self._settle(transaction.steps, why)
        return self._again

    def _settle(self, steps: Sequence[Step], heard: Heard) -> None:
        for step in steps:
            self._heard[step] = heard
            if judge(step, heard).verdict == INCONCLUSIVE:
                self._again.add(step)


class _Talk:
    """What is said on one connection, until the server or our own manners end it."""

    def __init__(
        self,
        connection: Connection,
        settle: Callable[[Sequence[Step], Heard], None],
        doubt: Callable[[Step], None],
    ) -> None:
        self._connection, self._settle, self._doubt = connection, settle, doubt
        self._rejected = 0
        self._refused: Step | None = None  # the step that was answered last, where it was refused
        self.answered = 0

    def run(self, waiting: deque[Transaction]) -> None:
        """Take transactions from ``waiting``, and put back what is left of one."""
        hello, mail = waiting[0].hello, False
        for number in range(TRANSACTIONS):
            if not waiting or waiting[0].hello != hello or not self._usable:
                break
            transaction = waiting.popleft()
            begins = transaction.begins
            ready = not (mail and begins) or self._connection.command("RSET").positive
            left = self._play(transaction, first=number == 0) if ready else transaction.steps
            mail = mail or begins
            if left:
                waiting.appendleft(replace(transaction, steps=left))
            if not ready:
                break
        if self._connection.lost and self._connection.lost.closed and self._refused:
            self._doubt(self._refused)  # it hung up on us: that may be what it meant

    def _play(self, transaction: Transaction, first: bool) -> tuple[Step, ...]:
        """Ask the steps of one transaction; return those that are left for another connection or transaction."""
        if transaction.sender is not None:
            command = f"MAIL FROM:<{transaction.sender}>{transaction.parameters}"
            answer = self._connection.command(command)
            if not answer.positive:
                if answer.code < 500 and not first:
                    self._rejected = REJECTIONS  # enough on this connection
                    return transaction.steps
                self._note(isinstance(answer, Reply), answer)
                self._settle(transaction.steps, Heard(command, answer))
                return ()
        steps, accepted = list(transaction.steps), 0
        left: list[Step] = []
        while steps and not left and self._usable:
            size = REJECTIONS - self._rejected
            window, steps = steps[:size], steps[size:]
            answers = self._connection.commands([step.command for step in window])
            for index, (step, answer) in enumerate(zip(window, answers)):
                heard = Heard(step.command, answer)
                if isinstance(answer, NoReply) or answer.code == 421:
                    left += window[index:]
                    if not self.answered or not self._lost.closed:
                        self._settle([left.pop(left.index(step))], heard)
                    break
                if answer.code == 452 and accepted and judge(step, heard).verdict == INCONCLUSIVE:
                    left.append(step)  # enough recipients for one transaction
                    continue
                self._settle([step], heard)
                self._note(True, answer)
                self._refused = step if answer.code >= 500 and not step.negative else None
                accepted += answer.positive
        return (*left, *steps)

    @property
    def _usable(self) -> bool:
        return self._connection.open and self._rejected < REJECTIONS

    @property
    def _lost(self) -> NoReply:
        return self._connection.lost or NoReply("")

    def _note(self, answered: bool, answer: Answer) -> None:
        self.answered += answered
        self._rejected += not answer.positive
