# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names that were seen in a Maildir, a number of 8 octets for each: a million of them need 8 MB. Pure."""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort

FEW = 1000  # numbers that are put in one by one; more are sorted with the others


class Listed:
    """A set of numbers of 64 bits, in order."""

    def __init__(self) -> None:
        self._keys = array("q")

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: int) -> bool:
        at = bisect_left(self._keys, key)
        return at < len(self._keys) and self._keys[at] == key

    def add(self, keys: array[int]) -> None:
        """Add numbers that are not here yet."""
        if len(keys) > FEW:
            self._keys = array("q", sorted(self._keys + keys))
            return
        for key in keys:
            insort(self._keys, key)

    def discard(self, key: int) -> None:
        if key in self:
            self._keys.pop(bisect_left(self._keys, key))

    def clear(self) -> None:
        self._keys = array("q")
