# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server whose places others hold is no failure of the change; a server that does not serve for another reason is."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import socket
import threading

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system.host import Host
from ansible_collections.mailops.postmaster.plugins.module_utils._system.tcp_table import (
    CLOSE_WAIT,
    ESTABLISHED,
    FIN_WAIT2,
    HANDSHAKE,
    TIME_WAIT,
    Entry,
)
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction.crowd import MANY, Crowd
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction.service import Service
from mail_servers import Script

ME = pwd.getpwuid(os.getuid()).pw_name
FULL = [
    "Too many concurrent SMTP connections; please try again later.",
    "Too many concurrent SMTP connections from this IP address; please try again later.",
    "4.7.0 mail.example.org Error: too many connections from 192.0.2.9",
    "4.3.2 Too many open connections.",
    "4.3.2 All server ports are busy",
]
OTHER = [
    "Too much load; please try again later.",
    "Unexpected failure. Please try later.",
    "4.3.2 Connection rate limit exceeded.",
    "4.3.0 Server local problem",
    "Service not available",
]


@pytest.fixture
def ask(monkeypatch):
    """What is wrong with a server on loopback, and the warnings."""
    monkeypatch.setattr(f"{Service.__module__}.HELD", 0.01)

    def run(port, misplaced=str, seconds=0.3):
        monkeypatch.setattr(f"{Service.__module__}.ANSWER", seconds)
        service = Service(Host(), {}, [{"address": "127.0.0.1", "port": port, "greeting": "^220"}], seconds + 0.1)
        return service.answer(misplaced), service.warnings

    return run


@contextlib.contextmanager
def held(port, count):
    """Connections to a port, all of which have been greeted."""
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _one in range(count)]
        for one in found:
            one.recv(100)
        yield


@pytest.fixture
def full(serve):
    """A server that greets so many clients, and says something else to all others."""

    def run(places, words):
        count = []

        class Full(Script):
            def connection_made(self, transport):
                count.append(1)
                self.greeting = b"220 script\r\n" if len(count) <= places else words.encode() + b"\r\n"
                super().connection_made(transport)

        return serve(Full)

    return run


@pytest.mark.parametrize("words", FULL)
@pytest.mark.parametrize("count", [1, 20])
def test_a_server_that_says_that_others_hold_its_places_is_no_failure(ask, full, words, count):
    port = full(count, f"421 {words}")
    with held(port, count):
        wrong, warnings = ask(port)
    assert wrong == ""
    assert len(warnings) == 1
    assert f"127.0.0.1 port {port} serves nobody else: 421 {words}; others hold its connections: " in warnings[0]
    assert f"{count} by 127.0.0.1 (account {ME})" in warnings[0]


@pytest.mark.parametrize(
    ("count", "words"),
    [
        *[(0, f"421 {words}") for words in FULL],
        *[(20, f"421 {words}") for words in OTHER],
        *[(20, f"{code} {words}") for words in FULL for code in (454, 554)],
    ],
)
def test_a_server_that_has_a_reason_of_its_own_fails_whoever_holds_connections(ask, full, count, words):
    port = full(count, words)
    with held(port, count):
        wrong, warnings = ask(port)
    assert words in wrong
    assert not warnings


def test_who_is_served_at_last_is_no_crowd(ask, full):
    port = full(20, "421 " + FULL[0])
    with held(port, 3):
        assert ask(port) == ("", [])


@contextlib.contextmanager
def silent(accepted, waiting):
    """A server that has accepted some clients, has so many others in its queue of two places, and says nothing."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1))
        for _one in range(accepted):
            stack.enter_context(socket.create_connection(server.getsockname()))
            stack.enter_context(server.accept()[0])
        for _one in range(waiting):
            stack.enter_context(socket.create_connection(server.getsockname()))
        yield server.getsockname()[1]


@pytest.mark.parametrize(
    ("waiting", "said"), [(0, "nothing within 0.3 s|the time for this server is over"), (2, "no connection within")]
)
def test_a_server_that_accepts_nobody_else_because_it_serves_others_is_no_failure(ask, waiting, said):
    with silent(MANY, waiting) as port:
        wrong, warnings = ask(port)
    assert wrong == ""
    assert len(warnings) == 1
    assert re.search(f"serves nobody else: .*({said})", warnings[0])
    assert f"{MANY} by 127.0.0.1 (account {ME})" in warnings[0]


@pytest.mark.parametrize(("accepted", "waiting"), [(0, 0), (0, 2), (MANY - 1, 0), (MANY - 1, 2)])
def test_a_server_that_accepts_nobody_for_no_reason_that_is_seen_fails(ask, accepted, waiting):
    with silent(accepted, waiting) as port:
        wrong, warnings = ask(port)
    assert "does not answer" in wrong
    assert not warnings


def test_a_server_that_accepts_a_client_and_does_not_greet_it_fails_whoever_else_is_there(ask, serve):
    class Silent(Script):
        greeting = b""

    port = serve(Silent)
    with contextlib.ExitStack() as stack:
        for _one in range(2 * MANY):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        wrong, warnings = ask(port)
    assert "does not answer" in wrong
    assert not warnings


def test_a_server_that_closes_the_connection_after_its_client_is_no_better(ask):
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        for _one in range(MANY):
            stack.enter_context(socket.create_connection(server.getsockname()))
            stack.enter_context(server.accept()[0])

        def outlast():
            while True:
                try:
                    accepted = server.accept()[0]
                except OSError:
                    return
                with accepted:
                    accepted.recv(1)

        threading.Thread(target=outlast, daemon=True).start()
        stack.callback(server.shutdown, socket.SHUT_RDWR)
        wrong, warnings = ask(server.getsockname()[1], seconds=3.0)  # a busy machine lets the server wait
    assert "does not answer" in wrong
    assert not warnings


@pytest.mark.parametrize("seen", [["the old one went on"], ["", "the old one went on"]])
def test_a_crowd_does_not_hide_that_the_configuration_is_not_in_force(ask, seen):
    said = iter([*seen, *[seen[-1]] * 1000])
    with silent(MANY, 0) as port:
        assert ask(port, lambda: next(said))[0] == "the old one went on"


def test_what_is_seen_for_a_moment_while_processes_come_and_go_is_no_failure(ask):
    said = iter(["", "nothing listens"])
    with silent(MANY, 0) as port:
        wrong, warnings = ask(port, lambda: next(said, ""))
    assert (wrong, len(warnings), next(said, None)) == ("", 1, None)


@pytest.mark.parametrize("second", [b"421 Too much load\r\n", b"554 no\r\n", b""])
def test_a_crowd_at_one_address_does_not_hide_what_is_wrong_at_another_one(monkeypatch, full, serve, second):
    monkeypatch.setattr(f"{Service.__module__}.ANSWER", 0.3)
    first = full(20, "421 " + FULL[0])
    other = serve(type("Other", (Script,), {"greeting": second}))
    listeners = [{"address": "127.0.0.1", "port": port, "greeting": "^220"} for port in (first, other)]
    with held(first, 20):
        service = Service(Host(), {}, listeners, 0.4)
        assert f"port {other}" in service.answer()
    assert not service.warnings


def entry(peer, peer_port, state=ESTABLISHED, inode="7", port=25):
    return Entry("192.0.2.1", port, peer, peer_port, state, 0, inode)


HERE = Entry("192.0.2.1", 7, "192.0.2.1", 25, ESTABLISHED, 1001, "8")


@pytest.mark.parametrize(
    ("known", "shown"),
    [
        ([], ""),
        ([entry("192.0.2.9", 7)], "1 by 192.0.2.9"),
        ([entry("192.0.2.9", 7), entry("192.0.2.9", 8)], "2 by 192.0.2.9"),
        ([entry("192.0.2.1", 7), HERE], "1 by 192.0.2.1 (account uid 1001)"),
        ([entry("192.0.2.9", 7, inode="0")], ""),
        ([entry("192.0.2.9", 7, CLOSE_WAIT)], ""),
        ([entry("192.0.2.9", 7, port=587)], ""),
        (
            [entry(f"192.0.2.{last}", count) for last in range(2, 7) for count in range(last)],
            "6 by 192.0.2.6, 5 by 192.0.2.5, 4 by 192.0.2.4, others by 2 more clients",
        ),
    ],
)
def test_those_who_hold_most_connections_are_named(known, shown):
    assert str(Crowd.at(25, known, lambda uid: f"uid {uid}")) == shown


OWN = ("192.0.2.1", 7)
SERVED = [entry("192.0.2.9", count) for count in range(MANY)]


# The connection that gets no answer, and whether a crowd explains that.
UNHEARD = [
    (OWN, [entry(*OWN, inode="0")], True),
    (OWN, [entry(*OWN, CLOSE_WAIT, inode="0")], True),
    (OWN, [], True),  # a full queue forgets a connection that its client takes for open
    (OWN, [entry(*OWN, HANDSHAKE, inode="0")], True),
    (OWN, [entry(*OWN)], False),
    (OWN, [entry(*OWN, CLOSE_WAIT)], False),
    # an end that was closed is known to a server that had accepted it
    (OWN, [Entry(*OWN, "192.0.2.1", 25, TIME_WAIT, 0, "0")], False),
    (OWN, [Entry(*OWN, "192.0.2.1", 25, FIN_WAIT2, 0, "0")], False),
    (OWN, [Entry(*OWN, "192.0.2.1", 25, FIN_WAIT2, 0, "0"), entry(*OWN, CLOSE_WAIT, inode="0")], True),
    (None, [], False),
    (None, [entry("192.0.2.8", 7, inode="0")], True),
    (None, [entry("192.0.2.8", 7, HANDSHAKE, inode="0")], True),
    (None, [entry("192.0.2.8", 7, CLOSE_WAIT)], False),
]


@pytest.mark.parametrize(("own", "others", "explained"), UNHEARD)
def test_connections_of_before_tell_nothing_of_the_server_that_is_asked(own, others, explained):
    def crowd(before):
        return Crowd.at(25, [*fresh, *others], str, before)

    fresh = [entry("192.0.2.9", count, inode=f"{count + 10}") for count in range(MANY)]
    inodes = [one.inode for one in fresh]
    assert (crowd(()).explains_silence(own), crowd(()).outlasts(own)) == (explained, False)
    assert (crowd(inodes).explains_silence(own), crowd(inodes).outlasts(own)) == (False, explained)
    assert (crowd(inodes[:1]).explains_silence(own), crowd(inodes[:1]).outlasts(own)) == (False, False)


@pytest.mark.parametrize(("own", "others", "explained"), UNHEARD)
def test_a_connection_that_the_server_has_accepted_is_not_kept_waiting_by_others(own, others, explained):
    assert Crowd.at(25, [*SERVED, *others], str).explains_silence(own) == explained
    assert not Crowd.at(25, [*SERVED[1:], *others], str).explains_silence(own)


@pytest.mark.parametrize(("accepts", "found"), [("192.0.2.1", MANY), ("192.0.2.2", 0)])
def test_connections_at_the_address_of_another_server_are_not_those_of_this_one(accepts, found):
    crowd = Crowd.at(25, SERVED, str, (), lambda address: address == accepts)
    assert (crowd.fresh, sum(crowd.served.values())) == (found, found)


def test_a_crowd_at_another_address_is_not_that_of_a_server_that_hangs(ask):
    """The same port, at which another server serves others."""
    with silent(0, 0) as port, contextlib.ExitStack() as stack:
        other = stack.enter_context(socket.create_server(("127.0.0.2", port)))
        for _one in range(MANY):
            stack.enter_context(socket.create_connection(other.getsockname()))
            stack.enter_context(other.accept()[0])
        wrong, warnings = ask(port)
    assert ("does not answer" in wrong, warnings) == (True, [])
