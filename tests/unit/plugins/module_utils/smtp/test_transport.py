# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections: nothing but clean commands goes out, and nothing that comes in can hold them up."""

from __future__ import annotations

import asyncio
import json

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils.smtp.transport import (
    TRANSCRIPT,
    Connection,
    Limits,
    Transcript,
    UnsafeCommandError,
    connect,
    groups,
)
from hypothesis import given
from hypothesis import strategies as st
from mail_servers import Mail, Script, Server

UNSAFE = ["", "RCPT TO:<a>\r\nDATA", "MAIL FROM:<a\n>", "NOOP\r", "NOOP\0", "NOOP\x7f", "NOOP \x1b", "RCPT TO:<ü@x>"]


def dial(port, timeout=2.0, deadline=10.0):
    connection = connect("127.0.0.1", port, Limits.starting_now(timeout, deadline))
    assert isinstance(connection, Connection)
    return connection


@pytest.fixture
def connection(serve):
    connection = dial(serve(lambda: Server(Mail())))
    assert connection.greeting().code == 220
    yield connection
    connection.close()


@pytest.mark.parametrize("command", UNSAFE)
def test_a_command_that_is_not_one_clean_line_is_not_sent(connection, command):
    before = list(connection.transcript)
    with pytest.raises(UnsafeCommandError):
        connection.commands(["NOOP", command])
    assert connection.transcript == before


@pytest.mark.parametrize(
    ("commands", "wanted"),
    [
        (["MAIL FROM:<>", "RCPT TO:<a>", "DATA"], [["MAIL FROM:<>", "RCPT TO:<a>", "DATA"]]),
        (["RSET", "MAIL FROM:<>"], [["RSET", "MAIL FROM:<>"]]),
        (["VRFY a", "RCPT TO:<a>"], [["VRFY a"], ["RCPT TO:<a>"]]),
        (["rcpt to:<a>", "noop", "quit"], [["rcpt to:<a>", "noop"], ["quit"]]),
        (["EHLO a", "RSET"], [["EHLO a"], ["RSET"]]),
        ([], []),
    ],
)
def test_only_what_may_be_pipelined_stands_before_the_end_of_a_group(commands, wanted):
    assert groups(commands) == wanted


@given(st.lists(st.sampled_from(["EHLO a", "MAIL FROM:<>", "RCPT TO:<a>", "RSET", "VRFY a", "DATA", "QUIT"])))
def test_groups_keep_every_command_in_its_order(commands):
    assert [command for group in groups(commands) for command in group] == commands


@pytest.mark.parametrize(("offer", "writes"), [(b"250-x\r\n250 pipelining\r\n", 1), (b"250 x\r\n", 3)])
def test_commands_go_out_together_where_the_server_offers_that(serve, offer, writes):
    class Counting(Script):
        reads = 0

        def data_received(self, data):
            Counting.reads += data.startswith(b"RCPT")
            super().data_received(data)

        def answer(self, line):
            return offer if line.startswith(b"EHLO") else b"250 Ok\r\n"

    connection = dial(serve(Counting))
    connection.greeting()
    connection.hello("EHLO", "probe.example")
    answers = connection.commands([f"RCPT TO:<{name}>" for name in "abc"])
    connection.quit()
    assert [answer.code for answer in answers] == [250, 250, 250]
    assert Counting.reads == writes


def test_the_name_of_the_server_is_the_one_that_it_gives_to_ehlo(connection):
    connection.hello("EHLO", "probe.example")
    assert connection.name == "mx.example.org"


def test_the_transcript_shows_both_sides(connection):
    connection.hello("HELO", "probe.example")
    connection.quit()
    assert [line[:2] for line in connection.transcript] == ["--", "S:", "C:", "S:", "C:", "S:"]
    assert connection.transcript[2:4] == ["C: HELO probe.example", "S: 250 mx.example.org"]


@pytest.mark.parametrize("body", [".\r\n", "..\r\n", ".a\r\n\r\n.\r\nQUIT\r\n", "a.\r\n", "a\r\n", "\r\n.\r\n.\r\n"])
def test_a_message_arrives_as_it_was_whatever_dots_are_in_it(serve, body):
    mail = Mail()
    connection = dial(serve(lambda: Server(mail)))
    connection.greeting()
    connection.hello("EHLO", "probe.example")
    connection.commands(["MAIL FROM:<>", "RCPT TO:<postmaster>"])
    assert connection.data(body.encode()).code == 250
    connection.quit()
    assert [message.content.decode() for message in mail.messages] == [body]


def test_no_text_is_sent_where_data_is_refused(connection):
    connection.hello("EHLO", "probe.example")
    assert connection.data(b"secret\r\n").code == 503
    assert "C: (8 bytes)" not in connection.transcript


def test_after_421_the_rest_has_no_reply(serve):
    class Leaving(Script):
        def answer(self, line):
            return b"421 Bye\r\n" if b"b" in line else b"250 Ok\r\n"

    connection = dial(serve(Leaving))
    connection.greeting()
    answers = connection.commands(["RCPT TO:<a>", "RCPT TO:<b>", "RCPT TO:<c>"])
    assert [answer.code for answer in answers] == [250, 421, 0]
    assert answers[2].closed
    assert not connection.open


def test_a_server_that_drips_gets_no_more_than_the_timeout_of_one_reply(serve):
    class Dripping(Script):
        def answer(self, _line):
            self.drip()
            return b""

        def drip(self):
            if not self.transport.is_closing():
                self.transport.write(b"2")
                self.loop.call_later(0.01, self.drip)

        def connection_made(self, transport):
            self.loop = asyncio.get_running_loop()
            super().connection_made(transport)

    connection = dial(serve(Dripping), timeout=0.1)
    connection.greeting()
    answer = connection.command("NOOP")
    assert answer.text == "nothing within 0.1 s"
    assert not answer.closed


@pytest.mark.parametrize("host", ["x" * 64 + ".example", "a\0b", ".", "256.256.256.256"])
def test_what_is_no_name_of_a_host_gives_the_reason_and_no_connection(host):
    assert f"no address for {host}: " in connect(host, 25, Limits.starting_now(1, 1)).text


@pytest.mark.parametrize("line", ["S: 250 ok", "S: 250 " + "\U0001f600" * 500, "S: 250 " + "\x01" * 500, ""])
def test_what_is_kept_of_the_words_of_a_server_has_a_limit_as_it_is_written(line):
    kept = Transcript()
    for _number in range(200_000):
        kept.add([line])
    assert len(json.dumps(kept)) < TRANSCRIPT + 100
    assert "not kept" in kept[-1]
