# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of a module, each checked before anything is done; the mistakes are told all at once. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

from .errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST = 10_000  # entries of a list
LONGEST = 1000  # characters of an entry
TOLD = 20  # mistakes
LONGEST_WAIT = 86400  # seconds that anything may take
LAST_TIME = 253402300799  # the end of the year 9999, in seconds since the epoch


class Checked:
    """Collects what is wrong with ``params``.

    A check returns the canonical value, or raises ValueError with what is allowed.
    """

    def __init__(self, params: Mapping[str, Any]) -> None:
        self._params = params
        self.errors: list[str] = []

    def one(self, option: str, check: Callable[[Any], Any]) -> Any:
        return self._check(option, self._params[option], check)

    def each(self, option: str, check: Callable[[Any], Any], most: int = MOST) -> list[Any]:
        """The canonical entries of a list, each once."""
        values = self._params[option]
        if len(values) > most:
            self.errors.append(f"{option}: {len(values)} entries are too many; allowed: at most {most}.")
            return []
        return list(dict.fromkeys(self._check(option, value, check) for value in values))

    def settle(self) -> None:
        """Raise what was found."""
        if self.errors:
            more = [f"{len(self.errors) - TOLD} more mistakes of this kind."] if len(self.errors) > TOLD else []
            raise UserError("\n".join([*self.errors[:TOLD], *more]))

    def _check(self, option: str, value: Any, check: Callable[[Any], Any]) -> Any:
        try:
            if isinstance(value, str) and len(value) > LONGEST:
                raise ValueError(f"at most {LONGEST} characters")
            return check(value)
        except ValueError as error:
            words = repr(value)
            words = words if len(words) <= LONGEST else words[:LONGEST] + "..."
            self.errors.append(f"{option}: {words} is not allowed here; allowed: {error}.")
            return value


def seconds(value: float) -> float:
    """A time that something may take."""
    if not 0 < value <= LONGEST_WAIT:
        raise ValueError(f"a number of seconds above 0, at most {LONGEST_WAIT}")
    return value


def wait(value: float) -> float:
    """A time for which something is waited, or not at all."""
    if not 0 <= value <= LONGEST_WAIT:
        raise ValueError(f"a number of seconds from 0 to {LONGEST_WAIT}")
    return value


def moment(value: float) -> float:
    """A time of the clock. It may be before the epoch, where somebody has taken a few minutes off."""
    if not -LAST_TIME <= value <= LAST_TIME:
        raise ValueError(f"a number of seconds since the epoch, at most {LAST_TIME}")
    return value


def number(least: int, most: int) -> Callable[[Any], Any]:
    """The check of a whole number from ``least`` to ``most``."""

    def check(value: int) -> int:
        if not least <= value <= most:
            raise ValueError(f"a whole number from {least} to {most}")
        return value

    return check


def line(value: str) -> str:
    """A text that a program can be asked about: a line break would ask about two."""
    if not value or not value.isprintable():
        raise ValueError("a text of one line, without control characters")
    return value
