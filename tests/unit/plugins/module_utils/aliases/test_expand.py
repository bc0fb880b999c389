# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The walk: it ends on any graph, reports every loop whole, and adds up what it meets."""

from __future__ import annotations

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils.aliases.expand import (
    MEMBERS_OF_LOOPS,
    Destination,
    Edge,
    Step,
    walk,
)
from ansible_collections.mailops.postmaster.plugins.module_utils.verdict import Problem
from hypothesis import given
from hypothesis import strategies as st

GRAPHS = st.integers(1, 12).flatmap(
    lambda size: st.lists(st.lists(st.integers(0, size - 1), max_size=4, unique=True), min_size=size, max_size=size)
)


def step_of(graph):
    """Nodes are the indexes of a list of lists; one without successors is a mailbox."""

    def step(node):
        edges = tuple(Edge(node, target, f"line:{node}") for target in graph[node])
        return Step(edges, () if edges else (Destination("mailbox", f"/var/mail/{node}"),))

    return step


def reached(graph, start):
    found, pending = set(), [start]
    while pending:
        node = pending.pop()
        if node not in found:
            found.add(node)
            pending += graph[node]
    return found


def on_a_cycle(graph, node):
    return any(node in reached(graph, target) for target in graph[node])


def loops(found):
    return [problem for problem in found.problems if problem.id == "R1"]


@given(GRAPHS)
def test_it_finds_a_loop_if_and_only_if_there_is_one(graph):
    found = walk(0, step_of(graph))
    assert bool(loops(found)) == any(on_a_cycle(graph, node) for node in reached(graph, 0))


@given(GRAPHS)
def test_a_loop_is_a_way_that_the_graph_has_and_comes_back_to_where_it_began(graph):
    for problem in loops(walk(0, step_of(graph))):
        cycle = [int(name) for name in problem.message.rpartition(": ")[2].split(" -> ")]
        assert cycle[0] == cycle[-1]
        assert all(target in graph[source] for source, target in zip(cycle, cycle[1:]))
        assert problem.where == ", ".join(f"line:{node}" for node in cycle[:-1])


@given(GRAPHS)
def test_it_reaches_every_end_and_looks_at_each_node_once(graph):
    looked, step = [], step_of(graph)
    found = walk(0, lambda node: looked.append(node) or step(node))
    assert sorted(looked) == sorted(reached(graph, 0))
    assert {end.value for end in found.destinations} == {
        f"/var/mail/{node}" for node in reached(graph, 0) if not graph[node]
    }


@given(GRAPHS)
def test_the_verdict_is_a_pass_if_and_only_if_all_branches_end_in_a_mailbox(graph):
    expected = "fail" if any(on_a_cycle(graph, node) for node in reached(graph, 0)) else "pass"
    assert walk(0, step_of(graph)).verdict == expected


def test_a_chain_of_any_depth_is_followed():
    depth = 50_000
    graph = [[node + 1] for node in range(depth)] + [[]]
    assert walk(0, step_of(graph)).destinations == (Destination("mailbox", f"/var/mail/{depth}"),)


def test_where_each_node_leads_back_the_first_loop_is_named_whole_and_the_others_are_counted():
    size = 3000
    graph = [[0, *([node + 1] if node + 1 < size else [])] for node in range(size)]
    found = loops(walk(0, step_of(graph)))
    assert found[0].message.endswith("loop: 0 -> 0")
    named = len(found) - 1
    assert sum(problem.message.count(" -> ") for problem in found) <= MEMBERS_OF_LOOPS
    assert found[-1].message == f"there are {size - named} more loops"


def test_one_loop_is_named_whole_however_long_it_is():
    size = 3000
    (found,) = loops(walk(0, step_of([[(node + 1) % size] for node in range(size)])))
    assert found.message.count(" -> ") == size


def test_ways_that_meet_again_are_no_loop_and_cost_nothing():
    layers = 500
    graph = [[2 * (node // 2) + 2, 2 * (node // 2) + 3] for node in range(2 * layers)] + [[], []]
    found = walk(0, step_of(graph))
    assert (found.verdict, len(found.destinations)) == ("pass", 2)


def test_more_nodes_than_the_limit_are_inconclusive():
    found = walk(0, step_of([[1, 2], [], []]), limit=2)
    assert [(problem.id, problem.verdict) for problem in found.problems] == [("R1", "inconclusive")]
    assert found.verdict == "inconclusive"


@pytest.mark.parametrize(
    ("step", "verdict", "rows"),
    [
        (Step(), "fail", ["R2"]),
        (Step((), (), (Problem("R9", "fail", "gone"),)), "fail", ["R9"]),
        (Step((), (), (Problem("R10", "inconclusive", "down"),)), "inconclusive", ["R10"]),
        (Step((), (Destination("mailbox", "/m"),)), "pass", []),
        (Step((), (Destination("mailbox", "/m"),), (Problem("R7", "warn", "root"),)), "warn", ["R7"]),
        (Step((), (Destination("remote", "a@b"),), (Problem("R8", "skipped", "not asked"),)), "skipped", ["R8"]),
        (Step((), (), (Problem("R7", "warn", "odd"),)), "fail", ["R7", "R2"]),
    ],
)
def test_the_verdict_adds_up_what_was_met(step, verdict, rows):
    found = walk("a", lambda _node: step)
    assert (found.verdict, [problem.id for problem in found.problems]) == (verdict, rows)


def test_one_good_branch_outweighs_one_that_was_not_judged():
    skipped = Step((), (Destination("remote", "a@b"),), (Problem("R8", "skipped", "not asked"),))
    steps = {
        "a": Step((Edge("a", "b", "x"), Edge("a", "c", "x"))),
        "b": skipped,
        "c": Step((), (Destination("mailbox", "/m"),)),
    }
    assert walk("a", steps.get).verdict == "pass"


def test_the_result_names_nodes_and_says_each_thing_once():
    steps = {1: Step((Edge(1, 2, "f:1"), Edge(1, 2, "f:1"))), 2: Step((), (Destination("file", "/x", "f:2"),) * 2)}
    assert walk(1, steps.get, address="one").as_dict() == {
        "address": "one",
        "verdict": "pass",
        "destinations": [{"kind": "file", "value": "/x"}],
        "edges": [{"source": "1", "target": "2", "via": "f:1"}, {"source": "2", "target": "/x", "via": "f:2"}],
        "problems": [],
    }
