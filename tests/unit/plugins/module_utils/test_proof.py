# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""proof: how the three layers are judged and add up."""

from __future__ import annotations

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils import proof
from ansible_collections.mailops.postmaster.plugins.module_utils.proof import Found, HandedOn, Place
from ansible_collections.mailops.postmaster.plugins.module_utils.verdict import Check, add_up

ORG = Place("example.org", "local")
BOX = "/var/mail/alice"


def expansion(address, verdict="pass", kind="mailbox", value=BOX, problems=()):
    kinds = (kind,) if isinstance(kind, str) else kind
    ends = [{"kind": kind, "value": value} for kind in kinds if kind]
    return {
        "address": address,
        "verdict": verdict,
        "destinations": ends,
        "edges": [],
        "problems": list(problems),
    }


def message(code=250, text="2.0.0 Ok: queued as 4X", recipient="postmaster@example.org", domain="example.org"):
    sender = "postmaster@probe.example"
    return {
        "token": "t",
        "sender": sender,
        "recipient": recipient,
        "domain": domain,
        "code": code,
        "text": text,
        "sent": 0.0,
    }


def landing(found=(), fate=("unknown", ""), kind="mailbox", unseen=None, **sent):
    hits = {"t": {box: Found(count, 0.1, {}) for box, count in found}}
    result = proof.lands(
        ORG,
        [message(**sent)],
        lambda address: expansion(address, kind=kind),
        hits,
        lambda _message: HandedOn(*fate),
        unseen,
    )
    return result["verdict"]


@pytest.mark.parametrize(
    ("verdict", "case"),
    [
        ("pass", {"found": [(BOX, 1)]}),
        ("fail", {"found": [(BOX, 2)]}),
        ("fail", {"found": []}),
        ("fail", {"found": [("/var/mail/mallory", 1)]}),
        ("fail", {"fate": ("bounced", "unknown user")}),
        ("fail", {"fate": ("deferred", "cannot append message to file /var/mail/alice: No space left on device")}),
        ("fail", {"fate": ("deferred", "mailbox /var/mail/alice has the wrong uid (0 != 1000)")}),
        ("fail", {"kind": "file", "fate": ("deferred", "Permission denied")}),
        ("fail", {"unseen": {BOX: f"{BOX} is a FIFO"}, "fate": ("deferred", "Permission denied")}),
        ("inconclusive", {"fate": ("deferred", "unable to lock for exclusive access: Resource unavailable")}),
        ("inconclusive", {"fate": ("deferred", "failed to lock mailbox /var/mail/alice (lock file)")}),
        ("inconclusive", {"fate": ("deferred", "mail.local: lockmailbox /var/mail/alice failed; error code 75")}),
        ("inconclusive", {"fate": ("deferred", "retry time not reached for any host")}),
        ("inconclusive", {"kind": ("mailbox", "pipe"), "fate": ("deferred", "temporary failure")}),
        ("inconclusive", {"kind": ("mailbox", "remote"), "fate": ("deferred", "connection refused")}),
        ("inconclusive", {"fate": ("queued", "")}),
        ("inconclusive", {"unseen": {BOX: f"{BOX} is a FIFO"}}),
        ("inconclusive", {"unseen": {BOX: f"{BOX} is a FIFO"}, "fate": ("sent", "delivered to mailbox")}),
        ("fail", {"unseen": {BOX: f"{BOX} is a FIFO"}, "fate": ("bounced", "unknown user")}),
        ("pass", {"unseen": {BOX: f"{BOX}/new/1.a is a FIFO"}, "found": [(BOX, 1)]}),
        ("fail", {"unseen": {"/var/mail/mallory": "/var/mail/mallory is a FIFO"}}),
        ("fail", {"code": 550}),
        ("inconclusive", {"code": 451}),
        ("fail", {"code": 454, "text": "4.7.1 <postmaster@example.org>: Relay access denied"}),
        ("inconclusive", {"code": 454, "text": "4.7.0 TLS not available"}),
        ("inconclusive", {"code": 0, "text": "no answer"}),
        ("pass", {"kind": "remote", "fate": ("sent", "250 ok")}),
        ("inconclusive", {"kind": "remote", "fate": ("deferred", "refused")}),
        ("inconclusive", {"kind": "remote", "fate": ("unknown", "")}),
        ("fail", {"kind": "remote", "fate": ("bounced", "550")}),
        ("pass", {"kind": "lmtp", "fate": ("sent", "250 2.0.0 Saved")}),
        ("fail", {"kind": "lmtp", "fate": ("bounced", "550 5.1.1 User doesn't exist")}),
        ("inconclusive", {"kind": "lmtp", "fate": ("deferred", "connect: No such file or directory")}),
        ("inconclusive", {"kind": "lmtp", "fate": ("unknown", "")}),
        ("inconclusive", {"kind": "pipe"}),
        ("inconclusive", {"kind": "pipe", "fate": ("sent", "delivered to command")}),
        ("fail", {"kind": "pipe", "fate": ("bounced", "Command died with status 1")}),
        ("inconclusive", {"kind": "pipe", "fate": ("deferred", "temporary failure")}),
        ("pass", {"found": [(BOX, 1)], "kind": ("mailbox", "pipe"), "fate": ("sent", "")}),
        ("fail", {"found": [(BOX, 1)], "kind": ("mailbox", "pipe"), "fate": ("bounced", "status 1")}),
        ("fail", {"found": [], "kind": ("mailbox", "pipe"), "fate": ("sent", "")}),
        ("fail", {"kind": "null"}),
        ("fail", {"kind": "error"}),
        ("fail", {"kind": ""}),
        ("skipped", {"domain": "example.net"}),
    ],
)
def test_a_token_lands_only_when_it_is_found_once_in_the_right_mailbox(verdict, case):
    assert landing(**case) == verdict


# by mailbox, how often it holds the message from the null sender, and how often another one; what D9 and D8 say
SPLIT = {
    "once": ({BOX: (1, 1)}, "pass", "pass"),
    "twice, and no other one is": ({BOX: (2, 1)}, "fail", "pass"),
    "twice, as every one is": ({BOX: (2, 2)}, "pass", "fail"),
    "twice, and no other one is there": ({BOX: (2, 0)}, "fail", "pass"),
    "three times": ({BOX: (3, 1)}, "pass", "fail"),
    "once in a Maildir": ({"/home/alice/Maildir/": (1, 1)}, None, "pass"),
}


@pytest.mark.parametrize("name", SPLIT)
def test_a_message_that_is_split_at_a_line_of_its_body_is_told_from_one_that_came_twice(name):
    boxes, split, landed = SPLIT[name]
    tokens = {
        token: {box: Found(counts[at], 0.1, {}) for box, counts in boxes.items() if counts[at]}
        for at, token in enumerate(("t", "other"))
    }
    ends = [{"kind": "mailbox", "value": box} for box in boxes]
    known = {**expansion("postmaster"), "destinations": ends}
    made = proof.lands(
        proof.Place(proof.BARE, "bare"),
        [{**message(recipient="Postmaster", domain=""), "sender": ""}],
        lambda _address: known,
        tokens,
        lambda _message: HandedOn("unknown", ""),
    )
    assert [check["verdict"] for check in made["checks"] if check["id"] == "D9"] == ([split] if split else [])
    assert [item["verdict"] for item in made["messages"] if item["id"] == "D8"] == [landed]
    assert made["verdict"] == ("fail" if "fail" in (split, landed) else "pass")


@pytest.mark.parametrize(
    "recipient",
    [
        "postmaster",
        "<Postmaster>",
        "PoStMaStEr@example.org",
        '"postmaster"@example.org',
        '<"post\\master"@example.org>',
        "<@x.example:postmaster@example.org>",
        "postmaster@[192.0.2.1]",
        "postmaster@[IPv6:2001:db8::1]",
    ],
)
def test_every_form_of_the_address_is_the_same_role(recipient):
    assert proof.role_of(recipient) == "postmaster"


def test_a_broken_role_address_besides_postmaster_only_warns():
    problem = {"id": "R3", "verdict": "fail", "message": "no account ghost", "where": "", "remedy": ""}
    broken = {"abuse@example.org": expansion("abuse@example.org", "fail", "error", "ghost", [problem])}
    result = proof.resolves(ORG, ["abuse"], lambda address: broken.get(address, expansion(address)))
    assert result["verdict"] == "warn"
    assert [item["id"] for item in result["addresses"][1]["problems"]] == ["R3", "R11"]


def test_a_domain_that_is_not_served_fails():
    result = proof.resolves(Place("example.net", "none"), [], expansion)
    assert result["verdict"] == "fail"
    assert "does not serve example.net" in result["addresses"][0]["problems"][0]["message"]


@pytest.mark.parametrize(
    ("check_id", "verdict", "whole"),
    [
        ("A1", "fail", "fail"),
        ("A16", "fail", "warn"),
        ("N3", "fail", "warn"),
        ("A1", "inconclusive", "inconclusive"),
    ],
)
def test_a_broken_must_fails_the_domain_and_a_broken_should_warns(check_id, verdict, whole):
    checks = [{"id": "A1", "verdict": "pass", "domain": "example.org"}]
    checks += [{"id": check_id, "verdict": verdict, "domain": "example.org"}]
    checks += [{"id": "A1", "verdict": "fail", "domain": "example.net"}]
    assert proof.accepts(ORG, checks)["verdict"] == whole


@pytest.mark.parametrize(
    ("command", "code", "whole", "reason"),
    [
        ('RCPT TO:<"postmaster"@example.org>', 501, "pass", "its parser"),
        ('RCPT TO:<"postmaster"@example.org>', 550, "fail", ""),
        ("RCPT TO:<postmaster@example.org>", 501, "fail", ""),
    ],
)
def test_a_known_limit_of_the_mta_stays_a_fail_and_does_not_count(command, code, whole, reason):
    check = {"id": "A4", "verdict": "fail", "domain": "example.org", "command": command, "code": code, "text": "no"}
    result = proof.accepts(ORG, [check], [proof.Limit("A4", '<"', "501", "its parser")])
    assert result["verdict"] == whole
    assert [(check["verdict"], check["limit"]) for check in result["checks"]] == [("fail", reason)]
    domains = [proof.domain_result(ORG, {"accepts": result})]
    assert proof.limitations(domains) == ([f"A4: {reason}"] if reason else [])


def test_a_host_that_its_mta_relays_for_does_not_call_that_an_open_relay():
    checks = [{"id": row, "verdict": "fail", "domain": "example.org"} for row in ("N1", "N3", "N4")]
    assert [check["verdict"] for check in proof.own_view(checks)] == ["skipped", "fail", "skipped"]


def test_a_layer_that_was_not_asked_for_does_not_count():
    result = proof.domain_result(ORG, {"resolves": {"verdict": "pass"}})
    assert (result["verdict"], result["lands"]["verdict"]) == ("pass", "skipped")


def test_no_evidence_at_all_is_no_pass():
    assert proof.domain_result(ORG, {"accepts": proof.accepts(ORG, [])})["verdict"] == "skipped"


def domains_with(**verdicts):
    layers = {layer: {"verdict": verdict} for layer, verdict in verdicts.items()}
    return [proof.domain_result(ORG, layers)]


def problem(row, verdict, message="a message"):
    return {"id": row, "verdict": verdict, "message": message, "where": "", "remedy": ""}


@pytest.mark.parametrize(
    ("problems", "of_abuse", "said"),
    [
        (
            [problem("R6", "warn")],
            [],
            "reaches a person at all of example.org; but R6 warn: postmaster@example.org: a me",
        ),
        (
            [problem("R6", "warn"), problem("R3", "fail")],
            [],
            "example.org; R3 fail: postmaster@example.org: a message (and",
        ),
        (
            [problem("R8", "inconclusive"), problem("R3", "fail")],
            [],
            "org; R3 fail: postmaster@example.org: a message (and 1",
        ),
        (
            [problem("R6", "warn"), problem("R8", "inconclusive")],
            [],
            "R8 inconclusive: postmaster@example.org: a message (a",
        ),
        (
            [problem("R8", "inconclusive")],
            [problem("R3", "fail")],
            "org; R8 inconclusive: postmaster@example.org: a messa",
        ),
    ],
)
def test_the_summary_names_the_worst_finding_and_how_many_there_are(problems, of_abuse, said):
    def resolved(address):
        found = of_abuse if address.startswith("abuse") else problems
        verdicts = [item["verdict"] for item in found]
        return expansion(address, add_up(verdicts) if verdicts else "pass", "mailbox", "/var/mail/alice", found)

    layers = {"resolves": proof.resolves(ORG, ["abuse"], resolved)}
    domains = [proof.domain_result(ORG, {**layers, "accepts": {"verdict": "pass"}, "lands": {"verdict": "pass"}})]
    assert said in proof.summary(domains[0]["verdict"], domains, True)


def test_the_summary_names_the_first_thing_to_mend():
    ghost = {
        "id": "R3",
        "verdict": "fail",
        "message": "no account ghost",
        "where": "/etc/aliases:3",
        "remedy": "mend",
    }
    layer = proof.resolves(ORG, [], lambda address: expansion(address, "fail", "error", "ghost", [ghost]))
    domains = [proof.domain_result(ORG, {"resolves": layer})]
    assert proof.summary("fail", domains, True) == (
        "Mail for postmaster is not proven at example.org (not looked at: accepts, lands); "
        "R3 fail: postmaster@example.org: no account ghost (/etc/aliases:3). To mend it: mend"
    )


@pytest.mark.parametrize(
    ("stranger", "verdicts", "said"),
    [
        (True, {"resolves": "pass", "accepts": "pass", "lands": "pass"}, "reaches a person at all of example.org."),
        (False, {"resolves": "pass", "accepts": "pass", "lands": "pass"}, "which is not a stranger's view)."),
        (True, {"resolves": "pass"}, "Nothing speaks against mail for postmaster at all of example.org (not looked at"),
        (True, {"resolves": "warn", "accepts": "pass", "lands": "pass"}, "reaches a person at all of example.org."),
        (
            True,
            {"resolves": "pass", "accepts": "exempt", "lands": "pass"},
            "its own mail for postmaster reaches a person",
        ),
        (
            True,
            {"resolves": "pass", "accepts": "exempt", "lands": "exempt"},
            "nothing speaks against mail for postmaster",
        ),
        (True, {"resolves": "fail", "accepts": "exempt", "lands": "exempt"}, "is not proven at example.org"),
    ],
)
def test_the_summary_claims_no_more_than_was_looked_at(stranger, verdicts, said):
    domains = domains_with(**verdicts)
    assert said in proof.summary(domains[0]["verdict"], domains, stranger)


@pytest.mark.parametrize(
    ("resolved", "landed", "whole"),
    [("pass", "pass", "exempt"), ("pass", "fail", "fail"), ("warn", "pass", "warn"), ("fail", "exempt", "fail")],
)
def test_a_host_that_takes_no_mail_is_exempt_unless_its_own_is_lost(resolved, landed, whole):
    (domain,) = domains_with(resolves=resolved, accepts="exempt", lands=landed)
    assert domain["verdict"] == whole


def test_a_server_that_nobody_else_can_ask_is_exempt_at_each_place():
    places = [ORG, Place("[192.0.2.1]", "literal"), Place(proof.BARE, "bare")]
    checks = proof.unheard(places)
    assert [check["id"] for check in checks] == ["A1", "A12", "A2"]
    assert [proof.accepts(place, checks)["verdict"] for place in places] == ["exempt"] * 3


def test_a_host_that_is_meant_to_take_mail_is_not_exempt():
    checks = proof.not_exempt(proof.unheard([ORG]))
    assert proof.accepts(ORG, checks)["verdict"] == "fail"
    assert "is meant to take mail" in checks[0]["message"]


def test_a_queue_that_moves_is_no_evidence_that_mail_lands():
    found = proof.lands(ORG, [], expansion, {}, lambda _message: None, checks=[proof.moving([], [])])
    assert (found["verdict"], [check["verdict"] for check in found["checks"]]) == ("skipped", ["pass"])


@pytest.mark.parametrize(
    ("stopped", "paused", "said", "remedy"),
    [
        (["process 7 (qmgr -l -t unix -u)"], [], "process 7 (qmgr -l -t unix -u) is stopped", "kill -CONT"),
        ([], ["MDA", "MTA"], "MDA is paused; MTA is paused", "smtpctl resume"),
        (["process 7 (smtpd)"], ["MTA"], "process 7 (smtpd) is stopped; MTA is paused", "kill -CONT, smtpctl resume"),
    ],
)
def test_a_queue_that_does_not_move_fails_though_no_message_was_sent(stopped, paused, said, remedy):
    landed = proof.lands(ORG, [], expansion, {}, lambda _message: None, checks=[proof.moving(stopped, paused)])
    domain = proof.domain_result(
        ORG, {"resolves": {"verdict": "pass"}, "accepts": {"verdict": "pass"}, "lands": landed}
    )
    assert domain["verdict"] == "fail"
    (line,) = proof.findings([domain, domain])
    assert line.startswith(f"D10 fail: the queue: mail is accepted and not delivered: {said}. To mend it:")
    assert f"({remedy})" in line


REFUSED = {"verdict": "inconclusive", "command": "connect", "code": 0, "text": "Connection refused"}


def checked(*checks):
    """A domain of which these checks were made."""
    made = [
        {**Check(row, "pass", "postmaster@example.org", domain="example.org").as_dict(), **more} for row, more in checks
    ]
    parts = {"resolves": {"verdict": "pass"}, "accepts": proof.accepts(ORG, made), "lands": {"verdict": "pass"}}
    return proof.domain_result(ORG, parts)


def test_what_does_not_answer_is_told_once():
    found = proof.findings(
        [checked(("A1", REFUSED), ("A4", REFUSED), ("N1", REFUSED), ("A6", {**REFUSED, "text": "reset"}))]
    )
    assert len(found) == 2
    assert found[0].startswith("A1 inconclusive: postmaster@example.org")
    assert found[0].endswith(" (2 more for the same reason)")
    assert "reset" in found[1]
    assert "more for" not in found[1]


def test_what_another_program_says_at_the_port_is_no_finding_on_the_mta():
    other = {"verdict": "fail", "message": "port 25 belongs to python3"}
    domain = checked(("N1", {"verdict": "fail", "message": "an open relay"}), ("L1", other), ("A4", REFUSED))
    assert [line.split(":")[0] for line in proof.findings([domain])] == ["L1 fail"]
    assert domain["verdict"] == "fail"


@pytest.mark.parametrize(
    ("row", "address", "begins"),
    [
        ("A19", "", "A19 warn: the certificate"),
        ("A18", "", "A18 fail: the certificate"),
        ("A1", "postmaster@example.org", "A1 fail: postmaster@example.org: the certificate"),
    ],
)
def test_a_finding_says_what_it_counts_and_where_it_was_found(row, address, begins):
    wrong = {"verdict": "fail", "message": "the certificate", "address": address, "command": "STARTTLS", "code": 220}
    (line,) = proof.findings([checked((row, wrong))])
    assert line == f"{begins} (STARTTLS -> 220)"


def test_what_says_nothing_leaves_no_blanks():
    silent = {"verdict": "inconclusive", "message": "no answer", "command": "connect", "code": 0, "text": ""}
    (line,) = proof.findings([checked(("A1", silent))])
    assert line.endswith(": no answer (connect)")


def test_what_a_server_says_of_which_the_owner_is_not_sure_is_a_finding():
    unsure = {"verdict": "inconclusive", "message": "port 25 belongs to another instance"}
    domain = checked(("L1", unsure), ("N1", {"verdict": "fail", "message": "an open relay"}))
    assert [line.split(":")[0] for line in proof.findings([domain])] == ["N1 fail", "L1 inconclusive"]


NOBODY = {"id": "R3", "verdict": "fail", "message": "no account ghost", "where": "/etc/aliases:3", "remedy": "mend"}
ELSEWHERE = {**NOBODY, "where": "/etc/aliases:9"}


def proven(resolves, fate, kind="error", forms=("postmaster@example.org",)):
    """A domain with the lands layer of messages to these forms, none of which is found."""
    known = {
        item["address"]: {**item, "destinations": [{"kind": kind, "value": BOX}]} for item in resolves["addresses"]
    }
    sent = [message(recipient=form) for form in forms]
    landed = proof.lands(ORG, sent, known.__getitem__, {}, lambda _message: HandedOn(*fate))
    return proof.domain_result(ORG, {"resolves": resolves, "accepts": {"verdict": "pass"}, "lands": landed})


@pytest.mark.parametrize(
    ("roles", "problems", "more"),
    [([], [NOBODY], [1]), (["abuse"], [NOBODY], [4]), (["abuse"], [NOBODY, ELSEWHERE], [4, 1])],
)
def test_one_cause_is_one_line_however_many_addresses_and_messages_it_breaks(roles, problems, more):
    resolved = proof.resolves(ORG, roles, lambda address: expansion(address, "fail", problems=problems))
    forms = [f"{role}@example.org" for role in ("postmaster", *roles)]
    found = proof.findings([proven(resolved, ("bounced", "unknown user"), forms=forms)])
    said = "R3 fail: postmaster@example.org: no account ghost ({}). To mend it: mend ({} more for the same reason)"
    assert found == [said.format(problem["where"], number) for problem, number in zip(problems, more)]


@pytest.mark.parametrize(
    ("fate", "remedy"),
    [
        (("sent", "delivered to maildir"), f"look where the MTA has put it (its log): that is not {BOX}"),
        (("deferred", "Permission denied"), f"let the MTA write to {BOX} (owner, mode, room, quota), and flush"),
        (("deferred", "failed to lock mailbox"), "look at the queue, and prove it again when that is empty"),
        (("queued", ""), "look at the queue, and prove it again when that is empty"),
    ],
)
def test_a_message_that_did_not_land_says_what_can_be_done(fate, remedy):
    resolved = proof.resolves(ORG, [], expansion)
    forms = ["postmaster@example.org", "Postmaster@EXAMPLE.org"]
    (line,) = proof.findings([proven(resolved, fate, "mailbox", forms)])
    assert f". To mend it: {remedy}" in line
    assert line.endswith(" (1 more for the same reason)")
