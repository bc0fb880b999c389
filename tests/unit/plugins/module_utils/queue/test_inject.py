# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A saved message is handed over once, as it is, and its file goes with the 250 alone."""

from __future__ import annotations

import time

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system import files as disk
from ansible_collections.mailops.postmaster.plugins.module_utils._system.host import Host
from ansible_collections.mailops.postmaster.plugins.module_utils.queue import inject as module
from ansible_collections.mailops.postmaster.plugins.module_utils.queue.inject import inject
from ansible_collections.mailops.postmaster.plugins.module_utils.queue.saved import Saved, load
from ansible_collections.mailops.postmaster.plugins.module_utils.queue.spool import Queued
from mail_servers import NAME, Mail, Server

A, B = "postmaster@example.org", "postmaster@example.net"
ODD = b"Subject: x\n\n.\n..two\n.\xe4\xff\x00one\n" + b"y" * 3000 + b"\n\n\nno end"


@pytest.fixture
def saved(tmp_path):
    (tmp_path / "queue").mkdir()
    return Saved(Host(), str(tmp_path / "queue"))


class Long(Server):
    """Takes lines of any length, as mail servers do."""

    line_length_limit = 100_000


@pytest.fixture
def handed(serve, saved):
    def hand(mail, *messages):
        for number, (sender, recipients, content) in enumerate(messages):
            saved.write(Queued("simple", f"q{number}", sender, recipients, content))
        port = serve(lambda: Long(mail, decode_data=False))
        return inject(saved, "127.0.0.1", port, 10)

    return hand


def test_a_message_arrives_to_the_byte_and_its_file_goes(handed, saved):
    mail = Mail()
    assert handed(mail, ("", (A, B), ODD), ("s@example.com", ("postmaster",), b"Subject: y\n\nz\n")) == {}
    got = [(found.mail_from.strip("<>"), found.rcpt_tos, found.content) for found in mail.messages]
    assert got == [
        ("", [A, B], ODD.replace(b"\n", b"\r\n") + b"\r\n"),
        ("s@example.com", [f"postmaster@{NAME}"], b"Subject: y\r\n\r\nz\r\n"),
    ]
    assert saved.paths() == []
    assert mail.sessions == 1


class Refusing(Mail):
    """Refuses one recipient, and a message."""

    def rcpt(self, address, sender, before):
        return "550 5.1.1 not here" if address == B else super().rcpt(address, sender, before)

    def data(self, envelope):
        return "451 4.3.0 not now" if b"late" in envelope.content else super().data(envelope)


def test_who_was_refused_stays_and_nobody_else(handed, saved):
    mail = Refusing()
    kept = handed(mail, ("", (A, B), b"both\n"), ("", (A,), b"late\n"), ("", (A,), b"fine\n"))
    assert list(kept.values()) == [f"{B}: 550 5.1.1 not here", f"{A}: 451 4.3.0 not now"]
    assert [(found.recipients, found.content) for found in map(load, saved.paths())] == [
        ((B,), b"both\n"),
        ((A,), b"late\n"),
    ]
    assert [found.rcpt_tos for found in mail.messages if b"late" not in found.content] == [[A], [A]]


def test_who_has_got_it_is_noted_on_a_full_disk_too(saved, monkeypatch):
    def full(*_given):
        raise OSError(28, "No space left on device")

    everybody = tuple(f"ä{number}@example.org" for number in range(9))
    saved.write(Queued("simple", "q0", "", everybody, ODD))
    monkeypatch.setattr(disk, "write_image", full)
    (path,) = saved.paths()
    for number in (8, 0, 3):
        saved.note(path, {everybody[number]})
    left = tuple(name for number, name in enumerate(everybody) if number not in (8, 0, 3))
    assert (load(path).recipients, load(path).content) == (left, ODD)


def test_a_file_that_fails_stays_and_stops_no_other(handed, monkeypatch):
    def failing(_saved, _path, _got):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Saved, "note", failing)
    mail = Refusing()
    kept = handed(mail, ("", (A, B), b"both\n"), ("", (A,), b"fine\n"))
    assert list(kept.values()) == ["[Errno 5] Input/output error"]
    assert [found.content for found in mail.messages] == [b"both\r\n", b"fine\r\n"]


def test_what_was_refused_is_handed_over_the_next_time(handed):
    handed(Refusing(), ("", (A, B), b"both\n"))
    mail = Mail()
    assert handed(mail) == {}
    assert [found.rcpt_tos for found in mail.messages] == [[B]]


def test_many_recipients_are_told_in_parts(handed):
    mail = Mail()
    mail.names = tuple(f"u{number}" for number in range(250))
    assert handed(mail, ("", tuple(f"{name}@example.org" for name in mail.names), b"x\n")) == {}
    assert [len(found.rcpt_tos) for found in mail.messages] == [100, 100, 50]


class Few(Mail):
    """Takes two messages from a connection, and then refuses, or hangs up."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def mail(self, sender):
        return self.answer if len(self.messages) == 2 * self.sessions else super().mail(sender)


@pytest.mark.parametrize("answer", ["452 4.5.3 Too many messages sent", "421 4.7.0 Too many messages, closing"])
def test_a_server_that_takes_only_so_many_from_a_connection_gets_the_rest_from_the_next(handed, answer):
    mail = Few(answer)
    assert handed(mail, *(("", (A,), b"number %d\n" % number) for number in range(5))) == {}
    assert [found.content for found in mail.messages] == [b"number %d\r\n" % number for number in range(5)]
    assert mail.sessions == 3


@pytest.mark.parametrize("address", ["a b\r\nRSET@example.org", "müller@example.org"])
def test_an_address_that_no_command_can_carry_is_named(handed, saved, address):
    kept = handed(Mail(), ("", (address,), b"x\n"))
    assert ["not a line of printable ASCII" in why for why in kept.values()] == [True]
    assert len(saved.paths()) == 1


class Slow(Mail):
    """Thinks about each message, and then takes it."""

    def data(self, envelope):
        time.sleep(0.5)
        return super().data(envelope)


def test_a_message_that_was_begun_has_all_the_time_of_its_final_dot_and_no_other_is_begun(serve, saved, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT", 0.3)
    mail = Slow()
    for name in ("q1", "q2"):
        saved.write(Queued("simple", name, "", (A,), b"x\n"))
    kept = inject(saved, "127.0.0.1", serve(lambda: Long(mail, decode_data=False)), 0.1)
    assert (list(kept), list(kept.values())) == (saved.paths(), ["there was no time for it within 0.1 s"])
    assert len(mail.messages) == 1


def test_without_an_mta_all_stays(saved):
    saved.write(Queued("simple", "q1", "", (A,), b"x\n"))
    kept = inject(saved, "127.0.0.1", 1, 5)
    assert ["refused" in why for why in kept.values()] == [True]
    assert len(saved.paths()) == 1
