# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one deadline that a module keeps in all that it does."""

from __future__ import annotations

import time
from typing import Callable

from ..errors import OverdueError


class Deadline:
    """So many seconds from now, for everything together; ``timeout`` is the word for a single operation."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock, self._end = clock, clock() + seconds

    @property
    def left(self) -> float:
        """Seconds that are left; never less than 0."""
        return max(0.0, self._end - self._clock())

    @property
    def over(self) -> bool:
        return not self.left

    def within(self, timeout: float) -> float:
        """The seconds that one operation may take which has ``timeout`` for itself."""
        return min(timeout, self.left)

    def keep(self, what: str) -> None:
        """Raise OverdueError where the deadline is over; ``what`` is the subject of its text."""
        if self.over:
            raise OverdueError(f"{what} had not ended after {self.seconds:g} s, the deadline of the module")
