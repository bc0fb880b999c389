# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The token message."""

from __future__ import annotations

from datetime import datetime, timezone
from email import message_from_bytes, policy

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils.smtp.message import compose

NOW = datetime(2026, 3, 1, 9, 5, 7, tzinfo=timezone.utc)


def read(sender="me@probe.example", recipient="postmaster@example.org"):
    text = compose("abc123", sender, recipient, "probe.example", "mx.example.org", NOW)
    assert text.endswith(b"\r\n")
    assert b"\n" not in text.replace(b"\r\n", b"")
    return message_from_bytes(text, policy=policy.SMTP)


def test_it_can_be_found_by_its_token_and_is_marked_as_automatic():
    message = read()
    assert not message.defects
    assert message["Subject"] == "mailops.postmaster check abc123"
    assert message["X-Postmaster-Token"] == "abc123"
    assert message["Message-ID"] == "<abc123@probe.example>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"].datetime == NOW
    assert "You can delete this message" in message.get_content()


@pytest.mark.parametrize(
    ("sender", "recipient", "from_", "to"),
    [
        ("me@probe.example", "postmaster@example.org", "me@probe.example", "postmaster@example.org"),
        ("", "Postmaster", "mailer-daemon@probe.example", "Postmaster@mx.example.org"),
        ("", '"post\\master"@example.org', "mailer-daemon@probe.example", '"post\\master"@example.org'),
        ("", "postmaster@[192.0.2.1]", "mailer-daemon@probe.example", "postmaster@[192.0.2.1]"),
    ],
)
def test_every_address_in_it_has_a_domain(sender, recipient, from_, to):
    text = compose("abc123", sender, recipient, "probe.example", "mx.example.org", NOW).decode()
    assert f"From: {from_}\r\nTo: {to}\r\n" in text


def test_one_from_the_null_sender_holds_what_looks_like_another_message():
    within = "\r\n\r\nFrom postmaster Thu Jan  1 00:00:00 2026\r\nX-Postmaster-Token: abc123\r\n\r\nThe two lines"
    texts = [compose("abc123", sender, "Postmaster", "a.example", "b.example", NOW).decode() for sender in ("", "me@a")]
    assert [within in text for text in texts] == [True, False]
