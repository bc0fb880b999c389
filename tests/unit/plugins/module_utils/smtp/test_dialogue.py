# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked, and what the answers mean: the tables, without a server."""

from __future__ import annotations

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils.requirements import ACCEPTS, EVERY_RUN, REQUIREMENTS
from ansible_collections.mailops.postmaster.plugins.module_utils.smtp.dialogue import (
    FINDINGS,
    FOLDED,
    HUNDRED,
    Heard,
    Step,
    Target,
    Transaction,
    judge,
    plan,
    rcpt,
    verdicts,
)
from ansible_collections.mailops.postmaster.plugins.module_utils.smtp.reply import NoReply, Reply

TARGET = Target(
    served=("example.org", "example.net"),
    relayed=("example.com",),
    literals=("[192.0.2.1]",),
    role_addresses=("abuse", "noc"),
    helo="probe.example",
    sender="postmaster@probe.example",
)
EHLO_TO_ORG = {
    "A1": ["postmaster@example.org"],
    "A3": ["POSTMASTER@example.org", "PoStMaStEr@example.org"],
    "A4": ['"postmaster"@example.org', '"post\\master"@example.org'],
    "A5": ["@x.example:postmaster@example.org"],
    "A6": ["postmaster@example.org"],
    "A7": ["postmaster@example.org"] * 4,
    "A8": ["postmaster@example.org"],
    "N1": [
        "postmaster@foreign.invalid",
        "postmaster@foreign.invalid",
        "postmaster%foreign.invalid@example.org",
        "@example.org:postmaster@foreign.invalid",
        '"postmaster@foreign.invalid"@example.org',
    ],
    "N3": ["nosuch@example.org"],
    "N4": ["nosuch@nosuch.example.org"],
    "R11": ["abuse@example.org", "ABUSE@example.org", "noc@example.org", "NOC@example.org"],
}
TO_NO_DOMAIN = {
    "A2": ["Postmaster"],
    "A3": ["POSTMASTER", "PoStMaStEr"],
    "A6": ["Postmaster"],
    "A8": ["Postmaster"],
    "A14": ["postmaster@example.org"],
    "A16": ["postmaster"],
    "N1": ["postmaster@foreign.invalid", "postmaster@foreign.invalid", "foreign.invalid!postmaster"],
    "N2": ["nosuch"],
}
# What each rule makes of a reply: pass, fail, inconclusive, skipped.
VERDICTS = {
    "accept": {250: "p", 251: "p", 450: "i", 421: "i", 452: "i", 550: "f", 501: "f", 0: "i", 354: "i"},
    "second": {250: "p", 450: "i", 452: "f", 550: "f", 0: "i"},
    "plain": {250: "p", 450: "i", 530: "f", 500: "f", 0: "i"},
    "parse": {250: "p", 450: "i", 550: "p", 554: "p", 553: "p", 500: "f", 501: "f", 555: "f", 0: "i"},
    "refuse": {250: "f", 252: "f", 450: "p", 454: "p", 421: "i", 550: "p", 501: "p", 0: "i", 354: "i"},
    "relay": {250: "f", 450: "p", 454: "p", 452: "i", 421: "i", 550: "p", 0: "i"},
    "deny": {250: "f", 452: "i", 552: "p", 0: "i"},
    "unknown": {250: "f", 450: "i", 550: "p", 0: "i"},
    "any": {250: "s", 450: "s", 550: "s", 0: "s"},
}
# The same where the reply was to the MAIL before it.
BEFORE = {
    "accept": {450: "i", 550: "f", 530: "f"},
    "second": {452: "i", 550: "f"},
    "plain": {450: "i", 530: "f", 550: "f"},
    "parse": {450: "i", 550: "f"},
    "refuse": {450: "i", 550: "i"},
    "relay": {450: "i", 550: "p"},
    "unknown": {450: "i", 550: "i"},
    "any": {550: "s"},
}
WORDS = {"p": "pass", "f": "fail", "i": "inconclusive", "s": "skipped"}


def answer(code):
    return Reply(code, ("said so",)) if code else NoReply("nothing came")


def asked(domain, target=TARGET):
    found = {}
    for transaction in plan(target, "nosuch"):
        for step in transaction.steps:
            if step.domain == domain and step.check not in FOLDED:
                found.setdefault(step.check, []).append(step.address)
    return found


def cases(table):
    return [(rule, code, WORDS[word]) for rule, codes in table.items() for code, word in codes.items()]


@pytest.mark.parametrize(
    ("domain", "wanted"),
    [
        ("example.org", EHLO_TO_ORG),
        ("", TO_NO_DOMAIN),
        ("[192.0.2.1]", {"A12": ["postmaster@[192.0.2.1]"]}),
    ],
)
def test_a_place_is_asked_in_every_form(domain, wanted):
    assert asked(domain) == wanted


def test_a_server_is_asked_for_as_many_recipients_as_every_server_takes():
    (many,) = [part.steps for part in plan(TARGET, "nosuch") if part.steps[0].check == "A11"]
    assert len({step.address for step in many}) == len(many) == HUNDRED
    assert {step.address.lower() for step in many} == {"postmaster@example.org"}


@pytest.mark.parametrize(("size", "asked_for"), [("1000", ["65536", "1001"]), ("0", ["65536"]), ("", ["65536"])])
def test_what_each_server_takes_and_what_this_one_says_that_it_does_not_are_announced(size, asked_for):
    target = Target(served=("example.org",), extensions={"SIZE": size})
    commands = [step.command for part in plan(target, "nosuch") for step in part.steps if "SIZE=" in step.command]
    assert [command.partition("SIZE=")[2] for command in commands] == asked_for


@pytest.mark.parametrize(
    ("octets", "left_out"),
    [
        (200, set()),
        (232, set()),
        (233, {"A5"}),
        (241, {"A5", "N4"}),
        (242, {"A4", "A5", "N4"}),
        (253, {"A11", "A3", "A4", "A5", "A7", "A8", "N3", "N4", "R11"}),
    ],
)
def test_no_form_is_asked_for_that_is_longer_than_a_path_may_be(octets, left_out):
    """But for the plain address, with which others are compared."""
    name = (".".join(["a" * 60] * 4) + "." + "b" * 9)[-octets:]
    target = Target(served=(name,), literals=("[192.0.2.1]",))
    steps = [part for transaction in plan(target, "nosuch") for part in transaction.steps if part.domain == name]
    assert {"A1", "A11", "A3", "A4", "A5", "A6", "A7", "A8", "N1", "N3", "N4", "R11"} - {
        step.check for step in steps
    } == left_out
    assert all(step.control is None or step.control in steps for step in steps)


def test_a_relayed_domain_is_asked_the_same_but_for_a_sender_in_it():
    assert set(asked("example.org")) - set(asked("example.com")) == {"A7"}


def test_of_many_domains_two_stand_for_the_senders_of_all():
    """Each transaction with a recipient that is accepted can slow down a Postfix for all."""
    target = Target(served=tuple(f"d{number}.example" for number in range(100)))
    own = [part for part in plan(target, "nosuch") if part.steps[0].rule == "relay" and part.sender]
    assert [part.sender for part in own] == [
        f"{local}@{domain}" for domain in ("d0.example", "d99.example") for local in ("postmaster", "nosuch")
    ]
    assert {step.domain for step in own[0].steps if step.check == "A7"} == set(target.served[:99])


def test_a_server_without_domains_is_asked_for_postmaster_alone():
    assert set(asked("", Target())) == set(TO_NO_DOMAIN)
    assert asked("", Target())["A14"] == ["Postmaster"]


def test_every_row_of_the_layer_has_words_for_the_person_who_mends_it():
    asked_here = {row.id for row in REQUIREMENTS.values() if (row.layer, row.shown) == (ACCEPTS, EVERY_RUN)}
    assert set(FINDINGS) == asked_here - {"L1"} | {"R11"}


def test_no_transaction_has_more_recipients_than_every_server_takes():
    many = Target(served=tuple(f"d{number}.example" for number in range(150)))
    transactions = plan(many, "nosuch")
    assert max(len(transaction.steps) for transaction in transactions) == 100
    steps = [step for transaction in transactions for step in transaction.steps]
    assert len(set(steps)) == len(steps)


@pytest.mark.parametrize(("rule", "code", "verdict"), cases(VERDICTS))
def test_a_reply_is_judged_by_the_rule_of_its_step(rule, code, verdict):
    step = rcpt("A1", "postmaster@example.org", "example.org", rule)
    check = judge(step, Heard(step.command, answer(code)))
    assert (check.verdict, check.code) == (verdict, code)
    assert (verdict == "pass") == (not check.message)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (Reply(421, ("Too many connections",)), "the server serves no further client now: it greets with 421"),
        (NoReply("nothing within 15 s", late=True), "the server does not answer a new connection: nothing within 15 s"),
    ],
)
def test_a_server_that_has_no_place_for_a_client_is_named_as_such(said, words):
    check = judge(rcpt("A1", "postmaster@example.org", "example.org"), Heard("connect", said))
    assert (check.verdict, check.message) == ("inconclusive", words)


@pytest.mark.parametrize(
    ("code", "text", "verdict"),
    [
        (454, "4.7.1 <postmaster@example.org>: Relay access denied", "fail"),
        (450, "relay not permitted", "fail"),
        (454, "4.7.0 TLS not available due to local problem", "inconclusive"),
        (450, "4.7.1 Relaying temporarily denied. Cannot resolve PTR record", "inconclusive"),
    ],
)
def test_a_server_that_says_that_it_does_not_relay_has_refused_whatever_the_code(code, text, verdict):
    step = rcpt("A1", "postmaster@example.org", "example.org")
    assert judge(step, Heard(step.command, Reply(code, (text,)))).verdict == verdict


@pytest.mark.parametrize(
    ("row", "command", "code", "verdict"),
    [
        ("A8", "RCPT", 450, "warn"),
        ("A8", "MAIL FROM:<x@nonexistent.invalid>", 450, "warn"),
        ("A16", "RCPT", 451, "warn"),
        ("R11", "RCPT", 452, "warn"),
        ("N3", "RCPT", 450, "warn"),
        ("A1", "RCPT", 450, "inconclusive"),
        ("A8", "RCPT", 421, "inconclusive"),
        ("A8", "RCPT", 0, "inconclusive"),
        ("A8", "connect", 450, "inconclusive"),
        ("A8", "RCPT", 250, "pass"),
        ("A8", "RCPT", 550, "fail"),
    ],
)
def test_what_is_put_off_weighs_no_more_than_what_is_refused(row, command, code, verdict):
    step = rcpt(row, "x@example.org", "example.org", "unknown" if row == "N3" else "accept")
    heard = Heard(step.command if command == "RCPT" else command, answer(code))
    (check,) = verdicts([Transaction((step,), "")], {step: heard})
    assert check.verdict == verdict
    assert check.weight in (verdict, "warn")


@pytest.mark.parametrize(("rule", "code", "verdict"), cases(BEFORE))
def test_a_refusal_before_the_step_shows_nothing_to_be_turned_away(rule, code, verdict):
    check = judge(rcpt("N1", "x", "", rule), Heard("MAIL FROM:<>", answer(code)))
    assert (check.verdict, check.command) == (verdict, "MAIL FROM:<>")


@pytest.mark.parametrize(
    ("control", "code", "verdict"),
    [(550, 550, "skipped"), (550, 554, "fail"), (250, 550, "fail"), (0, 550, "fail"), (550, 250, "pass")],
)
def test_a_step_that_is_refused_as_its_control_was_says_nothing_of_its_own(control, code, verdict):
    first = rcpt("A1", "postmaster@example.org")
    step = Step("A6", "RCPT TO:<a>", "a", control=first)
    checked = judge(first, Heard(first.command, answer(control)))
    assert judge(step, Heard(step.command, answer(code)), checked).verdict == verdict


def test_the_checks_come_in_the_order_of_the_plan():
    transactions = plan(TARGET, "nosuch")
    steps = [step for transaction in transactions for step in transaction.steps]
    checks = verdicts(transactions, {step: Heard(step.command, answer(250)) for step in steps})
    wanted = [(step.check, step.address) for step in steps if step.check not in FOLDED]
    assert [(check.id, check.address) for check in checks if check.id not in FOLDED] == wanted
    assert [check.id for check in checks if check.id in FOLDED] == ["A11"]
