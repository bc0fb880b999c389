# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What reads texts of any size takes four times as long for four times as much, and not sixteen times."""

from __future__ import annotations

import time

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils.aliases.expand import Edge, Step, walk
from ansible_collections.mailops.postmaster.plugins.module_utils.aliases.table import cycle, parse
from ansible_collections.mailops.postmaster.plugins.module_utils.mta import (
    opensmtpd_syntax,
    postfix_syntax,
)
from ansible_collections.mailops.postmaster.plugins.module_utils.mta import sendmail_syntax as sendmail

ROUNDS, MOST = 6, 8.0


def leads_back(size):
    """A graph in which each node leads on, and back to the first."""
    return lambda node: Step((Edge(node, 0, "back"), *([Edge(node, node + 1, "on")] if node + 1 < size else [])))


def chain(size):
    return parse("".join(f"n{number}: n{number + 1}\n" for number in range(size)))


def configuration(text):
    return opensmtpd_syntax.parse("/etc/smtpd.conf", lambda _path: text)


# A size, what is made of it beforehand, and what is measured.
LINEAR = {
    "an entry of many lines": (20_000, lambda n: "a: b\n" + " c,\n" * n, parse),
    "comments within an entry": (20_000, lambda n: "a: b\n" + "# c\n" * n + " d\n", parse),
    "comments in parentheses": (20_000, lambda n: "a: b " + "(c) " * n, parse),
    "a target of many quoted parts": (20_000, lambda n: "a: " + '"b"' * n, parse),
    "a chain of aliases": (10_000, chain, lambda table: cycle(table, ["n0"])),
    "chains from many names": (10_000, chain, lambda table: cycle(table, [f"n{n}" for n in range(len(table.parts))])),
    "a walk along a chain": (5_000, lambda n: [[k + 1] for k in range(n)], lambda graph: walk(0, lambda k: Step(
        tuple(Edge(k, t, "f:1") for t in graph[k]) if k < len(graph) else ()))),
    "a walk on which each node leads back": (5_000, leads_back, lambda step: walk(0, step)),
    "Postfix: many members": (20_000, lambda n: "a, " * n, postfix_syntax.addresses),
    "Postfix: one long address": (20_000, lambda n: "a." * n + "@b", postfix_syntax.addresses),
    "Postfix: comments": (20_000, lambda n: "(a)" * n, postfix_syntax.addresses),
    "Postfix: comments in comments": (20_000, lambda n: "(" * n, postfix_syntax.addresses),
    "Postfix: quotes and backslashes": (20_000, lambda n: '"\\' * n, postfix_syntax.addresses),
    "Postfix: a list in braces": (20_000, lambda n: "{" * n, postfix_syntax.elements),
    "Sendmail: questions in one line": (20_000, lambda n: "map_lookup: a (" * n, sendmail.found_in_map),
    "Sendmail: answers in one line": (20_000, lambda n: "map_lookup: a (" + ") returns " * n, sendmail.found_in_map),
    "Sendmail: quotes and backslashes": (20_000, lambda n: '"\\' * n, sendmail.members),
    "Sendmail: open comments": (20_000, lambda n: "(a" * n, sendmail.members),
    "Sendmail: many members": (20_000, lambda n: "a, " * n, sendmail.members),
    "Sendmail: maps": (20_000, lambda n: "Ka hash " + "b " * n + "/c", sendmail.maps),
    "Sendmail: empty lines after a map": (20_000, lambda n: "Ka" + "\n" * n, sendmail.maps),
    "OpenSMTPD: a table": (10_000, lambda n: "table a { " + "b = c, " * n + "}\n", configuration),
    "OpenSMTPD: a table in a match": (10_000, lambda n: "match for domain { " + "b, " * n + "}\n", configuration),
    "OpenSMTPD: an action": (10_000, lambda n: "action a mbox " + "b " * n + "\n", configuration),
}  # fmt: skip


def seconds(work, given):
    """Of this process alone: how busy the machine is makes little difference."""
    start = time.process_time()
    work(given)
    return time.process_time() - start


@pytest.mark.parametrize(("size", "make", "work"), LINEAR.values(), ids=LINEAR)
def test_four_times_as_much_takes_about_four_times_as_long(size, make, work):
    small, large = make(size), make(4 * size)
    best = [float("inf"), float("inf")]
    for _dummy in range(ROUNDS):
        best = [min(best[0], seconds(work, small)), min(best[1], seconds(work, large))]
        if best[1] < MOST * best[0]:
            break
    assert best[1] < MOST * best[0], best
