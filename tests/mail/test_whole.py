# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What arrives is what was sent: nothing of it is split, cut or changed, and what ends a message is no octet less."""

from __future__ import annotations

import secrets

import pytest

LINES = [
    b"..a dot at the beginning",
    b"8 bits: \xc3\xa4\xff",
    b"blanks at the end  ",
    b"x" * 998,
    b"",
    b"From sender@example.com Mon Nov 30 12:00:00 2026",
    b"X-Forged: yes",
    b"",
    b"the end",
]
QUOTED = {LINES[5]: b">" + LINES[5]}  # by whoever writes an mbox
# What some servers took for the end of a message (CVE-2023-51764 to -51766).
ENDS = [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\n", b"\r\n.\r", b"\n\n.\r\n"]


@pytest.fixture(scope="module")
def bodies(lab):
    """By place: the body of the message that came to the mailbox of postmaster there."""
    text = b"\r\n".join(b"." + line if line.startswith(b".") else line for line in LINES)
    tokens = {place: secrets.token_hex(12) for place in "LVR"}
    for place, token in tokens.items():
        commands = ["MAIL FROM:<{far}> BODY=8BITMIME", f"RCPT TO:<postmaster@{{{place}}}>", "DATA"]
        head = f"From: <sender@{lab.helo}>\r\nX-Token: {token}\r\nMIME-Version: 1.0\r\n".encode()
        kind = b"Content-Type: text/plain; charset=x-unknown\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
        replies = lab.send_octets(commands, head + kind + text + b"\r\n.\r\n")
        assert replies[-1][0] == 250, replies
    lab.settle(lab.name, lab.primary)
    where = {"L": lab.name, "V": lab.name, "R": lab.primary}
    return {place: lab.body(where[place], "alice", token) for place, token in tokens.items()}


@pytest.mark.parametrize("place", "LVR")
def test_d9_a_body_arrives_as_it_was_sent(bodies, place):
    """At a local domain, a virtual one, and through a relayed one."""
    assert bodies[place] == [QUOTED.get(line, line) for line in LINES]


@pytest.mark.parametrize("end", ENDS, ids=repr)
def test_n5_nothing_but_crlf_a_dot_and_crlf_ends_a_message(lab, end):
    outer, inner = secrets.token_hex(12), secrets.token_hex(12)
    second = (
        f"MAIL FROM:<{lab.names['far']}>\r\nRCPT TO:<postmaster@{lab.names['L']}>\r\nDATA\r\n"
        f"X-Token: {inner}\r\n\r\nForged.\r\n.\r\n"
    )
    first = f"X-Token: {outer}\r\n\r\nThe first message.".encode()
    lab.send_octets(["MAIL FROM:<{far}>", "RCPT TO:<postmaster@{L}>", "DATA"], first + end + second.encode())
    lab.answers()  # OpenSMTPD may end then, and is started again
    lab.settle(lab.name)
    assert [message["X-Token"] for message in lab.messages(lab.name, "alice", inner)] in ([], [outer])


def test_a11_more_than_100_recipients_are_taken_in_parts(lab):
    """RFC 5321 section 4.5.3.1.10: each one more would be a copy more of a message of any size."""
    recipients = [f"postmaster+{number}@{{L}}" for number in range(101)]
    commands = ["MAIL FROM:<{far}>", *(f"RCPT TO:<{recipient}>" for recipient in recipients)]
    replies = lab.send_octets(commands, b"")
    assert {code for code, _text in replies[:-1]} == {250}, replies
    assert 450 <= replies[-1][0] < 460, replies[-1]


@pytest.mark.parametrize("account", ["postmaster", "alice", "nosuch"])
def test_a16_vrfy_says_of_nobody_who_it_is(lab, account):
    """RFC 5321 section 7.3: 252 is the answer of a server that tells nothing."""
    ((code, text),) = lab.send_octets([f"VRFY {account}"], b"")
    assert code != 250, text


@pytest.mark.parametrize("domain", ["{L}", "{R}"])
def test_a_stranger_starts_no_queue(lab, domain):
    """ETRN (RFC 1985)."""
    ((code, text),) = lab.send_octets([f"ETRN {domain}"], b"")
    assert 450 <= code < 600, text
