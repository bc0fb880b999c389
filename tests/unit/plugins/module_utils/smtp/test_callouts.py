# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Other hosts are asked once, at the same time, in bounded time, and about a bounded number of addresses."""

from __future__ import annotations

import socket
import threading
import time

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system.deadline import Deadline
from ansible_collections.mailops.postmaster.plugins.module_utils.smtp import callouts as module
from ansible_collections.mailops.postmaster.plugins.module_utils.smtp import transport
from ansible_collections.mailops.postmaster.plugins.module_utils.smtp.callouts import MOST, Callouts
from ansible_collections.mailops.postmaster.plugins.module_utils.smtp.far_end import FarEnd
from hostile_servers import HOSTILE, repeats, says
from mail_servers import Mail, Server

A, B, C = (f"{name}@example.org" for name in ("postmaster", "abuse", "nosuch"))


@pytest.fixture
def mail():
    return Mail()


@pytest.fixture
def hop(serve, mail):
    return f"[127.0.0.1]:{serve(lambda: Server(mail))}"


def callouts(seconds=60.0, **options):
    return Callouts("probe.example", Deadline(seconds), **options)


def test_each_recipient_is_asked_once_and_all_on_one_connection(mail, hop):
    asked = callouts()
    asked.expect([(hop, A), (hop, B), (hop, C), (hop, A)])
    assert [asked(hop, recipient).verdict for recipient in (A, B, C, A)] == ["pass", "pass", "fail", "pass"]
    assert mail.sessions == 1
    assert mail.commands.count("RCPT") == 3


def test_a_host_that_ends_the_connection_is_called_again(serve, mail):
    class Short(Server):
        @property
        def limits(self):
            return {"RCPT": 1, "*": 20}

    hop = f"[127.0.0.1]:{serve(lambda: Short(mail))}"
    asked = callouts()
    asked.expect([(hop, A), (hop, B), (hop, C)])
    assert [asked(hop, recipient).verdict for recipient in (A, B, C)] == ["pass", "pass", "fail"]
    assert mail.sessions == 3


class Slow:
    """Other hosts that each take their time, or say nothing at all."""

    def __init__(self, answer, seconds):
        self.answer, self.seconds, self.visits = answer, seconds, []

    def __call__(self, next_hop, recipients, _helo, limits):
        self.visits.append((next_hop, len(recipients)))
        threading.Event().wait(min(self.seconds, limits.next() - time.monotonic()))
        yield from ((recipient, self.answer) for recipient in recipients)


SILENT = FarEnd("inconclusive", "far.example", "connect", 0, "no connection within 10 s", unreachable=True)
PASS = FarEnd("pass", "far.example", "RCPT TO:<x>", 250, "Ok")


def test_hosts_that_cannot_be_reached_are_waited_for_at_the_same_time():
    ask = Slow(SILENT, 0.5)
    asked = callouts(ask=ask)
    begun = time.monotonic()
    asked.expect([(f"far{number}.example", A) for number in range(6)])
    assert time.monotonic() - begun < 1.5
    assert len(ask.visits) == 6


def test_a_host_that_cannot_be_reached_is_called_once_for_all_that_is_asked():
    ask = Slow(SILENT, 0)
    asked = callouts(ask=ask)
    asked.expect([("far.example", A), ("far.example", B)])
    assert asked("far.example", C).text == SILENT.text
    assert ask.visits == [("far.example", 2)]


@pytest.mark.parametrize("name", ["a name for each", "one name"])
def test_only_so_many_addresses_are_asked_about(name):
    ask = Slow(PASS, 0)
    asked = callouts(ask=ask)
    pairs = [
        ("far.example" if name == "one name" else f"far{number}.example", f"a{number}@x") for number in range(10_000)
    ]
    asked.expect(pairs)
    answers = [asked(*pair) for pair in pairs]
    assert sum(count for _hop, count in ask.visits) == MOST
    assert [answer.verdict for answer in answers] == ["pass"] * MOST + ["inconclusive"] * (10_000 - MOST)
    assert answers[-1].text == f"other hosts are asked about {MOST} addresses at most"


def test_all_of_them_together_have_so_much_time(monkeypatch):
    monkeypatch.setattr(module, "SECONDS", 0.5)
    ask = Slow(PASS, 60)
    asked = callouts(ask=ask)
    begun = time.monotonic()
    for number in range(50):
        assert asked(f"far{number}.example", A).verdict in ("inconclusive", "pass")
    assert time.monotonic() - begun < 2


def test_the_deadline_of_the_module_counts():
    begun = time.monotonic()
    answer = callouts(0.3, ask=Slow(PASS, 60))("far.example", A)
    assert time.monotonic() - begun < 1.5
    assert answer.verdict in ("inconclusive", "pass")


def test_what_goes_wrong_at_one_host_costs_no_other_its_answer():
    def ask(next_hop, recipients, _helo, _limits):
        yield recipients[0], PASS
        if next_hop == "bad.example":
            raise MemoryError
        yield recipients[1], PASS

    asked = callouts(ask=ask)
    pairs = [(hop, recipient) for hop in ("bad.example", "good.example") for recipient in (A, B)]
    asked.expect(pairs)
    assert [asked(*pair).verdict for pair in pairs] == ["pass", "inconclusive", "pass", "pass"]
    assert "not enough memory" in asked("bad.example", B).text


def test_sixty_hostile_hosts_are_over_in_a_few_seconds(serve, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT", 0.5)
    pairs = [(f"[127.0.0.1]:{serve(server)}", "a@b.example") for server in HOSTILE.values()]
    asked = callouts(8)
    begun = time.monotonic()
    asked.expect(pairs)
    seconds = time.monotonic() - begun
    for name, pair in zip(HOSTILE, pairs):
        print(f"{name}: {asked(*pair)}")
    assert seconds < 8 + 2


def test_a_resolver_that_hangs_is_left_behind(monkeypatch, request):
    ended = threading.Event()
    request.addfinalizer(ended.set)

    def hang(*_args, **_options):
        ended.wait()
        return ()

    monkeypatch.setattr(transport.socket, "getaddrinfo", hang)
    monkeypatch.setattr(transport.socket, "getfqdn", hang)
    monkeypatch.setattr(transport, "NAME_TIMEOUT", 0.2)
    begun = time.monotonic()
    found = transport.connect("mx.example", 25, transport.Limits.starting_now(0.2, 1))
    assert "the resolver does not answer within 0.2 s" in found.text
    assert transport.own_name() == ""
    assert time.monotonic() - begun < 2


def test_an_address_needs_no_resolver(monkeypatch, hop):
    monkeypatch.setattr(transport, "_in_time", lambda *_: pytest.fail("asked"))
    assert callouts()(hop, A).verdict == "pass"


def test_a_name_with_many_addresses_is_tried_at_a_few(monkeypatch):
    many = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{number}", 1)) for number in range(1, 200)]
    monkeypatch.setattr(transport.socket, "getaddrinfo", lambda *_args, **_options: many)
    transcript = transport.Transcript()
    transport.connect("mx.example", 1, transport.Limits.starting_now(5, 20), transcript)
    assert len(transcript) == transport.ADDRESSES


RESOLVERS = {
    "octets now and then": repeats(b"", b"\xff\xff", b"x", 0.1),
    "octets without a pause": repeats(b"", b"\xff\xff", b"x", 0.0002),
    "a length and nothing": says(b"\xff\xff"),
    "nothing": says(b""),
    "the end": says(None),
    "a flood": repeats(b"", b"\xff\xff", b"x" * 65535),
}


@pytest.mark.parametrize("name", RESOLVERS)
def test_a_hostile_resolver_gets_no_more_than_its_time(serve, name):
    class Resolver(RESOLVERS[name]):
        greeting = b""

    begun = time.monotonic()
    found = transport.stream("127.0.0.1", b"a query\r\n", 0.5, serve(Resolver))
    assert time.monotonic() - begun < 2
    assert (found is None) == (name != "a flood")
