# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses off this host are judged by what the host says that gets them."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system.deadline import Deadline
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


class Asked:
    """Notes what it is asked, and what it is told to expect before."""

    def __init__(self, answer):
        self.answer, self.asked, self.expected = answer, [], []

    def expect(self, pairs):
        self.expected += pairs

    def __call__(self, *pair):
        assert pair in self.expected
        self.asked.append(pair)
        return self.answer


@pytest.mark.parametrize(
    ("answer", "rows"),
    [
        (Answer("pass", code=250), []),
        (Answer("fail", code=550, text="5.1.1 no such user"), [("R8", "fail")]),
        (Answer("inconclusive", text="timeout"), [("R8", "inconclusive")]),
        (Answer("inconclusive", code=530, text="5.7.0 Authentication required"), [("R8", "inconclusive")]),
    ],
)
def test_the_far_end_is_asked_and_its_answer_counts(answer, rows):
    far_end = Asked(answer)
    host = FakeHost(aliases="postmaster: x@far.example\n", relayhost="[smart.example]:587")
    found = resolve(host, Postfix(host), "postmaster", (), far_end)
    assert far_end.asked == [("[smart.example]:587", "x@far.example")]
    assert [(problem.id, problem.verdict) for problem in found.problems] == rows
    assert found.verdict == answer.verdict
    assert all(answer.text in problem.where and problem.remedy for problem in found.problems)


@pytest.mark.parametrize(
    ("answer", "said", "mend"),
    [
        (
            Answer("fail", code=550, text="no such user"),
            "the host that gets it refuses it",
            "make x@far.example exist on that host",
        ),
        (
            Answer("fail", text="the name does not exist in the DNS"),
            "there is no host that gets it",
            "name a host that exists in relayhost",
        ),
    ],
)
def test_a_host_that_does_not_exist_refuses_nothing(answer, said, mend):
    host = FakeHost(aliases="postmaster: x@far.example\n", relayhost="[smart.example]:587")
    (problem,) = resolve(host, Postfix(host), "postmaster", (), Asked(answer)).problems
    assert said in problem.message
    assert problem.remedy == f"correct x@far.example in /etc/aliases:1, or {mend}"


@pytest.mark.parametrize(
    ("login", "code", "text", "verdict"),
    [
        ("yes", 454, "4.7.1 <x@far.example>: Relay access denied", "inconclusive"),
        ("yes", 554, "5.7.1 <x@far.example>: Relay access denied", "inconclusive"),
        ("yes", 550, "5.7.1 Authentication required", "inconclusive"),
        ("yes", 550, "5.1.1 no such user", "fail"),
        ("no", 554, "5.7.1 <x@far.example>: Relay access denied", "fail"),
        ("no", 550, "5.7.1 Authentication required", "fail"),
    ],
)
def test_a_smarthost_at_which_the_mta_logs_in_may_refuse_who_does_not(login, code, text, verdict):
    settings = {"relayhost": "[smart.example]:587", "smtp_sasl_auth_enable": login}
    host = FakeHost(aliases="postmaster: x@far.example\n", **settings)
    found = resolve(host, Postfix(host), "postmaster", (), Asked(Answer("fail", code=code, text=text)))
    assert [(problem.id, problem.verdict) for problem in found.problems] == [("R8", verdict)]
    assert ("login" in found.problems[0].message) == (verdict == "inconclusive")


def test_this_host_itself_is_not_asked():
    host = FakeHost(aliases="postmaster: x@far.example\n", relayhost="[IPv6:2001:db8::1]")
    far_end = Asked(Answer("pass"))
    found = resolve(host, Postfix(host), "postmaster", (), far_end)
    assert [problem.id for problem in found.problems] == ["R1"]
    assert far_end.expected == far_end.asked == []


def test_another_port_of_this_host_is_another_server():
    host = FakeHost(aliases="postmaster: x@far.example\n", relayhost="[127.0.0.1]:10025")
    assert resolve(host, Postfix(host), "postmaster", (), Asked(Answer("pass"))).verdict == "pass"


@pytest.mark.parametrize(("days", "rows"), [(0, []), (30, []), (31, [("R12", "warn")]), (None, [("R12", "skipped")])])
def test_a_mailbox_that_nobody_reads_is_a_warning(days, rows):
    asked = []
    host = FakeHost(aliases="postmaster: alice\n")
    unread = Unread(30, lambda end: asked.append(end.value) or Waiting(days, "may not be opened"))
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


class Broken(Postfix):
    """A Postfix that cannot be asked about one name."""

    def step(self, node):
        if "bob" in str(node):
            raise PermissionError(13, "Permission denied", "/home/bob/.forward")
        return super().step(node)

    def opinion(self, _address):
        raise MemoryError


def test_what_cannot_be_seen_costs_only_its_own_part():
    host = FakeHost(aliases="postmaster: alice, bob, ghost\n")
    found = resolve(host, Broken(host), "postmaster")
    assert [(problem.id, problem.verdict) for problem in found.problems] == [
        ("R2", "inconclusive"),
        ("R3", "fail"),
        ("R10", "inconclusive"),
    ]
    assert "/home/bob/.forward: Permission denied" in found.problems[0].message
    assert [end.kind for end in found.destinations] == ["mailbox", "error"]


def test_a_mailbox_that_cannot_be_judged_is_inconclusive():
    def days(end):
        raise OSError(5, "Input/output error", end.value)

    host = FakeHost(aliases="postmaster: alice\n")
    found = resolve(host, Postfix(host), "postmaster", unread=Unread(30, days))
    assert (found.verdict, [end.value for end in found.destinations]) == ("inconclusive", ["/var/mail/alice"])
    assert "/var/mail/alice: Input/output error" in found.problems[0].message


def test_after_the_deadline_the_rest_is_one_finding():
    host = FakeHost(aliases="postmaster: {}\n".format(", ".join(f"name{number}" for number in range(500))))
    host.deadline = Deadline(0)
    found = resolve(host, Postfix(host), "postmaster")
    assert found.verdict == "inconclusive"
    assert [problem.message for problem in found.problems if problem.id == "R2"] == [
        "where mail for postmaster leads cannot be seen: there was no time for it in 0 s"
    ]
