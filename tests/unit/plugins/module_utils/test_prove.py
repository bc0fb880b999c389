# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong with one part of the proof costs that part its verdict, and no other."""

from __future__ import annotations

import contextlib
import pwd
import socket
import time
from dataclasses import replace
from types import MappingProxyType, SimpleNamespace

import fake_mta
import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils import prove
from ansible_collections.mailops.postmaster.plugins.module_utils._system.process import NoAnswerError
from ansible_collections.mailops.postmaster.plugins.module_utils.aliases.expand import Destination, Step
from ansible_collections.mailops.postmaster.plugins.module_utils.errors import OverdueError, UserError
from ansible_collections.mailops.postmaster.plugins.module_utils.proof import Limit
from ansible_collections.mailops.postmaster.plugins.module_utils.verdict import ORDER, Check
from ansible_collections.mailops.postmaster.plugins.modules import postmaster_check
from mail_servers import Mail, Script, Server, mbox_entry

DEFAULTS = {
    **{name: option["default"] for name, option in postmaster_check.ARGUMENTS.items()},
    "unread_days": 0,
    "timeout": 0,
    "report_only": True,
    "deadline": 60,
}


@pytest.fixture
def proof(serve, monkeypatch, tmp_path):
    """``proof(mta, **params)``: the proof of a host with a good server and ``mta``."""
    monkeypatch.setattr(prove, "adapter_for", None)
    monkeypatch.setattr(prove, "PORT", None)
    monkeypatch.setattr(prove, "LOOPBACK", None)
    monkeypatch.setattr(prove, "probe_each", None)
    box = tmp_path / "alice"

    class Delivering(Mail):
        names = ("postmaster", "abuse")

        def rcpt(self, address, sender, before):
            return "250 2.1.5 Ok" if address == "postmaster@mx.example.org" else super().rcpt(address, sender, before)

        def data(self, envelope):
            with box.open("ab") as file:
                file.write(mbox_entry(envelope.content))
            return super().data(envelope)

    port = serve(lambda: Server(Delivering(), decode_data=False))

    def call(mta=fake_mta.Mta, breaks=None, server=port, **params):
        class Here(mta):
            ends = (("mailbox", str(box)),)

        fake_mta.use(Here, [server])
        for name, broken in (breaks or {}).items():
            monkeypatch.setattr(prove, name, broken)
        return prove.prove({**DEFAULTS, **params}, False)

    return call


def layers(result, domain="example.org"):
    (found,) = [found for found in result["domains"] if found["domain"] == domain]
    return tuple(found[layer]["verdict"] for layer in ("resolves", "accepts", "lands"))


def ringing(work):
    """What does its work and hears the alarm of the deadline before it ends, the first time."""
    rung = []

    def rings(*args):
        found = work(*args)
        if not rung:
            rung.append(1)
            raise OverdueError("the module had not ended after 300 s, its deadline")
        return found

    return rings


@pytest.mark.parametrize(
    ("where", "name"),
    [
        (prove.Mailboxes, "close"),
        (prove.proof, "domain_result"),
        (prove.proof, "summary"),
        (prove.proof, "findings"),
        (prove, "add_up"),
    ],
)
def test_an_alarm_while_the_verdicts_are_put_together_costs_none_of_them(proof, monkeypatch, where, name):
    monkeypatch.setattr(where, name, ringing(getattr(where, name)))
    result = proof()
    assert (result["verdict"], result["findings"]) == ("pass", [])
    assert layers(result) == ("pass", "pass", "pass")


@pytest.mark.parametrize("left", [[], ["/var/mail/alice: 6 of 6 are followed by other mail"]])
def test_whoever_wants_no_token_messages_is_warned_of_those_that_stay(proof, monkeypatch, left):
    monkeypatch.setattr(prove.HostProof, "remove", lambda _self: {"messages_removed": 0, "messages_left": left})
    result = proof(remove_messages=True)
    assert (result["verdict"], result["messages_left"]) == ("pass", left)
    assert result["warnings"] == [f"Token messages were not removed: {mailbox}" for mailbox in left]


@pytest.mark.parametrize(
    ("kind", "account", "named_by"),
    [
        ("file", "daemon", pwd.getpwnam("daemon").pw_uid),
        ("file", str(pwd.getpwnam("daemon").pw_uid), pwd.getpwnam("daemon").pw_uid),
        ("file", "no such account", 65534),
        ("file", "99999999", 65534),
        ("file", "root", None),
        ("file", "0", None),
        ("file", "", None),
        ("mailbox", "daemon", None),
    ],
)
@pytest.mark.parametrize("unread_days", [0, 30])
def test_a_file_is_looked_at_as_the_account_that_the_mta_writes_it_as(
    proof, monkeypatch, kind, account, named_by, unread_days
):
    class Naming(fake_mta.Mta):
        def step(self, _node):
            return Step(destinations=(Destination(kind, "/nonexistent/box", account=account),))

    told = []
    asked = prove.Mailboxes.unread
    monkeypatch.setattr(prove.Mailboxes, "named", lambda _boxes, path, rights: told.append((path, rights)))
    monkeypatch.setattr(prove.Mailboxes, "unread", lambda *args: told.append("asked") or asked(*args))
    proof(Naming, unread_days=unread_days)
    assert ("asked" in told[1:]) == bool(unread_days)
    assert told[0] != "asked"
    assert {(one[0], one[1] and one[1].uid) for one in told if one != "asked"} == {("/nonexistent/box", named_by)}


def test_a_good_host_passes(proof):
    result = proof()
    assert (result["verdict"], result["findings"]) == ("pass", [])
    assert layers(result) == ("pass", "pass", "pass")


TABLE = "virtual_mailbox_domains: sqlite:/etc/postfix/domains.cf"


class Databased(fake_mta.Mta):
    """Its other domains are in a database: example.com is, and whether example.net is the MTA cannot say."""

    def served(self):
        return replace(super().served(), unlisted=(TABLE,))

    def kind_of(self, domain):
        if domain == "example.net":
            raise UserError("the database is down")
        return "virtual" if domain == "example.com" else "none"


def test_a_table_that_cannot_be_listed_is_never_green(proof):
    result = proof(Databased)
    assert (result["verdict"], result["unlisted"]) == ("inconclusive", [TABLE])
    assert result["findings"] == [prove.proof.unlisted_words(TABLE)]
    assert TABLE in result["summary"]
    assert layers(result) == ("pass", "pass", "pass")


@pytest.mark.parametrize(
    ("name", "kind", "resolves"),
    [
        ("example.org", "local", "pass"),
        ("example.com", "virtual", "pass"),
        ("example.net", "unknown", "inconclusive"),
        ("foreign.example", "none", "fail"),
    ],
)
def test_the_mta_is_asked_about_a_domain_that_is_named(proof, name, kind, resolves):
    result = proof(Databased, domains=[name])
    (found,) = [found for found in result["domains"] if found["domain"] == name]
    assert (found["kind"], found["resolves"]["verdict"], result["unlisted"]) == (kind, resolves, [])
    assert not any(finding.startswith("inconclusive:") for finding in result["findings"])
    assert ("the database is down" in "".join(result["findings"])) == (kind == "unknown")


ROOT = SimpleNamespace(geteuid=lambda: 0)  # nobody else sees all processes


def test_a_server_that_refuses_a_message_from_the_null_sender_fails(serve, proof):
    class Choosy(Mail):
        names = ("postmaster", "abuse")

        def data(self, envelope):
            return "554 5.7.1 No bounces here" if envelope.mail_from == "<>" else super().data(envelope)

    result = proof(server=serve(lambda: Server(Choosy(), decode_data=False)))
    line = "D8 fail: Postmaster from the null sender: not accepted: 554 5.7.1 No bounces here"
    assert [finding for finding in result["findings"] if finding.startswith("D8")] == [line]
    assert layers(result, "(no domain)")[1:] == ("pass", "fail")


@pytest.mark.parametrize(
    ("exempt", "report_only", "warned"), [(True, False, True), (False, True, True), (False, False, False)]
)
def test_what_does_not_fail_the_task_is_a_warning_of_ansible_s(proof, exempt, report_only, warned):
    """So that nobody needs the callback to see it."""
    nothing = {"probe_each": lambda *_rest: [], "PORT": 1}
    result = proof(Silent, nothing, exempt=exempt, report_only=report_only)
    assert (result["warnings"] == [result["summary"]]) == warned
    assert bool(result.get("failed")) != warned


class Limited(fake_mta.Mta):
    limits = (Limit("A16", "^VRFY", "502", "it does not know VRFY"),)


@pytest.mark.parametrize(("strict", "verdict", "listed"), [(False, "pass", True), (True, "warn", False)])
def test_what_an_mta_cannot_do_counts_only_where_that_is_asked_for(serve, proof, strict, verdict, listed):
    class NoVerify(Mail):
        names = ("postmaster", "abuse")

        def vrfy(self, _address):
            return "502 5.5.1 Unknown"

    result = proof(Limited, server=serve(lambda: Server(NoVerify(), decode_data=False)), strict=strict)
    assert layers(result, "(no domain)")[1] == verdict
    assert result["limitations"] == (["A16: it does not know VRFY"] if listed else [])
    assert any(line.startswith("A16") for line in result["findings"]) == strict


class Silent(fake_mta.Mta):
    """An MTA that listens nowhere; what answers is another program."""

    def listeners(self):
        return []


def test_a_host_whose_port_belongs_to_another_program_is_not_green(proof):
    result = proof(Silent)
    assert (layers(result)[1], result["verdict"]) == ("fail", "fail")
    (finding,) = [line for line in result["findings"] if line.startswith("L1")]
    assert "belongs to python" in finding
    assert finding.endswith(
        ", and simple listens nowhere. To mend it: start the MTA, and see in its log why it does not listen"
    )


@pytest.mark.parametrize(("exempt", "verdict"), [(True, "warn"), (False, "fail")])
def test_a_host_on_which_nothing_listens_is_not_green(proof, exempt, verdict):
    nothing = {"probe_each": lambda *_rest: [], "PORT": 1}
    assert layers(proof(Silent, nothing, exempt=exempt))[:2] == ("pass", verdict)


@pytest.mark.parametrize("exempt", [True, False])
def test_a_host_whose_mta_does_not_run_is_not_green(proof, exempt):
    class Dead(Silent):
        name = "postfix"

    nothing = {"probe_each": lambda *_rest: [], "PORT": 1, "os": ROOT}
    assert layers(proof(Dead, nothing, exempt=exempt))[:2] == ("pass", "fail")


@pytest.mark.parametrize(
    ("served", "said", "named"),
    [
        (1, "421 Too many concurrent SMTP connections", "1 by 127.0.0.1 (account "),
        (1, "421 Too much load", ""),
        (0, "421 Too many concurrent SMTP connections", ""),
    ],
)
def test_who_holds_the_connections_of_a_server_is_told_and_nothing_is_proven(proof, serve, served, said, named):
    count = []

    class Full(Script):
        def connection_made(self, transport):
            count.append(1)
            self.greeting = (b"220 script" if len(count) <= served else said.encode()) + b"\r\n"
            super().connection_made(transport)

    port = serve(Full)
    with contextlib.ExitStack() as stack:
        for _one in range(served):
            stack.enter_context(socket.create_connection(("127.0.0.1", port))).recv(100)
        result = proof(server=port)
    assert layers(result) == ("pass", "inconclusive", "inconclusive")
    assert result["warnings"][0] == result["summary"]
    assert [named in warning for warning in result["warnings"][1:]] == [True] * bool(named)
    assert any(said in finding for finding in result["findings"])


UNEXPECTED = [
    MemoryError(),
    RecursionError("maximum recursion depth exceeded"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    PermissionError(13, "Permission denied", "/etc/postfix/secret"),
    OverdueError("`postmap` had not ended after 20 s, the deadline of the module"),
    NoAnswerError("`postmap` did not end within 20 s"),
    UserError("/etc/aliases:3: no alias"),
    KeyError("key"),
]


def breaking(method, error, when=lambda *_: True):
    """A host whose MTA breaks in one method."""

    def broken(self, *args):
        if when(*args):
            raise error
        return getattr(fake_mta.Mta, method)(self, *args)

    return type("Breaking", (fake_mta.Mta,), {method: broken})


@pytest.mark.parametrize("error", UNEXPECTED, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(
    ("method", "when", "found"),
    [
        ("step", lambda node: node == "postmaster@example.org", ("inconclusive", "pass", "inconclusive")),
        ("step", lambda node: node == "abuse@example.org", ("inconclusive", "pass", "pass")),
        ("opinion", lambda address: address == "postmaster@example.org", ("inconclusive", "pass", "pass")),
        ("expect", lambda *_: True, ("pass", "pass", "pass")),
        ("version", lambda *_: True, ("pass", "pass", "pass")),
    ],
)
def test_what_breaks_in_one_part_leaves_the_others_their_verdicts(proof, error, method, when, found):
    result = proof(breaking(method, error, when))
    assert layers(result) == found
    assert layers(result, "(no domain)") == ("pass", "pass", "pass")
    assert "inconclusive" in "".join(result["findings"]) or found == ("pass", "pass", "pass")


@pytest.mark.parametrize("error", UNEXPECTED, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("probe_each", ("pass", "inconclusive", "inconclusive")),
        ("Search", ("pass", "pass", "inconclusive")),
    ],
)
def test_what_breaks_in_one_layer_leaves_the_others_their_verdicts(proof, error, where, found):
    def broken(*_args):
        raise error

    result = proof(breaks={where: broken})
    assert layers(result) == found
    assert any(line.startswith("lands inconclusive: example.org: ") for line in result["findings"])


@pytest.mark.parametrize("error", UNEXPECTED, ids=lambda error: type(error).__name__)
def test_a_host_that_cannot_be_asked_at_all_has_a_verdict_and_a_reason(proof, error):
    result = proof(breaking("served", error))
    assert (result["verdict"], result["failed"], result["domains"]) == ("inconclusive", True, [])
    assert result["summary"].endswith(result["msg"])


def test_a_log_that_cannot_be_read_is_no_finding_against_the_host(proof):
    class Elsewhere(breaking("handed_on", PermissionError(13, "Permission denied", "/var/log/mail.log"))):
        others = MappingProxyType({"postmaster": (("mailbox", "/nonexistent/bob"),)})

    result = proof(Elsewhere)
    assert layers(result)[2] == "inconclusive"
    assert "/var/log/mail.log: Permission denied" in "".join(result["findings"])


def test_a_search_that_the_deadline_ends_is_no_finding_against_the_host(proof):
    class Elsewhere(fake_mta.Mta):
        others = MappingProxyType({"postmaster": (("mailbox", "/nonexistent/bob"),)})

    assert layers(proof(Elsewhere))[2] == "fail"
    begun = time.monotonic()
    result = proof(Elsewhere, timeout=600, deadline=3)
    assert time.monotonic() - begun < 3 + 5
    assert layers(result)[2] == "inconclusive"
    assert "the deadline of 3 s was over" in "".join(result["findings"])


@pytest.mark.parametrize(
    "name", ["bücher.example", "under_score.example", "a..b", "x" * 300 + ".example", "a b.example"]
)
def test_a_domain_of_the_mta_that_smtp_cannot_say_costs_the_others_nothing(proof, name):
    class Odd(fake_mta.Mta):
        domains = ("example.org", name)

    result = proof(Odd)
    assert layers(result) == ("pass", "pass", "pass")
    assert layers(result, name)[:2] == ("pass", "inconclusive")


LONG = ".".join(["a" * 60] * 5)
WRONG = [
    ({"domains": ["bücher\n.example"]}, "domains: 'bücher\\n.example' is not allowed here"),
    ({"domains": ["example.org\nDATA"]}, "domains: 'example.org\\nDATA'"),
    ({"domains": [""]}, "domains: ''"),
    ({"domains": [LONG]}, "domains: 'aaa"),
    ({"domains": ["ü" * 100_000]}, "at most 1000 characters"),
    ({"domains": ["\ud800.example"]}, "domains: '\\ud800.example'"),
    ({"domains": [f"d{number}.example" for number in range(100_000)]}, "domains: 100000 entries are too many"),
    ({"domains": ["-"] * 9000}, "8980 more mistakes of this kind."),
    ({"role_addresses": ["a@b", "a\0"]}, "role_addresses: 'a@b'"),
    ({"timeout": -1}, "timeout: -1"),
    ({"timeout": float("nan")}, "timeout: nan"),
    ({"unread_days": -1}, "unread_days: -1"),
]


@pytest.mark.parametrize(("params", "said"), WRONG)
def test_wrong_options_are_told_before_anything_is_done(monkeypatch, params, said):
    monkeypatch.setattr(prove, "adapter_for", lambda *_: pytest.fail("asked"))
    with pytest.raises(UserError) as caught:
        prove.prove({**DEFAULTS, **params}, False)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 25_000


def test_a_name_in_another_script_is_proven_as_a_labels(proof):
    class German(fake_mta.Mta):
        domains = ("xn--bcher-kva.example",)

    result = proof(German, domains=["Bücher.example"])
    assert layers(result, "xn--bcher-kva.example")[0] == "pass"


CHECK = Check(
    "A1", "pass", "postmaster@example.org", "RCPT TO:<postmaster@example.org>", 250, "Ok", domain="example.org"
)
MESSAGE = {
    "token": "3f0c2a7be1d94f60",
    "id": "A1",
    "sender": "",
    "recipient": "postmaster@example.org",
    "domain": "example.org",
    "code": 250,
    "text": "Ok",
    "sent": 1.0,
}
SERVER = {
    "server": "192.0.2.1",
    "port": 25,
    "verdict": "pass",
    "exempt": False,
    "transcript": ["S: 220"],
    "checks": [CHECK.as_dict()],
    "messages": [MESSAGE],
}


def nested(levels):
    value = []
    for _level in range(levels):
        value = [value]
    return value


def forged(where, key, value=None):
    """What smtp_probe returned, with one value changed, or without it."""
    server = {**SERVER, "checks": [CHECK.as_dict()], "messages": [dict(MESSAGE)]}
    part = {"server": server, "check": server["checks"][0], "message": server["messages"][0]}[where]
    part.pop(key, None)
    part.update({} if value is None else {key: value})
    return [server]


FORGED = [
    *((forged("server", key), f"probe[0].{key}: ") for key in SERVER),
    *((forged("check", key), f"probe[0].checks[0].{key}: is missing") for key in ("id", "verdict", "code", "domain")),
    *((forged("message", key), f"probe[0].messages[0].{key}: is missing") for key in MESSAGE),
    *((forged("server", key, 7.5), f"probe[0].{key}: ") for key in SERVER),
    *((forged("check", key, []), f"probe[0].checks[0].{key}: ") for key in CHECK.as_dict()),
    *((forged("message", key, {}), f"probe[0].messages[0].{key}: ") for key in MESSAGE),
    (forged("server", "port", True), "probe[0].port: True"),
    (forged("server", "x", nested(3000)), "probe[0]: 'x' is unknown"),
    (forged("server", "checks", nested(3000)), "probe[0].checks[0]: is not a mapping"),
    (forged("server", "transcript", nested(3000)), "probe[0].transcript: a list is not allowed"),
    (forged("check", "text", nested(3000)), "probe[0].checks[0].text: a list is not allowed"),
    (forged("check", "id", "Z9"), "probe[0].checks[0].id: 'Z9'"),
    (forged("check", "verdict", "fine"), "probe[0].checks[0].verdict: 'fine'"),
    (forged("check", "code", -1), "probe[0].checks[0].code: -1"),
    (forged("check", "code", 10**400), "probe[0].checks[0].code: "),
    (forged("message", "token", "a b"), "probe[0].messages[0].token: 'a b'"),
    (forged("message", "token", ""), "probe[0].messages[0].token: ''"),
    (forged("message", "sent", float("nan")), "probe[0].messages[0].sent: nan"),
    (forged("message", "sent", float("inf")), "probe[0].messages[0].sent: inf"),
    (["server"], "probe[0]: is not a mapping"),
    ([None], "probe[0]: is not a mapping"),
]


@pytest.mark.parametrize(("probe", "said"), FORGED)
def test_what_another_host_cannot_have_seen_is_refused(monkeypatch, probe, said):
    monkeypatch.setattr(prove, "adapter_for", lambda *_: pytest.fail("asked"))
    with pytest.raises(UserError) as caught:
        prove.prove({**DEFAULTS, "probe": probe}, False)
    assert said in str(caught.value)


def test_what_another_host_saw_counts(proof):
    result = proof(probe=[SERVER])
    assert result["stranger"]
    assert layers(result)[:2] == ("pass", "pass")
    assert {domain["verdict"] for domain in result["domains"]} <= set(ORDER)


@pytest.mark.parametrize(
    ("code", "text", "weight", "begins"),
    [
        (250, "Ok", "pass", []),
        (421, "Too busy", "inconclusive", ["A1"]),
        (0, "[Errno 111] Connection refused", "fail", ["L1"]),
        (0, "no connection within 10 s", "fail", ["L1"]),
    ],
)
def test_a_router_leads_to_another_port_only_where_the_probe_heard_a_server(proof, code, text, weight, begins):
    """The MTA listens at a port that nobody asked; what answers at port 1, if anything does, is behind a router."""

    class Elsewhere(fake_mta.Mta):
        def listeners(self):
            return [("0.0.0.0", 2525)]

    verdict, command = ("pass", CHECK.command) if code == 250 else ("inconclusive", "connect")
    check = replace(CHECK, verdict=verdict, command=command, code=code, text=text).as_dict()
    result = proof(Elsewhere, probe=[{**SERVER, "port": 1, "messages": [], "checks": [check]}], layers=["accepts"])
    assert [line[:2] for line in result["findings"]] == begins
    assert layers(result)[1] == weight
    told = "; L1 fail: port 1: simple does not listen there, but at port 2525 alone. To mend it: let simple listen"
    assert (told in result["summary"]) == (begins == ["L1"])
