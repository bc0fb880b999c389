# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program that takes the body out of what postmaster is told."""

from __future__ import annotations

import email
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
TEMPLATE = ROOT / "roles" / "mta" / "templates" / "postmaster-notice.j2"
BOUNCE = """\
Return-Path: <>
Subject: Undelivered
Content-Type: multipart/report; report-type=delivery-status;
\tboundary={mark}

Preamble.

--b1/host
Content-Type: text/plain

It failed:

  refused

--b1/host
Content-Type: message/delivery-status

Reporting-MTA: dns; host

Final-Recipient: rfc822; refused@far.example

--b1/host
Content-Description: Undelivered Message
Content-{type}

Subject: the subject
Content-Type: multipart/mixed; boundary=b2
Received: one
\ttwo

{body}
--b1/host--
"""
NESTED = "--b2\nContent-Type: text/plain\n\nsecret\n--b2--\n"


@pytest.fixture
def passed_on(tmp_path):
    """What the program gives to sendmail, as text, for what it reads."""
    (tmp_path / "sendmail").write_text('#!/bin/sh\nprintf "%s\\n" "$@" >"$0.args"\nexec cat\n')
    (tmp_path / "sendmail").chmod(0o755)
    script = TEMPLATE.read_text().replace("/usr/sbin/sendmail", str(tmp_path / "sendmail"))

    def run(text):
        done = subprocess.run(
            ["sh", "-c", script.replace("{{ ansible_managed | comment }}", "#")],
            input=text,
            env={"SENDER": "double-bounce@host", "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert (tmp_path / "sendmail.args").read_text().split() == ["-i", "-f", "<double-bounce@host>", "postmaster"]
        return done.stdout

    return run


@pytest.mark.parametrize("mark", ["b1/host", '"b1/host"', '"b1/host"; x=y'])
@pytest.mark.parametrize("kind", ["Type: message/rfc822", "type: message/rfc822", "Type: text/rfc822-headers"])
@pytest.mark.parametrize("body", ["secret", "\nsecret\n\n.\nsecret", NESTED, "--b1/host\n\nsecret", ""])
def test_all_but_the_body_of_what_came_back_is_passed_on(passed_on, mark, kind, body):
    said = passed_on(BOUNCE.format(mark=mark, type=kind, body=body))
    assert "secret" not in said
    parts = email.message_from_string(said).get_payload()
    assert [part.get_content_type() for part in parts] == [
        "text/plain",
        "message/delivery-status",
        "text/rfc822-headers",
    ]
    assert parts[0].get_payload() == "It failed:\n\n  refused\n"
    assert "Final-Recipient: rfc822; refused@far.example\n" in parts[1].as_string()
    assert parts[2].get_payload().startswith("Subject: the subject\nContent-Type: multipart/mixed; boundary=b2\n")
    assert "\ttwo\n" in parts[2].get_payload()


def test_a_message_in_utf_8_keeps_its_type(passed_on):
    said = passed_on(BOUNCE.format(mark="b1/host", type="Type: message/global", body="secret"))
    assert "Content-Type: message/global-headers\n" in said
    assert "secret" not in said


@pytest.mark.parametrize("head", ["Subject: a report\n", "Subject: one\nContent-Type: text/plain\n"])
def test_of_what_is_no_report_the_header_is_left(passed_on, head):
    assert passed_on(head + "\nsecret\nboundary=x\n\nsecret\n") == head + "\n"


def test_a_report_without_a_body_is_left_as_it_is(passed_on):
    text = BOUNCE.format(mark="b1/host", type="Type: text/rfc822-headers", body="")
    assert passed_on(text).split() == text.split()
