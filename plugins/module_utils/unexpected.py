# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place that turns whatever ends a part of the work early into words; the other parts keep theirs. Pure.

A MemoryError, a RecursionError and a mistake in this program are exceptions like the others here: none of them may
cost the evidence of what has been looked at.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Callable, TypeVar

from .errors import OverdueError, UserError

if TYPE_CHECKING:
    from types import TracebackType

T = TypeVar("T")

OUTSIDE = (UserError, OverdueError)  # what says in its text all that there is to say


class Part:
    """A part of the work. The exception that ends it early goes to ``settle`` and no further."""

    def __init__(self, settle: Callable[[Exception], None]) -> None:
        self._settle = settle

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        if isinstance(error, MemoryError):
            traceback.clear_frames(trace)  # what filled the memory is held by them
        self._settle(error)
        return True


def attempt(work: Callable[[], T], otherwise: Callable[[str], T]) -> T:
    """What ``work`` returns, or what ``otherwise`` makes of the reason why it did not end."""
    reasons: list[str] = []
    with Part(lambda error: reasons.append(words(error))):
        return work()
    return otherwise(reasons[0])


def words(error: Exception) -> str:
    """One sentence, without a full stop, that names what went wrong and where."""
    if isinstance(error, OUTSIDE):
        return str(error)
    if isinstance(error, OSError):
        return "{}: {}".format(error.filename or "system", error.strerror or error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = "{} line {}".format(place.filename.rpartition("/")[2], place.lineno)
    if isinstance(error, MemoryError):
        return f"there was not enough memory (in {where})"
    if isinstance(error, RecursionError):
        return f"a value is nested too deeply (in {where})"
    return f"{type(error).__name__} in {where}: {error}"
