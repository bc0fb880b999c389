# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""smtp_probe: its options and its result."""

from __future__ import annotations

import pytest
from ansible_collections.mailops.postmaster.plugins.modules import smtp_probe
from mail_servers import RELAYED, SERVED, Mail, Server


@pytest.fixture
def server(serve):
    mail = Mail()
    port = serve(lambda: Server(mail))
    return mail, {
        "servers": [f"127.0.0.1:{port}"],
        "domains": list(SERVED),
        "relay_domains": list(RELAYED),
        "helo": "probe.example",
        "timeout": 2,
    }


def test_a_good_server_passes_and_gets_no_mail(run_module, server):
    mail, params = server
    result = run_module(smtp_probe, params)
    assert (result["failed"], result["changed"], result["verdict"]) == (False, False, "pass")
    (found,) = result["servers"]
    assert set(found) == {"server", "port", "verdict", "exempt", "checks", "messages", "transcript"}
    assert (found["server"], found["verdict"], found["exempt"], found["messages"]) == ("127.0.0.1", "pass", False, [])
    assert {"id", "requirement", "level", "verdict", "address", "command", "code", "text"} <= set(found["checks"][0])
    assert not mail.messages


@pytest.mark.parametrize(("check", "sent"), [(False, 5), (True, 0)])
def test_messages_are_sent_where_that_is_asked_for_and_never_in_check_mode(run_module, server, check, sent):
    mail, params = server
    result = run_module(smtp_probe, {**params, "send": True}, check=check)
    messages = result["servers"][0]["messages"]
    assert len(messages) == len(mail.messages) == sent
    assert all(
        set(message) == {"token", "id", "sender", "recipient", "domain", "code", "text", "sent"} for message in messages
    )


def test_the_verdict_is_that_of_the_worst_server(run_module, server, serve):
    class Refusing(Mail):
        names = ()

    port = serve(lambda: Server(Refusing()))
    _mail, params = server
    result = run_module(smtp_probe, {**params, "servers": [*params["servers"], f"127.0.0.1:{port}"]})
    assert [found["verdict"] for found in result["servers"]] == ["pass", "fail"]
    assert (result["failed"], result["verdict"]) == (False, "fail")


def test_a_raw_name_is_asked_as_a_labels_and_addresses_as_literals(run_module, server):
    _mail, params = server
    result = run_module(
        smtp_probe, {**params, "domains": ["Bücher.example"], "literals": ["2001:DB8::1", "[192.0.2.1]"]}
    )
    domains = {check["domain"] for check in result["servers"][0]["checks"]}
    assert domains == {"", "xn--bcher-kva.example", *RELAYED, "[127.0.0.1]", "[IPv6:2001:db8::1]", "[192.0.2.1]"}


@pytest.mark.parametrize(
    ("sender", "said"),
    [
        (None, "MAIL FROM:<postmaster@probe.example>"),
        ("", "MAIL FROM:<>"),
        ("me@a.example", "MAIL FROM:<me@a.example>"),
    ],
)
def test_the_sender_is_postmaster_unless_another_or_none_is_given(run_module, server, sender, said):
    _mail, params = server
    result = run_module(smtp_probe, {**params, "sender": sender})
    first = next(line for line in result["servers"][0]["transcript"] if "MAIL FROM" in line)
    assert first == f"C: {said}"


WRONG = [
    ({"servers": []}, "servers: []"),
    ({"servers": ["mx:x"]}, "servers: 'mx:x'"),
    ({"servers": ["mx\r\nQUIT"]}, "servers: 'mx\\r\\nQUIT'"),
    ({"domains": ["a b"]}, "domains: 'a b'"),
    ({"domains": ["example.org\nDATA"]}, "domains: 'example.org\\nDATA'"),
    ({"domains": ["a..b"]}, "domains: 'a..b'"),
    ({"domains": ["under_score.example"]}, "domains: 'under_score.example'"),
    ({"domains": ["x" * 64 + ".example"]}, "domains: 'xxx"),
    ({"relay_domains": [""]}, "relay_domains: ''"),
    ({"relay_domains": ["Example.org"]}, "relay_domains: 'example.org' is among the domains too"),
    ({"role_addresses": ["a@b"]}, "role_addresses: 'a@b'"),
    ({"role_addresses": ["a\0"]}, "role_addresses: 'a\\x00'"),
    ({"literals": ["mx.example.org"]}, "literals: 'mx.example.org'"),
    ({"helo": "a b"}, "helo: 'a b'"),
    ({"helo": "a\r\nMAIL FROM:<>"}, "helo: 'a\\r\\nMAIL FROM:<>'"),
    ({"sender": "me"}, "sender: 'me'"),
    ({"sender": "me@a.example>\r\nDATA"}, "sender: 'me@a.example>\\r\\nDATA'"),
    ({"foreign_domain": "example.org"}, "foreign_domain: 'example.org' is a domain of the servers"),
    ({"foreign_domain": ""}, "foreign_domain: ''"),
    ({"timeout": 0}, "timeout: 0.0"),
    ({"deadline": -1}, "deadline: -1.0"),
    ({"deadline": float("nan")}, "deadline: nan"),
    ({"retries": 11}, "retries: 11"),
    ({"deadline": float("inf")}, "deadline: inf"),
    ({"timeout": float("inf")}, "timeout: inf"),
    ({"servers": [""]}, "servers: ''"),
    ({"servers": ["[::1"]}, "servers: '[::1'"),
    ({"servers": ["mx.example.org:0"]}, "servers: 'mx.example.org:0'"),
    ({"servers": ["mx.example.org:99999"]}, "servers: 'mx.example.org:99999'"),
    ({"servers": ["mx.example.org:٢٥"]}, "servers: 'mx.example.org:٢٥'"),
    (
        {"servers": [f"mx{number}.example" for number in range(101)]},
        "servers: 101 entries are too many; allowed: at most 100",
    ),
    ({"domains": [""]}, "domains: ''"),
    ({"domains": [".".join(["a" * 60] * 5)]}, "domains: 'aaa"),
    ({"domains": ["ü" * 100]}, "domains: 'üüü"),
    ({"domains": ["a" * 1_000_000]}, "at most 1000 characters"),
    ({"domains": [f"d{number}.example" for number in range(100_000)]}, "domains: 100000 entries are too many"),
    ({"domains": ["-"] * 9000}, "8980 more mistakes of this kind."),
    ({"helo": "a" * 1_000_000}, "helo: 'aaa"),
    ({"sender": "a" * 65 + "@a.example"}, "sender: 'aaa"),
]


@pytest.mark.parametrize(("wrong", "said"), WRONG)
def test_wrong_input_is_refused_before_anything_is_said(run_module, server, wrong, said):
    mail, params = server
    result = run_module(smtp_probe, {**params, **wrong})
    assert result["failed"]
    assert said in result["msg"]
    assert mail.sessions == 0


def test_all_mistakes_are_told_at_once(run_module, server):
    _mail, params = server
    result = run_module(smtp_probe, {**params, "helo": "a b", "retries": -1})
    assert len(result["msg"].splitlines()) == 2
