# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was accepted is not lost: not by a full mailbox, nor by a full queue, nor by a kill."""

from __future__ import annotations

import json
import secrets

import pytest
from conftest import wait_until
from loss import KILL, Loss

LARGE = "\n" + ("x" * 78 + "\n") * 840
# more than what a mailbox can take although no block is free: the rest of its own last one
BLOCK = "".join(f"X-Line-{number}: {'x' * 70}\n" for number in range(64))
# Sends a message over loopback and kills every process of the service as soon as its 250 is there.
SEND_AND_KILL = (
    KILL
    + """
import json, smtplib, sys
work = json.load(sys.stdin)
connection = smtplib.SMTP("127.0.0.1", 25, timeout=30)
connection.ehlo()
connection.mail(work["sender"])
code, reply = connection.rcpt(work["recipient"])
known = list(processes(work["unit"]))
if code == 250:
    code, reply = connection.data(work["text"])
json.dump([code, reply.decode(), kill(work["unit"], known)], sys.stdout)
"""
)
MAILBOXES = "/var/mail"


@pytest.fixture(scope="module")
def loss(lab):
    found = Loss(lab, MAILBOXES, lab.facts["lab_spool"])
    with found.small():
        yield found


def test_d2_mail_for_a_full_mailbox_waits_and_lands_when_there_is_room(lab, loss):
    with loss.full(MAILBOXES, free=0):
        mails = [("EHLO", "{far}", recipient) for recipient in ("bob@{L}", "postmaster@{L}")]
        sent = [reply for mail in mails for reply in lab.send([mail], headers=LARGE)]
        loss.sh(lab.facts["lab_flush"] + " || true")
        assert lab.queue(lab.name)
    loss.deliver()
    assert [code for _token, code, _text in sent] == [250, 250]
    tokens = [token for token, _code, _text in sent]
    assert [lab.count(lab.name, *found) for found in zip(("bob", "alice"), tokens, strict=True)] == [1, 1]


def test_d2_a_notice_to_postmaster_waits_for_room_too(lab, loss):
    """It has the token of the mail that it is about, in a header, and not its body: so it is known in the queue."""
    lab.start_far_host()

    def queued(word):
        return loss.host.run("sudo grep --recursive --quiet %s %s", word, lab.facts["lab_spool"]).rc == 0

    with loss.full(MAILBOXES, free=0):
        ((token, code, text),) = lab.send([("EHLO", "", "gone@{V}")], headers=BLOCK)
        assert code == 250, text
        wait_until(lambda: queued(token) == lab.can("B3") and not queued(lab.body_word(token)))
        loss.sh(lab.facts["lab_flush"] + " || true")
        assert queued(token) == lab.can("B3")
    loss.deliver()
    assert bool(lab.messages(lab.name, "alice", token)) == lab.can("B3")


@pytest.mark.parametrize("free", [0, 40])
def test_d3_a_full_queue_takes_nothing_that_it_cannot_keep(lab, loss, free):
    """Small messages that may still fit, and large ones that do not; who hears 250 has sent it for good."""
    sent = []
    with loss.full(lab.facts["lab_spool"], free):
        for headers in ("", LARGE, LARGE, ""):
            ((token, code, _text),) = lab.send([("EHLO", "{far}", "bob@{L}")], headers=headers)
            sent.append((token, code))
    loss.deliver()
    assert {code // 100 for _token, code in sent} <= {2, 4}, sent
    assert [lab.count(lab.name, "bob", token) for token, _code in sent] == [int(code == 250) for _token, code in sent]
    assert free or not any(code == 250 for _token, code in sent)


@pytest.mark.parametrize("number", range(2))
def test_d4_what_was_accepted_before_a_kill_lands(lab, loss, number):
    token = secrets.token_hex(12)
    work = {"unit": lab.service(), "sender": "sender@" + lab.helo, "recipient": "bob@" + lab.names["L"]}
    work["text"] = f"Subject: test {number}\nX-Token: {token}\n\nA test.\n"
    said = loss.host.check_output("printf %%s %s | sudo python3 -c %s", json.dumps(work), SEND_AND_KILL)
    code, text, killed = json.loads(said)
    assert killed
    assert code == 250, text
    lab.restart()
    loss.forget_locks()
    loss.deliver()
    # a second copy is what SMTP does where the first one's delivery was not noted
    assert lab.count(lab.name, "bob", token) in (1, 2)


def test_d4_a_reader_who_has_a_message_gets_no_second_copy_when_the_next_one_waits_at_a_kill(lab, loss):
    first, second = lab.facts.get("lab_readers", ["alice", "bob"])
    loss.sh('touch "/var/mail/$1.lock"', second)
    ((token, code, text),) = lab.send([("EHLO", "{far}", "sales@{V}")])
    assert code == 250, text
    wait_until(lambda: lab.count(lab.name, first, token))
    wait_until(lambda: loss.host.run("sudo sh -c %s sh %s", lab.facts["lab_noted"], first).rc == 0)
    assert not lab.count(lab.name, second, token)
    assert loss.kill()
    loss.forget_locks()
    lab.restart()
    loss.deliver()
    assert [lab.count(lab.name, reader, token) for reader in (first, second)] == [1, 1]
