# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real mail from a stranger, sent by the standard library's client, and read in the mailboxes.

The collection's own modules take no part in this: what they claim is shown by other means.
"""

from __future__ import annotations

import pathlib

import pytest
from conftest import wait_until

LOCKER = pathlib.Path(__file__).parents[1] / "hostile" / "locker.py"

# Row of the catalogue, greeting, envelope sender, recipient. L, V, H: a local domain, a virtual one, the host name.
ACCEPTED = [
    ("A1", "EHLO", "{far}", "postmaster@{L}"),
    ("A1", "EHLO", "{far}", "postmaster@{V}"),
    ("A1", "EHLO", "{far}", "postmaster@{H}"),
    ("A2", "EHLO", "{far}", "Postmaster"),
    ("A3", "EHLO", "{far}", "POSTMASTER"),
    ("A3", "EHLO", "{far}", "PoStMaStEr@{L}"),
    ("A3", "EHLO", "{far}", "POSTMASTER@{V}"),
    ("A4", "EHLO", "{far}", '"postmaster"@{L}'),
    ("A4", "EHLO", "{far}", '"post\\master"@{L}'),
    ("A5", "EHLO", "{far}", "@x.example:postmaster@{L}"),
    ("A6", "EHLO", "", "postmaster@{L}"),
    ("A6", "EHLO", "", "postmaster"),
    ("A7", "EHLO", "bob@{L}", "postmaster@{L}"),
    ("A7", "EHLO", "nosuch@{L}", "postmaster@{V}"),
    ("A7", "EHLO", "nosuch@{V}", "postmaster@{L}"),
    ("A12", "EHLO", "{far}", "postmaster@{literal}"),
    ("A12", "EHLO", "{far}", "postmaster@{literal6}"),
    ("A13", "EHLO", "{far}", "postmaster+tag@{L}"),
    ("A14", "HELO", "{far}", "postmaster@{V}"),
    ("R11", "EHLO", "{far}", "abuse@{L}"),
    ("R11", "EHLO", "{far}", "ABUSE@{V}"),
]
REFUSED = [
    ("N1", "postmaster@foreign.invalid"),
    ("N1", "postmaster%foreign.invalid@{L}"),
    ("N1", "@{L}:postmaster@foreign.invalid"),
    ("N1", '"postmaster@foreign.invalid"@{L}'),
    ("N1", "foreign.invalid!postmaster"),
    ("N2", "nosuch"),
    ("N3", "nosuch@{L}"),
    ("N3", "nosuch@{V}"),
    ("N4", "nosuch@nosuch.{L}"),
    ("N4", "nosuch@nosuch.{V}"),
    ("N4", "nosuch@nosuch.{R}"),
    ("N4", "postmaster@nosuch.{R}"),
]


@pytest.fixture(scope="module")
def sent(lab):
    """Everything at once from the stranger: {(row, recipient, ...): (token, code, text)}, when the queues are empty."""
    negative = [(row, "EHLO", "{far}", recipient) for row, recipient in REFUSED]
    extra = [("relay", "EHLO", "{far}", "postmaster@{R}"), ("list", "EHLO", "{far}", "sales@{V}")]
    mails = [*ACCEPTED, *negative, *extra]
    replies = lab.send([mail[1:] for mail in mails])
    lab.settle(lab.name, lab.primary)
    return dict(zip(mails, replies, strict=True))


@pytest.fixture(scope="module")
def landed(lab, sent):
    """How many messages with each token are in postmaster's mailbox."""
    assert sent
    return lab.tokens(lab.name, "alice")


@pytest.mark.parametrize("mail", ACCEPTED, ids=lambda mail: f"{mail[0]} {mail[3]} from <{mail[2]}>")
def test_mail_for_postmaster_in_every_form_is_in_the_mailbox_once(lab, sent, landed, mail):
    token, code, text = sent[mail]
    refusal = lab.facts["lab_refuses"].get(mail[3])
    assert f"{code} {text}".startswith(refusal or "250"), text
    assert landed[token] == (0 if refusal else 1)


@pytest.mark.parametrize(("row", "recipient"), REFUSED, ids=lambda value: value)
def test_what_is_not_ours_is_refused(sent, row, recipient):
    _dummy, code, text = sent[(row, "EHLO", "{far}", recipient)]
    assert 500 <= code < 600, text


def test_a11_a_message_of_64_kib_lands_whole(lab):
    """RFC 5321 section 4.5.3.1.7."""
    line = "x" * 78 + "\n"
    filler = line * (65536 // len(line) + 1)
    ((token, ((code, text),)),) = lab.deliver([("EHLO", "{far}", ["postmaster@{L}"])], headers="\n" + filler)
    lab.settle(lab.name)
    assert code == 250, text
    (message,) = lab.messages(lab.name, "alice", token)
    assert filler in message.get_payload()


@pytest.mark.parametrize(
    ("newest", "ciphers", "taken"),
    [
        ("TLSv1_2", "DEFAULT", True),
        ("TLSv1_1", "ALL:@SECLEVEL=0", False),
        ("TLSv1_2", "aNULL:@SECLEVEL=0", False),
    ],
)
def test_a18_tls_is_1_2_or_newer_and_the_server_shows_a_certificate(lab, newest, ciphers, taken):
    """RFC 8996; RFC 9325 section 4.1."""
    said = lab.handshake(newest, ciphers)
    assert (said not in ("refused", "not offered")) == (taken and lab.can("D5")), said


def test_postmaster_at_a_relayed_domain_is_the_primary_s(lab, sent):
    token, code, text = sent[("relay", "EHLO", "{far}", "postmaster@{R}")]
    assert code == 250, text
    assert (lab.count(lab.name, "alice", token), lab.count(lab.primary, "alice", token)) == (0, 1)


def test_a_listed_address_reaches_each_of_its_targets_once(lab, sent):
    token, code, text = sent[("list", "EHLO", "{far}", "sales@{V}")]
    assert code == 250, text
    assert [lab.count(lab.name, account, token) for account in ("alice", "bob")] == [1, 1]


def test_messages_that_meet_at_a_new_mailbox_all_land_there(lab):
    for _round in range(2):
        lab.runner.get_host(lab.name).check_output("sudo rm -f /var/mail/carol")
        tokens = lab.send_at_once("carol@{L}", clients=8, messages=2)
        lab.settle(lab.name)
        assert [lab.count(lab.name, "carol", token) for token in tokens] == [1] * 16


@pytest.fixture
def let_go(lab):
    """Until this is called, carol holds all locks of her own mailbox, and of all else there that she may read."""
    host = lab.runner.get_host(lab.name)
    lab.send_at_once("carol@{L}", clients=1, messages=1)
    lab.settle(lab.name)
    start = (
        "sudo systemd-run --quiet --collect --unit=locker --uid=carol --property=Type=notify python3 -c %s /var/mail"
    )
    host.check_output(start, LOCKER.read_text(encoding="utf-8"))
    yield lambda: host.check_output("sudo systemctl stop locker")
    host.run("sudo systemctl stop locker")


def test_a_user_who_locks_her_own_mailbox_holds_up_her_own_mail_alone(lab, let_go):
    sent = lab.send([("EHLO", "{far}", f"{account}@{{L}}") for account in ["carol", "bob"] * 5])
    assert {code for _token, code, _text in sent} == {250}
    tokens = [token for token, _code, _text in sent]

    def copies(account, mails):
        found = lab.tokens(lab.name, account)
        return [found[token] for token in mails]

    wait_until(lambda: copies("bob", tokens[1::2]) == [1] * 5, seconds=30)
    assert copies("carol", tokens[::2]) == [0] * 5 or not lab.facts.get("lab_heeds_locks", True)
    let_go()
    lab.runner.get_host(lab.name).check_output("sudo sh -c %s", lab.facts["lab_flush"])
    lab.settle(lab.name)
    assert copies("carol", tokens[::2]) == [1] * 5


@pytest.mark.parametrize("account", ["root", "homeless"])
def test_mail_for_an_account_without_a_directory_of_its_own_lands(lab, account):
    """Whoever writes the mailbox may not enter the home directory of root, and some accounts have none at all."""
    host = lab.runner.get_host(lab.name)
    host.check_output("id %s || sudo useradd --no-create-home --home-dir /nonexistent %s", account, account)
    ((token, code, text),) = lab.send([("EHLO", "{far}", f"{account}@{{L}}")])
    assert code == 250, text
    lab.settle(lab.name)
    assert lab.count(lab.name, account, token) == 1


def test_the_service_comes_back_after_a_reboot(host, lab):
    assert host.service(lab.service()).is_enabled
    assert host.service(lab.service()).is_running
