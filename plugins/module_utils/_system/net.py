# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The net below a deadline: a module that hangs all the same is ended, and has a result.

First an exception in the main thread ends whatever Python itself waits for, once each second. Then another thread has
the last word: a C library that waits for a name service, or the kernel for a file server, heeds no signal.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Callable

from ..errors import OverdueError

if TYPE_CHECKING:
    from collections.abc import Iterator

ALARM = 2.0  # seconds after the deadline, by which all that keeps it by itself has ended
AGAIN = 1.0  # seconds between two alarms
LAST = 4.0  # seconds after the deadline


@contextlib.contextmanager
def net(seconds: float, last_word: Callable[[str], None]) -> Iterator[None]:
    """Raise OverdueError in what runs here ``ALARM`` seconds after a deadline of ``seconds``.

    Where that helps nothing ``last_word`` is called with the reason, in another thread, and the process ends.
    """
    text = f"the module had not ended after {seconds:g} s, its deadline"
    ended = threading.Event()

    def ring(_number: int, _frame: object) -> None:
        raise OverdueError(text)

    def wait() -> None:
        # Two waits: where the whole machine stood still, the alarm rings late, and it shall end what it can.
        if ended.wait(seconds + ALARM) or ended.wait(LAST - ALARM):
            return
        try:
            last_word(text)
        finally:
            with contextlib.suppress(OSError):
                sys.stdout.flush()  # os._exit does not, and what ends a module leaves by an exception
            os._exit(1)

    guard = threading.Thread(target=wait, name="deadline", daemon=True)
    before = signal.signal(signal.SIGALRM, ring)
    guard.start()
    signal.setitimer(signal.ITIMER_REAL, seconds + ALARM, AGAIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        ended.set()
        guard.join()
