# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What reads texts of any size takes four times as long for four times as much, and not sixteen times."""

from __future__ import annotations

import gc
import time

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils.aliases.edit import edit, hunks
from ansible_collections.mailops.postmaster.plugins.module_utils.aliases.expand import Edge, Step, walk
from ansible_collections.mailops.postmaster.plugins.module_utils.aliases.sources import Source
from ansible_collections.mailops.postmaster.plugins.module_utils.aliases.table import Target, parse
from ansible_collections.mailops.postmaster.plugins.module_utils.mail_plan import build
from ansible_collections.mailops.postmaster.plugins.module_utils.mta import (
    exim_oracle,
    opensmtpd_syntax,
    postfix_syntax,
)
from ansible_collections.mailops.postmaster.plugins.module_utils.mta import sendmail_syntax as sendmail
from ansible_collections.mailops.postmaster.plugins.module_utils.secrecy import hide

ROUNDS, MOST = 6, 8.0


def leads_back(size):
    """A graph in which each node leads on, and back to the first."""
    return lambda node: Step((Edge(node, 0, "back"), *([Edge(node, node + 1, "on")] if node + 1 < size else [])))


POSTMASTER = {"postmaster": [Target("name", "n0")]}


def chain(size):
    return b"".join(b"n%d: n%d\n" % (number, number + 1) for number in range(size))


def edited(content, wanted=POSTMASTER, exact=False):
    found = edit(content, wanted, exact)
    return hunks(found), found.after()


def looked_up(source, names):
    assert all(source.entry(name) for name in names)


def configuration(text):
    return opensmtpd_syntax.parse("/etc/smtpd.conf", lambda _path: text)


# A size, what is made of it beforehand, and what is measured.
LINEAR = {
    "an entry of many lines": (20_000, lambda n: "a: b\n" + " c,\n" * n, parse),
    "comments within an entry": (20_000, lambda n: "a: b\n" + "# c\n" * n + " d\n", parse),
    "comments in parentheses": (20_000, lambda n: "a: b " + "(c) " * n, parse),
    "a target of many quoted parts": (20_000, lambda n: "a: " + '"b"' * n, parse),
    "a chain of aliases": (3_000, chain, edited),
    "chains from many names": (2_000, chain, lambda table: edited(
        table, {f"n{n}": [Target("name", f"n{n + 1}")] for n in range(table.count(b"\n"))})),
    "all entries but one taken out": (2_000, chain, lambda table: edited(table, exact=True)),
    "comments and entries in turns": (2_000, lambda n: b"#\na: b\n" * n, lambda table: edited(table, exact=True)),
    "an edit beside quoted names": (2_000, lambda n: b'"a b": c\n' * n, edited),
    "an edit beside names in other scripts": (2_000, lambda n: "é: c\n".encode() * n, edited),
    "an edit of an entry that stands there very often": (2_000, lambda n: b"postmaster: n1\n" * n, edited),
    "an edit beside names that begin alike": (20_000, lambda n: b"postmasters: n1\n" * n, edited),
    "an edit before a long comment": (20_000, lambda n: b"postmaster: n1\n" + b"#\n" * n, edited),
    "an entry that is looked up beside names that begin alike": (
        20_000, lambda n: "postmasters: n1\n" * n, lambda text: Source("/a", text).entry("postmaster")),
    "all entries looked up": (3_000, lambda n: [f"n{number}" for number in range(n)], lambda names: looked_up(
        Source("/a", "".join(f"{name}: x\n" for name in names)), names)),
    "an entry of many lines that is looked up": (
        20_000, lambda n: "postmaster: n1\n" + "  n2,\n" * n, lambda text: Source("/a", text).entry("postmaster")),
    "a walk along a chain": (5_000, lambda n: [[k + 1] for k in range(n)], lambda graph: walk(0, lambda k: Step(
        tuple(Edge(k, t, "f:1") for t in graph[k]) if k < len(graph) else ()))),
    "a walk on which each node leads back": (5_000, leads_back, lambda step: walk(0, step)),
    "Exim: blanks in an answer": (4_000, lambda n: "a" + " " * n + "b", lambda line: exim_oracle.NOTES.sub("", line)),
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
    "a text of octets, with a secret": (5_000, lambda n: r"\141" * n, lambda said: hide(said, ["a" * 20], len(said))),
    "a text of escapes": (5_000, lambda n: r"\a" * n, lambda said: hide(said, ["a" * 20], len(said))),
    "a text with one escape": (5_000, lambda n: r"\n" + "words of it " * n, lambda said: hide(
        said, ["words of them"], len(said))),
    "a secret of octets": (20_000, lambda n: r"\141" * n, lambda secret: hide("line 3: aaaaaa", [secret])),
    "a secret with one escape": (20_000, lambda n: r"\n" + "words " * n, lambda secret: hide("line 3: word", [secret])),
    "variables of many domains": (2_000, lambda n: {
        "mta_hostname": "mx1.example.org", "mta_postmaster": "alice",
        "mta_domains": [f"l{number}.example" for number in range(n)],
        "mta_virtual_domains": {f"d{number}.example": {"a": f"a@l{number}.example", "b": "c"} for number in range(n)},
        "mta_relay_domains": {f"r{number}.example": "192.0.2.7" for number in range(n)},
        "role_addresses_domains": {f"d{number}.example": {"abuse": "bob"} for number in range(n)}}, build),
    "OpenSMTPD: an action": (10_000, lambda n: "action a mbox " + "b " * n + "\n", configuration),
}  # fmt: skip


def seconds(work, given):
    """Of this process alone: how busy the machine is makes little difference. Nor does what other tests have left to be
    collected as garbage."""
    gc.collect()
    gc.disable()
    try:
        start = time.process_time()
        work(given)
        return time.process_time() - start
    finally:
        gc.enable()


@pytest.mark.parametrize(("size", "make", "work"), LINEAR.values(), ids=LINEAR)
def test_four_times_as_much_takes_about_four_times_as_long(size, make, work):
    small, large = make(size), make(4 * size)
    best = [float("inf"), float("inf")]
    for _dummy in range(ROUNDS):
        best = [min(best[0], seconds(work, small)), min(best[1], seconds(work, large))]
        if best[1] < MOST * best[0]:
            break
    assert best[1] < MOST * best[0], best
