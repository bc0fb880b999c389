# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A filter of contents keeps spam from everybody but postmaster and abuse, and nobody gets it on their behalf."""

from __future__ import annotations

import pytest
from conftest import wait_until

# what every filter takes for spam, in a body of its own
SPAM = "\nXJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"

FORMS = [
    "postmaster@{L}",
    "postmaster@{V}",
    "postmaster@{H}",
    "Postmaster",
    "POSTMASTER",
    "PoStMaStEr@{L}",
    '"postmaster"@{L}',
    '"post\\master"@{L}',
    "@x.example:postmaster@{L}",
    "postmaster@{literal}",
    "postmaster@{literal6}",
    "postmaster+tag@{L}",
    "abuse@{L}",
    "ABUSE@{V}",
]
# An MTA may refuse some of these forms; whoever is taken must not get spam for postmaster's sake.
OTHERS = [
    "bob@{L}",
    "bob@{H}",
    "bob",
    '"bob"@{L}',
    "bob+tag@{L}",
    "bob+..tag@{L}",
    "bob(comment)@{L}",
    "b\\ob@{L}",
    "bob%{L}",
    "<bob@{L}>",
    "@x.example,@y.example:bob@{L}",
    "bob@{literal}",
]


def wait_for_filter(lab):
    """Until rspamd looks at mail. While it starts mail is taken as it comes."""
    asked = "import urllib.request; urllib.request.urlopen('http://127.0.0.1:11333/ping')"
    host = lab.runner.get_host(lab.name)
    wait_until(lambda: host.run("python3 -c %s", asked).rc == 0)


@pytest.fixture(scope="module", autouse=True)
def filtering(lab):
    wait_for_filter(lab)


@pytest.fixture(scope="module")
def spam(lab):
    """Spam to each form of the role addresses, by itself."""
    sent = lab.deliver([("EHLO", "{far}", [form]) for form in FORMS], headers=SPAM)
    lab.settle(lab.name)
    landed = lab.tokens(lab.name, "alice")
    return {form: (*replies[0], landed[token]) for form, (token, replies) in zip(FORMS, sent, strict=True)}


@pytest.mark.parametrize("form", FORMS)
def test_spam_for_a_role_address_lands(lab, spam, form):
    code, text, landed = spam[form]
    refusal = lab.facts["lab_refuses"].get(form)
    assert f"{code} {text}".startswith(refusal or "250"), text
    assert landed == (0 if refusal else 1)


def test_spam_for_postmaster_at_a_relayed_domain_is_the_primary_s(lab):
    ((token, replies),) = lab.deliver([("EHLO", "{far}", ["postmaster@{R}"])], headers=SPAM)
    lab.settle(lab.name, lab.primary)
    assert replies[0][0] == 250, replies
    assert lab.count(lab.primary, "alice", token) == 1


def test_spam_for_both_role_addresses_lands(lab):
    ((token, replies),) = lab.deliver([("EHLO", "{far}", ["abuse@{V}", "postmaster"])], headers=SPAM)
    lab.settle(lab.name)
    assert [code for code, _text in replies] == [250, 250]
    assert lab.count(lab.name, "alice", token) >= 1


@pytest.mark.parametrize("sender", ["{far}", "", "bob@{L}"])
def test_spam_for_somebody_else_is_refused(lab, sender):
    ((token, ((code, text),)),) = lab.deliver([("EHLO", sender, ["bob@{L}"])], headers=SPAM)
    lab.settle(lab.name)
    assert code // 100 == 5, text
    assert lab.count(lab.name, "bob", token) == 0


@pytest.mark.parametrize("role", ["postmaster", "abuse@{V}"])
def test_nobody_gets_spam_because_postmaster_is_a_recipient_too(lab, role):
    mails = [("EHLO", "{far}", recipients) for other in OTHERS for recipients in ([role, other], [other, role])]
    sent = lab.deliver(mails, headers=SPAM)
    lab.settle(lab.name)
    text = lab.runner.get_host(lab.name).run("sudo cat /var/mail/bob").stdout
    assert not [
        recipients for (token, _replies), (*_sender, recipients) in zip(sent, mails, strict=True) if token in text
    ]
    assert "postmaster takes it where nobody else is a recipient" in sent[0][1][0][1]


def test_postmaster_s_own_spam_lands_beside_a_recipient_that_is_refused(lab):
    pairs = [["postmaster", "nosuch@{L}"], ["nosuch@{L}", "abuse@{V}"]]
    mails = [("EHLO", "{far}", recipients) for recipients in pairs]
    sent = lab.deliver(mails, headers=SPAM)
    lab.settle(lab.name)
    assert [lab.count(lab.name, "alice", token) for token, _replies in sent] == [1, 1], sent


def test_a_message_is_judged_by_its_own_recipients(lab):
    mails = [("EHLO", "{far}", [recipient]) for recipient in ("bob@{L}", "postmaster", "bob@{L}", "postmaster@{V}")]
    sent = lab.deliver(mails, headers=SPAM)
    lab.settle(lab.name)
    assert [lab.count(lab.name, "alice", token) for token, _replies in sent] == [0, 1, 0, 1]
    assert [lab.count(lab.name, "bob", token) for token, _replies in sent] == [0] * 4


def test_a_clean_message_reaches_everybody_and_has_no_mark(lab):
    ((token, replies),) = lab.deliver([("EHLO", "{far}", ["bob@{L}", "carol@{L}", "postmaster@{L}"])])
    lab.settle(lab.name)
    assert [code for code, _text in replies] == [250, 250, 250], replies
    assert [lab.count(lab.name, account, token) for account in ("alice", "bob", "carol")] == [1, 1, 1]
    assert [message["X-Other-Recipients"] for message in lab.messages(lab.name, "bob", token)] == [None]


@pytest.mark.parametrize("client", ["listed", "the host itself"])  # the first by molecule/spam/converge.yml
def test_mail_from_a_trusted_host_is_not_judged(lab, client):
    how = {"client": client} if client == "listed" else {"client": lab.name, "server": "127.0.0.1"}
    ((token, replies),) = lab.deliver([("EHLO", "{far}", ["bob@{L}"])], headers=SPAM, **how)
    lab.settle(lab.name)
    assert replies[0][0] == 250, replies
    assert lab.count(lab.name, "bob", token) == 1


@pytest.fixture
def without_filter(lab):
    """The host with rspamd stopped, until rspamd looks at mail again."""
    host = lab.runner.get_host(lab.name)
    # it would take its time to stop, and in a container systemd may not notice that it is gone
    stop = "systemctl stop --no-block rspamd && systemctl kill --signal=KILL rspamd && systemctl daemon-reload"
    host.check_output("sudo sh -c %s", stop)
    wait_until(lambda: host.run("systemctl is-active rspamd").rc)
    yield
    host.check_output("sudo systemctl start rspamd")
    wait_for_filter(lab)


@pytest.mark.usefixtures("without_filter")
def test_without_its_daemon_mail_is_taken_as_it_comes(lab):
    ((token, replies),) = lab.deliver([("EHLO", "{far}", ["bob@{L}", "postmaster"])])
    lab.settle(lab.name)
    code = lab.facts.get("lab_without_rspamd", 250)
    assert [reply[0] for reply in replies] == [code, code], replies
    landed = 1 if code == 250 else 0
    assert [lab.count(lab.name, account, token) for account in ("alice", "bob")] == [landed, landed]
