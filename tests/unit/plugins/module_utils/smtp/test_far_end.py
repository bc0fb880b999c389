# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What another host says of an address, asked without sending mail."""

from __future__ import annotations

import asyncio
import socket

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils.smtp import far_end
from ansible_collections.mailops.postmaster.plugins.module_utils.smtp.dns import Exchangers
from ansible_collections.mailops.postmaster.plugins.module_utils.smtp.transport import Limits, datagram, stream
from mail_servers import Mail, Script, Server


def ask(next_hop, recipient="postmaster@example.org"):
    ((asked, answer),) = far_end.ask_next_hop(next_hop, [recipient], "probe.example", Limits.starting_now(1.0, 4.0))
    assert asked == recipient
    return answer


@pytest.fixture
def unused():
    """A port where nobody listens."""
    taken = socket.create_server(("127.0.0.1", 0))
    with taken:
        number = taken.getsockname()[1]
    return int(number)


@pytest.mark.parametrize(
    ("recipient", "verdict", "code"),
    [("postmaster@example.org", "pass", 250), ("nosuch@example.org", "fail", 550)],
)
def test_a_host_that_answers_is_believed(serve, recipient, verdict, code):
    mail = Mail()
    port = serve(lambda: Server(mail))
    answer = ask(f"[127.0.0.1]:{port}", recipient)
    assert (answer.verdict, answer.code, answer.server) == (verdict, code, "127.0.0.1")
    assert answer.command == f"RCPT TO:<{recipient}>"
    assert [command for command in mail.commands if command in ("MAIL", "RCPT", "DATA")] == ["MAIL", "RCPT"]


@pytest.mark.parametrize(
    ("line", "reply", "verdict", "command"),
    [
        (b"RCPT", b"450 Later\r\n", "inconclusive", "RCPT TO:<postmaster@example.org>"),
        (b"RCPT", b"450 Relaying temporarily denied\r\n", "inconclusive", "RCPT TO:<postmaster@example.org>"),
        (b"RCPT", b"454 4.7.1 <x>: Relay access denied\r\n", "fail", "RCPT TO:<postmaster@example.org>"),
        (b"MAIL", b"530 5.7.0 Authentication required\r\n", "inconclusive", "MAIL FROM:<>"),
        (b"RCPT", b"530 5.7.0 Must issue STARTTLS first\r\n", "inconclusive", "RCPT TO:<postmaster@example.org>"),
        (b"MAIL", b"550 No bounces\r\n", "fail", "MAIL FROM:<>"),
        (b"EHLO", b"421 Busy\r\n", "inconclusive", "EHLO probe.example"),
        (b"RCPT", None, "inconclusive", "RCPT TO:<postmaster@example.org>"),
        (b"MAIL", b"noise\r\n", "inconclusive", "MAIL FROM:<>"),
    ],
)
def test_what_settles_nothing_is_inconclusive(serve, line, reply, verdict, command):
    class Host(Script):
        def answer(self, said):
            return reply if said.startswith(line) else b"250 Ok\r\n"

    answer = ask(f"[127.0.0.1]:{serve(Host)}")
    assert (answer.verdict, answer.command) == (verdict, command)


def test_a_host_that_cannot_be_reached_is_inconclusive(unused):
    answer = ask(f"[127.0.0.1]:{unused}")
    assert (answer.verdict, answer.command, answer.code) == ("inconclusive", "connect", 0)
    assert "refused" in answer.text


@pytest.mark.parametrize("next_hop", ["", "[a b]", "a\r\nb", "mx:0"])
def test_a_next_hop_that_is_no_host_fails(next_hop):
    assert ask(next_hop).verdict == "fail"


@pytest.mark.parametrize("recipient", ["a\r\nDATA", "ü@example.org", "a\0@example.org"])
def test_an_address_that_smtp_cannot_say_fails_and_is_not_sent(serve, recipient):
    mail = Mail()
    port = serve(lambda: Server(mail))
    answer = ask(f"[127.0.0.1]:{port}", recipient)
    assert answer.verdict == "fail"
    assert "no address for SMTP" in answer.text
    assert "RCPT" not in mail.commands


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (Exchangers("found", ("127.0.0.1",)), "pass"),
        (Exchangers("no MX"), "pass"),
        (Exchangers("null MX"), "fail"),
        (Exchangers("no such name"), "fail"),
        (Exchangers("unknown"), "inconclusive"),
    ],
)
def test_a_domain_is_asked_at_its_exchangers_or_else_at_its_own_address(serve, monkeypatch, found, verdict):
    monkeypatch.setattr(far_end, "exchangers", lambda *_: found)
    port = serve(lambda: Server(Mail()))
    assert ask(f"localhost:{port}").verdict == verdict


def test_the_next_exchanger_is_asked_where_the_first_says_nothing(serve, monkeypatch):
    monkeypatch.setattr(far_end, "exchangers", lambda *_: Exchangers("found", ("127.0.0.2", "127.0.0.1")))
    answer = ask(f"example.org:{serve(lambda: Server(Mail()))}")
    assert (answer.verdict, answer.server) == ("pass", "127.0.0.1")


class Echo(asyncio.Protocol):
    """A resolver over TCP that sends the query back, in two pieces."""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data[:5])
        self.transport.write(data[5:])


def test_a_query_over_tcp_has_its_length_before_it(serve):
    assert stream("127.0.0.1", b"a query", 1.0, serve(Echo)) == b"a query"


def test_a_resolver_that_hangs_up_or_is_not_there_says_nothing(serve, unused):
    assert stream("127.0.0.1", b"a query", 1.0, serve(type("Mute", (Script,), {"greeting": None}))) is None
    assert stream("127.0.0.1", b"a query", 1.0, unused) is None
    assert datagram("127.0.0.1", b"a query", 0.2, unused) is None


def test_a_query_over_udp_is_answered_by_the_one_who_was_asked(loop):
    class Resolver(asyncio.DatagramProtocol):
        def connection_made(self, transport):
            self.transport = transport

        def datagram_received(self, data, address):
            self.transport.sendto(data[::-1], address)

    port = loop.start_datagrams(Resolver)
    assert datagram("127.0.0.1", b"abc", 1.0, port) == b"cba"
