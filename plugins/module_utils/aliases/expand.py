# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The walk from an address to every place where its mail ends. Pure.

What a node is, and where it leads, is the MTA's business and comes in as ``step``: a node is anything hashable whose
``str()`` names it to a person. Nodes with one name may differ in what the MTA remembers of the way that led there.
Every node is looked at once, however many ways lead to it. A way that comes back to a node on itself is a loop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable

from ..verdict import FAIL, INCONCLUSIVE, PASS, Problem, add_up

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

LIMIT = 100_000
MEMBERS_OF_LOOPS = 1000  # after the first loop: where each node leads back, naming all would be quadratic


@dataclass(frozen=True)
class Destination:
    """Where a branch ends: ``kind`` is mailbox, remote, file, pipe, lmtp, null or error, ``value`` what.

    ``via`` says what leads there (file:line, table or setting), ``account`` as whom it is written or run, ``next_hop``
    to which host a remote address is handed, and ``login`` whether the MTA has a login there.
    """

    kind: str
    value: str
    via: str = ""
    account: str = ""
    next_hop: str = ""
    login: bool = False

    def as_dict(self) -> dict[str, str]:
        return {"kind": self.kind, "value": self.value}


@dataclass(frozen=True)
class Edge:
    """One step of the way; ``via`` is the file and line that says so, or the table or setting."""

    source: Hashable
    target: Hashable
    via: str

    def as_dict(self) -> dict[str, str]:
        return {"source": str(self.source), "target": str(self.target), "via": self.via}


@dataclass(frozen=True)
class Step:
    """What follows one node: the nodes that it leads to, the ends reached, and what is wrong on the way."""

    edges: tuple[Edge, ...] = ()
    destinations: tuple[Destination, ...] = ()
    problems: tuple[Problem, ...] = ()


def stopped(what: str, problems: tuple[Problem, ...]) -> Step:
    """A way that ends at something that was not read: in an error, unless it is unknown whether the MTA can read it."""
    unknown = any(problem.verdict == INCONCLUSIVE for problem in problems)
    return Step((), () if unknown else (Destination("error", what),), problems)


@dataclass(frozen=True)
class Expansion:
    """An address and all that becomes of mail for it."""

    address: str
    verdict: str
    destinations: tuple[Destination, ...]
    edges: tuple[Edge, ...]
    problems: tuple[Problem, ...]

    def as_dict(self) -> dict[str, Any]:
        return {
            "address": self.address,
            "verdict": self.verdict,
            "destinations": _unique(end.as_dict() for end in self.destinations),
            "edges": _unique(edge.as_dict() for edge in self.edges),
            "problems": [problem.as_dict() for problem in self.problems],
        }


def walk(start: Hashable, step: Callable[[Any], Step], limit: int = LIMIT, address: str = "") -> Expansion:
    """Follow every branch from ``start``, depth first; after ``limit`` nodes the answer is inconclusive."""
    destinations: list[Destination] = []
    edges: list[Edge] = []
    problems: list[Problem] = []
    verdicts: list[str] = []
    seen = {start}
    way: list[Edge] = []  # the edge by which each open node was left last
    depths: dict[Hashable, int] = {}  # of the open nodes
    open_nodes: list[tuple[Hashable, Iterator[Edge]]] = []
    loops = _Loops()

    def enter(node: Hashable) -> None:
        here = step(node)
        destinations.extend(here.destinations)
        problems.extend(here.problems)
        if here.destinations and not here.problems:
            verdicts.append(PASS)
        edges.extend(Edge(node, end.value, end.via) for end in here.destinations if end.via and end.value != str(node))
        depths[node] = len(open_nodes)
        open_nodes.append((node, iter(here.edges)))

    enter(start)
    while open_nodes:
        node, onward = open_nodes[-1]
        edge = next(onward, None)
        if edge is None:
            open_nodes.pop()
            del depths[node], way[len(open_nodes) :]
            continue
        edges.append(edge)
        way[len(open_nodes) - 1 :] = [edge]
        if edge.target in depths:
            problems += loops.add(way, depths[edge.target])
        elif edge.target not in seen:
            if len(seen) >= limit:
                problems.append(Problem("R1", INCONCLUSIVE, f"the expansion has more than {limit} members"))
                break
            seen.add(edge.target)
            enter(edge.target)
    found = list(dict.fromkeys([*problems, *loops.rest()]))
    if not destinations and not any(problem.weight in (FAIL, INCONCLUSIVE) for problem in found):
        found.append(Problem("R2", FAIL, "%s leads nowhere" % (address or start)))
    verdict = add_up([*verdicts, *(problem.weight for problem in found)])
    return Expansion(
        address or str(start),
        verdict,
        tuple(dict.fromkeys(destinations)),
        tuple(dict.fromkeys(edges)),
        tuple(found),
    )


class _Loops:
    """The loops of one walk. The first is reported, and others for as long as all of these have few members."""

    def __init__(self) -> None:
        self._members, self._more = 0, 0

    def add(self, way: list[Edge], start: int) -> list[Problem]:
        """What there is to say of the loop that the edges of ``way`` make from ``start`` on."""
        members = len(way) - start
        if self._members and self._members + members > MEMBERS_OF_LOOPS:
            self._more += 1
            return []
        self._members += members
        return [_loop(way[start:])]

    def rest(self) -> list[Problem]:
        message = f"there are {self._more} more loops"
        return [Problem("R1", FAIL, message, "", "fix the loops above first")] if self._more else []


def _loop(edges: list[Edge]) -> Problem:
    """The whole cycle that these edges make, and where each of them stands."""
    names = [str(edge.source) for edge in edges]
    return Problem(
        "R1",
        FAIL,
        "the mail goes round in a loop: {}".format(" -> ".join([*names, names[0]])),
        ", ".join(dict.fromkeys(edge.via for edge in edges)),
        "let one of {} lead to a person's mailbox".format(", ".join(dict.fromkeys(names))),
    )


def _unique(items: Iterator[dict[str, str]]) -> list[dict[str, str]]:
    return [dict(item) for item in dict.fromkeys(tuple(item.items()) for item in items)]
