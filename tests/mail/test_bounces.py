# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is told when mail cannot be delivered after it was accepted, and what no mail may be answered with.

A message is known by its token, which stands in its header, and by a word that stands only in its body. The far mail
host shows what leaves a mail host, the mailboxes show what stays.
"""

from __future__ import annotations

import contextlib
import email
import re
import secrets
import shlex

import pytest

AUTOMATIC = "Auto-Submitted: auto-generated\n"
# Name: greeting, envelope sender, recipient, further headers. F is the far mail host; it refuses what `gone` leads to.
MAILS = {
    "lost": ("EHLO", "{who}.lost@{F}", "gone@{V}", ""),
    "lost late": ("EHLO", "{who}.late@{F}", "gone.late@{V}", ""),
    "headers only": ("EHLO", "{who}.hdrs@{F} RET=HDRS", "gone@{V}", ""),
    "lost, null sender": ("EHLO", "", "gone@{V}", ""),
    "lost, dead sender": ("EHLO", "refused+{who}@{F}", "gone.late@{V}", ""),
    "unknown": ("EHLO", "{who}.forged@{F}", "nosuch@{L}", ""),
    "unknown, virtual": ("EHLO", "{who}.forged@{F}", "nosuch@{V}", ""),
    "list": ("EHLO", "{who}.list@{F}", "sales@{V}", ""),
    "away": ("EHLO", "{who}.away@{F}", "away@{V}", ""),
    "away, null sender": ("EHLO", "", "away@{V}", ""),
    "plain": ("EHLO", "{who}.plain@{F}", "postmaster@{L}", ""),
    "old": ("HELO", "{who}.old@{F}", "postmaster@{L}", ""),
    "tls": ("STARTTLS", "{who}.tls@{F}", "postmaster@{L}", ""),
    "null sender": ("EHLO", "", "postmaster@{V}", ""),
    "automatic": ("EHLO", "{who}.automatic@{F}", "postmaster@{V}", AUTOMATIC),
}
LOST = ("lost", "lost late", "headers only", "lost, null sender", "lost, dead sender")
RETURNED = {"lost": "refused", "lost late": "refused-data", "headers only": "refused"}


class Sent:
    """All messages at once, and what there is of them when the queues are empty."""

    def __init__(self, lab, names=tuple(MAILS), rest=None):
        self.lab = lab
        who = secrets.token_hex(6)
        lab.start_far_host()
        self.senders = {name: mail[1].format(who=who, **lab.names).split(" ")[0] for name, mail in MAILS.items()}
        self.replies = {}
        for headers in ("", AUTOMATIC):
            mails = {name: mail for name, mail in MAILS.items() if name in names and mail[3] == headers}
            if not mails:
                continue
            asked = [(greeting, sender.replace("{who}", who), to) for greeting, sender, to, _headers in mails.values()]
            self.replies.update(zip(mails, lab.send(asked, headers=headers), strict=True))
        (rest or lab.settle)(lab.name)
        asked_for = lab.runner.run_module(lab.name, "ansible.builtin.debug", "var=mta_postmaster_notices")
        self.copies = len(asked_for["mta_postmaster_notices"])
        self.kept = lab.kept()
        self.postmaster = lab.messages(lab.name, "alice", "")

    def token(self, name):
        return self.replies[name][0]

    def word(self, name):
        return self.lab.body_word(self.token(name))

    def names(self, name):
        """What the lost recipient of a message may be called: as the sender wrote it, and where it leads to."""
        return [MAILS[name][2].format(**self.lab.names), f"{RETURNED[name]}@{self.lab.helo}"]

    def returned(self, name):
        """What the far mail host has got for the sender of a message, or with its token."""
        sender = self.senders[name]
        return [
            mail
            for mail in self.kept
            if self.token(name) in mail["text"] or sender.lower() in map(str.lower, mail["recipients"])
        ]

    def landed(self, name):
        """The messages in postmaster's mailbox that have the token of a message, or its sender, anywhere."""
        signs = [sign for sign in (self.token(name), self.senders[name]) if sign]
        return [message for message in self.postmaster if any(sign in message.as_string() for sign in signs)]


@pytest.fixture(scope="module")
def sent(lab):
    return Sent(lab)


def test_the_far_host_takes_refuses_and_defers(lab):
    lab.start_far_host()
    mails = [("EHLO", "{far}", to + "@{F}") for to in ("anybody", "refused", "refused-data", "deferred")]
    replies = lab.send(mails, server=lab.helo)
    assert [code for _token, code, _text in replies] == [250, 550, 554, 451]
    assert [[mail["recipients"] for mail in lab.kept() if token in mail["text"]] for token, *_reply in replies] == [
        [["anybody@" + lab.helo]],
        [],
        [],
        [],
    ]


@pytest.mark.parametrize("name", RETURNED)
def test_b1_the_sender_is_told_by_a_dsn_from_nobody_that_names_the_recipient(sent, name):
    (mail,) = sent.returned(name)
    dsn = email.message_from_string(mail["text"])
    assert (mail["sender"], mail["recipients"]) == ("", [sent.senders[name]])
    form = (dsn.get_content_type(), dsn.get_param("report-type"))
    assert (form == ("multipart/report", "delivery-status")) == sent.lab.can("B1"), form
    (status,) = [part for part in dsn.walk() if part.get_content_type() == "message/delivery-status"]
    said = "".join(part.as_string() for part in status.get_payload())
    names = "|".join(map(re.escape, sent.names(name)))
    assert re.search(rf"^Final-Recipient: *rfc822; *<?({names})", said, re.MULTILINE | re.IGNORECASE)
    assert re.search(r"^Action: *failed", said, re.MULTILINE | re.IGNORECASE)
    assert re.search(r"^Status: *5\.", said, re.MULTILINE | re.IGNORECASE)
    # B5: postmaster there is asked for by test_mail.py
    assert re.search(rf"^Reporting-MTA: *dns; *{sent.lab.names['H']}", said, re.MULTILINE | re.IGNORECASE)
    assert sent.token(name) in mail["text"]


def test_e2_mail_for_a_domain_that_takes_none_comes_back_at_once(lab):
    """Refused while the sender is there to hear it, or returned with a status that says never."""
    lab.start_far_host()
    sender = f"{secrets.token_hex(6)}.nullmx@{lab.helo}"
    ((_token, code, text),) = lab.send([("EHLO", sender, "nowhere@{V}")])
    lab.come_to_rest(lab.name)
    returned = [mail["text"] for mail in lab.kept() if sender in mail["recipients"]]
    statuses = re.findall(r"^Status: *(\S+)", "".join(returned), re.MULTILINE | re.IGNORECASE)
    kept = [status[:2] for status in statuses] == ["5."] if code == 250 else code // 100 == 5
    assert kept == lab.can("E2"), (code, text, statuses)


def test_b2_nobody_is_told_where_there_is_no_sender(sent):
    assert sent.returned("lost, null sender") == []


@pytest.mark.parametrize("name", ["lost, null sender", "lost, dead sender"])
def test_b2_a_notice_that_postmaster_cannot_get_does_not_circle(lab, name):
    host, rebuild = lab.runner.get_host(lab.name), lab.rebuild()
    host.check_output("sudo sed -i.good %s /etc/aliases", f"s/^postmaster:.*/postmaster: refused@{lab.helo}/")
    try:
        host.check_output("sudo " + shlex.join(rebuild or ["true"]))
        sent = Sent(lab, [name], lab.come_to_rest)
    finally:
        host.check_output("sudo mv /etc/aliases.good /etc/aliases && sudo touch /etc/aliases")
        host.check_output("sudo " + shlex.join(rebuild or ["true"]))
    assert sent.returned(name) == sent.landed(name) == []


@pytest.mark.parametrize("name", ["lost, null sender", "lost, dead sender"])
def test_b3_postmaster_gets_a_notice_of_what_can_go_back_to_nobody(sent, name):
    """Where copies of bounces are asked for, one more may come."""
    assert (len(sent.landed(name)) in (1, 1 + sent.copies)) == sent.lab.can("B3")


def test_b4_a_sender_who_wants_headers_only_gets_these(sent):
    (mail,) = sent.returned("headers only")
    assert (sent.word("headers only") not in mail["text"]) == sent.lab.can("B4")


@pytest.mark.parametrize("name", RETURNED)
def test_b4_postmaster_gets_a_copy_of_a_bounce_only_where_that_is_asked_for(sent, name):
    assert len(sent.landed(name)) == sent.copies


@pytest.mark.parametrize("name", LOST)
def test_b4_no_word_of_a_body_is_in_any_mailbox(sent, name):
    lab = sent.lab
    found = lab.runner.get_host(lab.name).check_output("sudo grep -rc %s /var/mail || true", sent.word(name))
    assert {line.rpartition(":")[2] for line in found.splitlines()} == {"0"}


def test_the_words_of_bodies_are_found_where_they_may_be(sent):
    """The control of the test before: what is sent to postmaster is there with its body."""
    (message,) = sent.landed("plain")
    assert sent.word("plain") in message.as_string()


@pytest.mark.parametrize("name", ["unknown", "unknown, virtual"])
def test_b6_an_unknown_user_is_refused_at_once_and_a_forged_sender_hears_nothing(sent, name):
    _token, code, text = sent.replies[name]
    assert 500 <= code < 600, text
    assert sent.returned(name) == []


@pytest.mark.parametrize(("name", "protocol"), [("plain", "ESMTP"), ("old", "SMTP"), ("tls", "ESMTPS")])
def test_d5_the_trace_says_how_the_message_came(sent, name, protocol):
    _token, code, text = sent.replies[name]
    assert (code == 250) == (name != "tls" or sent.lab.can("D5")), text
    if code == 250:
        (message,) = sent.landed(name)
        assert re.search(r"\bwith (\w+)", message.get_all("Received")[0], re.IGNORECASE).group(1).upper() == protocol


@pytest.mark.parametrize("account", ["alice", "bob"])
def test_d6_the_targets_of_a_list_see_the_sender_as_it_was(sent, account):
    lab = sent.lab
    (message,) = lab.messages(lab.name, account, sent.token("list"))
    assert message.get_all("Return-Path") == [f"<{sent.senders['list']}>"]


@pytest.mark.parametrize("name", ["away", "away, null sender"])
def test_d6_a_target_elsewhere_sees_the_sender_as_it_was(sent, name):
    (mail,) = [mail for mail in sent.kept if sent.token(name) in mail["text"]]
    assert (mail["sender"], mail["recipients"]) == (sent.senders[name], ["away@" + sent.lab.helo])


@pytest.mark.parametrize("name", ["null sender", "automatic"])
def test_d7_a_message_of_a_machine_lands_and_is_not_answered(sent, name):
    assert len(sent.landed(name)) == 1
    assert sent.returned(name) == []


@contextlib.contextmanager
def mutant(lab, path, sed):
    """The mail host with other lines in one of its files."""
    host = lab.runner.get_host(lab.name)
    host.check_output("sudo sed -i.good -e %s %s", sed, path)
    try:
        assert host.run("sudo cmp %s %s.good", path, path).rc == 1
        lab.restart()
        yield
    finally:
        host.check_output("sudo mv %s.good %s", path, path)
        lab.restart()


def broken(lab, what, name):
    """Whether a row can be broken here, and what there is of a message that is sent while it is."""
    change = lab.facts["bounces_mutants"].get(what)
    with mutant(lab, **change) if change else contextlib.nullcontext():
        return bool(change), Sent(lab, [name])


def test_a_body_in_a_notice_would_be_found(lab):
    can, sent = broken(lab, "a body in a notice", "lost, null sender")
    assert any(sent.word("lost, null sender") in message.as_string() for message in sent.postmaster) == can


def test_a_bounce_to_a_forged_sender_would_be_found(lab):
    can, sent = broken(lab, "a bounce to a forged sender", "unknown")
    assert bool(sent.returned("unknown")) == can


@pytest.mark.parametrize("name", ["null sender", "automatic"])
def test_an_automatic_reply_would_be_found(lab, name):
    """The mutant: a .forward file that answers everything."""
    host = lab.runner.get_host(lab.name)
    answer = f'\\alice, "|/usr/sbin/sendmail -i answered@{lab.helo}"\n'
    host.check_output("printf %%s %s | sudo -u alice sh -c 'umask 022; cat >/home/alice/.forward'", answer)
    try:
        sent = Sent(lab, [name])
    finally:
        host.check_output("sudo rm /home/alice/.forward")
    assert sent.returned(name)
