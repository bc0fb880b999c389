# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every defence keeps out what it is for, and none keeps out mail for postmaster and abuse, however bad the client."""

from __future__ import annotations

import secrets

import pytest
from test_mail import ACCEPTED

BAD_HELO = "unqualified"
# Of a domain that does not exist, of one that takes no mail, and of one that nobody may send mail for.
BAD_SENDERS = ["sender@nosuch.invalid", "sender@nullmx.test", "sender@spf.test"]

# Defence, client, by which address of the server, HELO (empty: its own name), envelope sender
OFFENCES = [
    ("blocklists", "listed", "ipv4", "", "{far}"),
    ("blocklists over IPv6", "listed", "ipv6", "", "{far}"),
    ("helo", "stranger", "ipv4", BAD_HELO, "{far}"),
    ("sender", "stranger", "ipv4", "", "sender@nosuch.invalid"),
    ("null mx", "stranger", "ipv4", "", "sender@nullmx.test"),
    ("spf", "stranger", "ipv4", "", "sender@spf.test"),
]
FORMS = [(row, recipient) for row, greeting, _sender, recipient in ACCEPTED if (row, greeting) != ("A14", "HELO")]


@pytest.fixture(scope="module")
def worst(lab):
    """Each form of the role addresses, and another user, from a listed client with a bad HELO and each bad sender."""
    mails = [(sender, recipient) for sender in BAD_SENDERS for recipient in (*(form[1] for form in FORMS), "bob@{L}")]
    sent = lab.send([("EHLO", *mail) for mail in mails], client="listed", helo=BAD_HELO)
    lab.settle(lab.name)
    landed = {account: lab.tokens(lab.name, account) for account in ("alice", "bob")}
    return {
        mail: (code, text, landed["bob" if mail[1] == "bob@{L}" else "alice"][token])
        for mail, (token, code, text) in zip(mails, sent, strict=True)
    }


@pytest.mark.parametrize("sender", BAD_SENDERS)
@pytest.mark.parametrize("form", dict.fromkeys(FORMS), ids=lambda form: f"{form[0]} {form[1]}")
def test_a8_a9_mail_for_postmaster_lands_from_the_worst_client(lab, worst, form, sender):
    code, text, landed = worst[sender, form[1]]
    refusal = lab.facts["lab_refuses"].get(form[1])
    assert f"{code} {text}".startswith(refusal or "250"), text
    assert landed == (0 if refusal else 1)


@pytest.mark.parametrize("sender", BAD_SENDERS)
def test_from_the_worst_client_the_same_mail_for_another_user_does_not(worst, sender):
    code, text, landed = worst[sender, "bob@{L}"]
    assert code // 100 == 5, text
    assert landed == 0


@pytest.mark.parametrize("offence", OFFENCES, ids=lambda offence: offence[0])
def test_each_defence_keeps_out_mail_for_others_and_for_them_alone(lab, offence):
    name, client, address, helo, sender = offence
    server = lab.names[address]
    ((token, (bob, postmaster)),) = lab.deliver(
        [("EHLO", sender, ["bob@{L}", "postmaster@{L}"])], client=client, helo=helo, server=server
    )
    lab.settle(lab.name)
    up = (name if ":" in server else name.partition(" over ")[0]) in lab.facts["lab_defences"]
    assert postmaster[0] == 250, postmaster
    assert bob[0] // 100 == (5 if up else 2), bob
    assert [lab.count(lab.name, account, token) for account in ("alice", "bob")] == [1, 0 if up else 1]


def test_a10_mail_for_postmaster_from_a_sender_whom_nobody_has_seen_lands_at_once(lab):
    ((token, code, text),) = lab.send([("EHLO", secrets.token_hex(6) + "@{F}", "postmaster@{L}")])
    lab.settle(lab.name)
    assert code == 250, text
    assert lab.count(lab.name, "alice", token) == 1


def test_a_good_client_reaches_everybody(lab):
    ((token, code, text),) = lab.send([("EHLO", "{far}", "bob@{L}")])
    lab.settle(lab.name)
    assert code == 250, text
    assert lab.count(lab.name, "bob", token) == 1


@pytest.mark.parametrize("address", ["ipv4", "ipv6"])
@pytest.mark.parametrize("recipient", ["postmaster", "postmaster@{L}", "bob@{L}"])
def test_a_blocked_client_is_told_why_and_until_when(lab, recipient, address):
    mail = ("EHLO", "sender@" + lab.fqdn("blocked"), recipient)
    ((_token, code, text),) = lab.send([mail], client="blocked", server=lab.names[address])
    assert code == 554
    assert "blocked until 2999-12-31: floods" in text
