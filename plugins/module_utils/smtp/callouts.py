# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The callouts of one module: each next hop and recipient is asked once, and all next hops at the same time.

Whoever owns a .forward file decides whom they go to: to ten thousand addresses, or to hosts that never answer. So their
number is limited, and the time of all of them together. What was not asked is inconclusive, and says why.
"""

from __future__ import annotations

import queue
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Callable

from ..unexpected import Part, words
from ..verdict import INCONCLUSIVE
from .far_end import FarEnd, ask_next_hop
from .transport import Limits

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .._system.deadline import Deadline

MOST = 100  # recipients that are asked about
AT_ONCE = 16  # next hops that are asked at the same time
SECONDS = 30.0  # for all of them together
TIMEOUT = 10.0  # seconds for one connection or reply
TOO_MANY = f"other hosts are asked about {MOST} addresses at most"
TOO_LATE = f"other hosts are given {SECONDS:g} s for all of them together"

Ask = Callable[[str, "Sequence[str]", str, Limits], "Iterator[tuple[str, FarEnd]]"]


class Callouts:
    """What other hosts say of addresses, asked as ``helo``. An empty one stands for this host's own name."""

    def __init__(self, helo: str, deadline: Deadline, ask: Ask = ask_next_hop) -> None:
        self._helo, self._deadline, self._ask = helo, deadline, ask
        self._answers: dict[tuple[str, str], FarEnd] = {}
        self._unreachable: dict[str, FarEnd] = {}
        self._asked, self._left = 0, SECONDS

    def __call__(self, next_hop: str, recipient: str) -> FarEnd:
        self.expect([(next_hop, recipient)])
        return self._answers[next_hop, recipient]

    def expect(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Ask what was not asked yet: the next hop and recipient of each pair."""
        fresh = [pair for pair in dict.fromkeys(pairs) if pair not in self._answers]
        for next_hop, recipient in fresh:
            if next_hop in self._unreachable:
                self._answers[next_hop, recipient] = self._unreachable[next_hop]
        wanted = [pair for pair in fresh if pair not in self._answers]
        allowed = wanted[: MOST - self._asked]
        self._asked += len(allowed)
        self._gather(allowed)
        asked = frozenset(allowed)
        for next_hop, recipient in wanted:
            late = (next_hop, recipient) in asked
            unasked = FarEnd(INCONCLUSIVE, "", "", 0, TOO_LATE if late else TOO_MANY)
            self._answers.setdefault((next_hop, recipient), unasked)

    def _gather(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Ask in threads of their own; one whose host holds it up is left behind."""
        begun = time.monotonic()
        until = begun + self._deadline.within(self._left)
        todo: queue.SimpleQueue[tuple[str, list[str]]] = queue.SimpleQueue()
        said: queue.SimpleQueue[tuple[str, str, FarEnd]] = queue.SimpleQueue()
        hops = _by_hop(pairs)
        for item in hops.items():
            todo.put(item)
        for _number in range(min(AT_ONCE, len(hops))):
            work = partial(self._work, todo, said, until)
            threading.Thread(target=work, name="callout", daemon=True).start()
        for _pair in pairs:
            try:
                next_hop, recipient, answer = said.get(timeout=max(until - time.monotonic(), 0.001))
            except queue.Empty:
                break
            self._answers[next_hop, recipient] = answer
            if answer.unreachable:
                self._unreachable[next_hop] = answer
        self._left -= time.monotonic() - begun

    def _work(
        self,
        todo: queue.SimpleQueue[tuple[str, list[str]]],
        said: queue.SimpleQueue[tuple[str, str, FarEnd]],
        until: float,
    ) -> None:
        """One thread: visit one next hop after another, while there are any, and time."""
        while time.monotonic() < until:
            try:
                next_hop, recipients = todo.get_nowait()
            except queue.Empty:
                return
            for recipient, answer in self._visit(next_hop, recipients, until):
                said.put((next_hop, recipient, answer))

    def _visit(self, next_hop: str, recipients: Sequence[str], until: float) -> Iterator[tuple[str, FarEnd]]:
        """The answers of one next hop; what goes wrong in the middle of it costs only those that are missing."""
        missing, reasons = list(recipients), ["it was not asked"]
        with Part(lambda error: reasons.insert(0, words(error))):
            for recipient, answer in self._ask(next_hop, recipients, self._helo, Limits(TIMEOUT, until)):
                missing.remove(recipient)
                yield recipient, answer
        yield from ((recipient, FarEnd(INCONCLUSIVE, next_hop, "", 0, reasons[0])) for recipient in missing)


def _by_hop(pairs: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    hops: dict[str, list[str]] = {}
    for next_hop, recipient in pairs:
        hops.setdefault(next_hop, []).append(recipient)
    return hops
