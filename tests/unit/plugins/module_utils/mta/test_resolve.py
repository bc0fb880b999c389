# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses off this host are judged by what the host says that gets them."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils.aliases.expand import Destination, Expansion
from ansible_collections.mailops.postmaster.plugins.module_utils.mailbox.watched import Waiting
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.adapter import Opinion
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.postfix import Postfix
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.resolve import Unread, resolve, with_opinion
from ansible_collections.mailops.postmaster.plugins.module_utils.verdict import Problem
from fakes import FakeHost


class Answer(NamedTuple):
    verdict: str
    server: str = "192.0.2.9"
    command: str = "RCPT TO:<x@far.example>"
    code: int = 0
    text: str = ""


@pytest.mark.parametrize(
    ("answer", "rows"),
    [
        (Answer("pass", code=250), []),
        (Answer("fail", code=550, text="5.1.1 no such user"), [("R8", "fail")]),
        (Answer("inconclusive", text="timeout"), [("R8", "inconclusive")]),
    ],
)
def test_the_far_end_is_asked_and_its_answer_counts(answer, rows):
    asked = []
    host = FakeHost(aliases="postmaster: x@far.example\n", relayhost="[smart.example]:587")
    found = resolve(host, Postfix(host), "postmaster", (), lambda *question: asked.append(question) or answer)
    assert asked == [("[smart.example]:587", "x@far.example")]
    assert [(problem.id, problem.verdict) for problem in found.problems] == rows
    assert found.verdict == answer.verdict
    assert all(answer.text in problem.where and problem.remedy for problem in found.problems)


def test_this_host_itself_is_not_asked():
    host = FakeHost(aliases="postmaster: x@far.example\n", relayhost="[IPv6:2001:db8::1]")
    found = resolve(host, Postfix(host), "postmaster", (), lambda *_: pytest.fail("asked"))
    assert [problem.id for problem in found.problems] == ["R1"]


def test_another_port_of_this_host_is_another_server():
    host = FakeHost(aliases="postmaster: x@far.example\n", relayhost="[127.0.0.1]:10025")
    assert resolve(host, Postfix(host), "postmaster", (), lambda *_: Answer("pass")).verdict == "pass"


@pytest.mark.parametrize(("days", "rows"), [(0, []), (30, []), (31, [("R12", "warn")]), (None, [("R12", "skipped")])])
def test_a_mailbox_that_nobody_reads_is_a_warning(days, rows):
    asked = []
    host = FakeHost(aliases="postmaster: alice\n")
    unread = Unread(30, lambda mailbox: asked.append(mailbox) or Waiting(days, "may not be opened"))
    found = resolve(host, Postfix(host), "postmaster", unread=unread)
    assert asked == ["/var/mail/alice"]
    assert [(problem.id, problem.verdict) for problem in found.problems] == rows


WHOLE = Expansion("postmaster", "pass", (Destination("mailbox", "/var/mail/alice"),), (), ())
LOST = Expansion(
    "postmaster", "fail", (Destination("error", "ghost"),), (), (Problem("R3", "fail", "no ghost", "", ""),)
)


@pytest.mark.parametrize(
    ("walked", "deliverable", "rows"),
    [
        (WHOLE, True, []),
        (WHOLE, None, []),
        (WHOLE, False, ["R10"]),
        (LOST, False, ["R3"]),
        (LOST, True, ["R3", "R10"]),
    ],
)
def test_where_the_mta_says_something_else_than_its_tables_that_is_a_finding(walked, deliverable, rows):
    judged = with_opinion(walked, Opinion(deliverable, "mta -bt postmaster", "the answer"))
    assert [problem.id for problem in judged.problems] == rows
    assert (judged.verdict == "fail") == bool(rows)
