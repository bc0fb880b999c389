# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a person has written an address: the line of an alias, a list or a .forward that leads to it. Pure."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from ..verdict import FAIL

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from ..aliases.expand import Edge
    from ..verdict import Problem

LINE = re.compile(r"/.*:\d+")  # of a file
NAMED = ("R3", "R8")  # rows on an address that does not work


class Written:
    """The lines that the edges of a walk name."""

    def __init__(self, edges: Iterable[Edge]) -> None:
        self._before: dict[Hashable, Edge] = {}
        for edge in edges:
            self._before.setdefault(edge.target, edge)

    def line(self, node: Hashable) -> str:
        """FILE:LINE, where the nearest one names the address itself; else empty."""
        name, seen = _local(node), {node}
        while node in self._before:
            edge = self._before[node]
            if LINE.fullmatch(edge.via):
                return edge.via
            node = edge.source
            if node in seen or _local(node) != name:
                return ""
            seen.add(node)
        return ""

    def named(self, node: Hashable, problem: Problem) -> Problem:
        """A problem with an address, whose remedy begins with the line that is to be corrected."""
        line = self.line(node) if problem.id in NAMED and problem.verdict == FAIL and problem.remedy else ""
        if not line:
            return problem
        return replace(problem, remedy=f"correct {node} in {line}, or {problem.remedy}")


def _local(node: Hashable) -> str:
    return str(node).partition("@")[0].lower()
