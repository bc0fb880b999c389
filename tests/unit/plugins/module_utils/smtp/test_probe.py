# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The probe against a server that keeps every rule, and against those that break just one."""

from __future__ import annotations

import socket
from collections import Counter

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils.requirements import ACCEPTS, EVERY_RUN, REQUIREMENTS
from ansible_collections.mailops.postmaster.plugins.module_utils.smtp.probe import Options, hand_in, probe, probe_each
from mail_servers import RELAYED, SERVED, Mail, Script, Server


def ask(port, served=SERVED, relayed=RELAYED, **options):
    settings = {"helo": "stranger.example", "timeout": 2.0, "submission": 0, **options}
    return probe("127.0.0.1", port, served, relayed, options=Options(**settings))


def failed(result):
    return {check.id for check in result.checks if check.verdict == "fail"}


def of(result, row, verdict=None):
    return [check for check in result.checks if check.id == row and verdict in (None, check.verdict)]


def refusing(wrong, reply="550 5.1.1 User unknown"):
    """A server that refuses what ``wrong(address, sender, recipients before)`` says, and else keeps the rules."""

    class Refusing(Mail):
        def rcpt(self, address, sender, before):
            return reply if wrong(address, sender, before) else super().rcpt(address, sender, before)

    return Server, Refusing


def accepting(address):
    return accepting_from(lambda asked, _sender: address(asked))


def accepting_from(wrong):
    """A server that takes what ``wrong(address, sender)`` says, and else keeps the rules."""

    class Accepting(Mail):
        def rcpt(self, asked, sender, before):
            return "250 Ok" if wrong(asked, sender) else super().rcpt(asked, sender, before)

    return Server, Accepting


def no_sender(wrong, reply="550 5.7.1 Sender refused"):
    class NoSender(Mail):
        def mail(self, sender):
            return reply if wrong(sender) else super().mail(sender)

    return Server, NoSender


class NoVerify(Mail):
    def vrfy(self, _address):
        return "502 5.5.1 VRFY command is disabled"


class NoHelo(Server):
    async def on_helo(self, _hostname):
        await self.push("502 5.5.2 EHLO, please")


class TlsAfterHelo(Server):
    async def on_mail(self, arg):
        await (Server.smtp_MAIL(self, arg) if self.session.extended_smtp else self.push("530 5.7.0 STARTTLS first"))


class NoLimits(Server):
    """Takes a message of any size, whatever it says of SIZE."""

    async def on_mail(self, arg):
        await Server.smtp_MAIL(self, arg.partition(" SIZE=")[0])


class Small(Server):
    """Takes messages of one octet less than every server does, and says so."""

    def __init__(self, mail):
        super().__init__(mail, data_size_limit=65535)


class Smaller(Server):
    """Refuses what it says that it takes."""

    async def on_mail(self, arg):
        await (self.push("552 5.3.4 Too large") if " SIZE=65536" in arg else Server.smtp_MAIL(self, arg))


class NoUtf8(Server):
    """Offers SMTPUTF8, and does not take it."""

    def __init__(self, mail):
        super().__init__(mail, enable_SMTPUTF8=True)

    async def on_mail(self, arg):
        await (self.push("555 5.5.4 Unsupported") if "SMTPUTF8" in arg else Server.smtp_MAIL(self, arg))


class Shut(Script):
    """A compliant closed server (RFC 5321 section 3.1)."""

    greeting = b"554 No SMTP service here\r\n"

    def answer(self, line):
        return b"221 Bye\r\n" if line == b"QUIT" else b"503 Bad sequence of commands\r\n"


class NotReallyShut(Shut):
    def answer(self, _line):
        return b"250 Ok\r\n"


class ShutAndGone(Shut):
    def answer(self, _line):
        return None


class Shut521(Shut):
    greeting = b"521 This host does not accept mail\r\n"


class Shut521AndGone(Shut521, ShutAndGone):
    pass


class NotReallyShut521(Shut521, NotReallyShut):
    pass


MUTANTS = [
    ("A1", refusing(lambda address, *_: address == "postmaster@example.org")),
    ("A1", refusing(lambda address, *_: address == "postmaster@example.com")),
    ("A2", refusing(lambda address, *_: address == "Postmaster")),
    ("A3", refusing(lambda address, *_: address == "POSTMASTER")),
    ("A3", refusing(lambda address, *_: address == "PoStMaStEr@example.net")),
    ("A4", refusing(lambda address, *_: address == '"postmaster"@example.org', "501 Syntax error")),
    ("A4", refusing(lambda address, *_: "\\" in address)),
    ("A5", refusing(lambda address, *_: address.startswith("@x.example:"), "501 5.1.3 Bad address syntax")),
    ("A6", no_sender(lambda sender: not sender)),
    ("A6", refusing(lambda _address, sender, before: not sender and before, "452 4.5.3 One bounce, one recipient")),
    ("A7", no_sender(lambda sender: sender.endswith("@example.org"))),
    ("A7", refusing(lambda _address, sender, _before: sender.endswith("@example.net"), "550 5.7.1 Not logged in")),
    ("A7", refusing(lambda _address, sender, _before: sender.startswith("nosuch-"), "550 5.1.1 User unknown")),
    ("A8", no_sender(lambda sender: sender.endswith("@nonexistent.invalid"), "550 5.1.8 Domain does not exist")),
    ("A11", refusing(lambda _address, _sender, before: len(before) > 98, "452 4.5.3 Too many recipients")),
    ("A11", (NoLimits, Mail)),
    ("A12", refusing(lambda address, *_: "[" in address, "501 domain literals not allowed")),
    ("A14", (NoHelo, Mail)),
    ("A14", (TlsAfterHelo, Mail)),
    ("A16", (Server, NoVerify)),
    ("A17", (NoUtf8, Mail)),
    ("A20", (Small, Mail)),
    ("A20", (Smaller, Mail)),
    ("B5", refusing(lambda address, *_: address.endswith("@mx.example.org"))),
    ("N1", accepting(lambda address: address == "postmaster@foreign.invalid")),
    ("N1", accepting(lambda address: address.startswith("foreign.invalid!"))),
    ("N1", accepting(lambda address: address == "postmaster%foreign.invalid@example.org")),
    ("N1", accepting(lambda address: address == "@example.net:postmaster@foreign.invalid")),
    ("N1", accepting(lambda address: address == '"postmaster@foreign.invalid"@example.org')),
    ("N1", accepting(lambda address: address == "@example.com:postmaster@foreign.invalid")),
    ("N1", accepting_from(lambda address, sender: "foreign" in address and sender.endswith("@example.org"))),
    ("N1", accepting_from(lambda address, sender: "foreign" in address and sender == "postmaster@example.net")),
    ("N1", accepting_from(lambda address, sender: address == "postmaster@foreign.invalid" and not sender)),
    ("N2", accepting(lambda address: "@" not in address and "!" not in address)),
    ("N3", accepting(lambda address: address.endswith("@example.org"))),
    ("N4", accepting(lambda address: address.endswith(".example.com"))),
    ("N4", accepting(lambda address: address.endswith(".example.org"))),
    ("R11", refusing(lambda address, *_: address == "abuse@example.net")),
    ("R11", refusing(lambda address, *_: address == "ABUSE@example.org")),
    ("E1", (NotReallyShut, None)),
    ("E1", (ShutAndGone, None)),
    ("E1", (NotReallyShut521, None)),
]


def start(serve, server, mail=None):
    handler = mail and mail()
    return handler, serve(lambda: server(handler) if handler else server())


@pytest.mark.parametrize(("row", "mutant"), MUTANTS)
def test_a_server_that_breaks_one_requirement_fails_that_check_and_no_other(serve, row, mutant):
    _mail, port = start(serve, *mutant)
    result = ask(port)
    assert failed(result) == {row}
    assert all(check.message and check.remedy for check in of(result, row, "fail"))
    assert result.verdict == REQUIREMENTS[row].weight


def test_every_row_that_is_asked_has_a_mutant():
    rows = {row.id for row in REQUIREMENTS.values() if (row.layer, row.shown) == (ACCEPTS, EVERY_RUN)}
    elsewhere = {"L1", "A18", "A19"}  # of the host, and in test_tls
    assert rows - elsewhere | {"R11"} == {row for row, _mutant in MUTANTS} | {"A15"}


SUBMISSION = [
    ("pass", no_sender(lambda _sender: True, "530 5.7.0 Authentication required")),
    ("pass", refusing(lambda address, *_: not address.lower().startswith("postmaster"), "530 5.7.0 Authenticate")),
    ("fail", (Server, Mail)),
    ("fail", accepting(lambda address: address.endswith("@foreign.invalid"))),
    ("inconclusive", no_sender(lambda _sender: True, "451 4.3.0 Later")),
    ("inconclusive", (type("Hangup", (Script,), {"greeting": None}),)),
]


@pytest.mark.parametrize(("verdict", "service"), SUBMISSION)
def test_a_submission_service_takes_nothing_without_auth_but_mail_for_postmaster(serve, verdict, service):
    _mail, port = start(serve, Server, Mail)
    _mail, submission = start(serve, *service)
    (check,) = of(ask(port, submission=submission), "A15")
    assert check.verdict == verdict, check


def test_where_nobody_listens_there_is_no_submission_service(serve):
    _mail, port = start(serve, Server, Mail)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = closed.getsockname()[1]
    assert [check.verdict for check in of(ask(port, submission=nobody), "A15")] == ["skipped"]


# A backup MX need not know the recipients; SMTPUTF8 is not offered.
SKIPPED = {("N3", "example.com"), ("A17", "")}


@pytest.mark.parametrize("pipelining", [True, False])
def test_a_compliant_server_passes_every_row(serve, pipelining):
    mail, port = start(serve, Server, Mail)
    mail.pipelining = pipelining
    result = ask(port)
    assert not result.exempt
    assert result.verdict == "pass"
    assert {(check.id, check.domain) for check in result.checks if check.verdict != "pass"} == SKIPPED
    assert {check.id for check in result.checks} == {row for row, _mutant in MUTANTS} - {"E1"}
    assert not mail.messages


def test_a_polite_probe_needs_few_connections_and_few_transactions(serve):
    mail, port = start(serve, Server, Mail)
    ask(port)
    said = Counter(mail.commands)
    assert (mail.sessions, said["MAIL"], said["RSET"]) == (6, 13, 8)


@pytest.mark.parametrize("server", [Shut, Shut521, Shut521AndGone])
def test_a_server_that_is_closed_by_the_rules_is_exempt(serve, server):
    _mail, port = start(serve, server)
    result = ask(port, send=True)
    assert result.exempt
    assert result.verdict == "exempt"
    assert {check.verdict for check in result.checks} == {"exempt"}
    assert {check.domain for check in result.checks} == {"", *SERVED, *RELAYED, "[127.0.0.1]"}
    assert not result.messages


def test_what_a_program_hands_in_goes_to_each_place_and_nothing_is_asked(serve):
    mail, port = start(serve, Server, Mail)
    messages = hand_in("127.0.0.1", port, SERVED, Options())
    assert [(message.recipient, message.code) for message in messages] == [
        *((f"postmaster@{domain}", 250) for domain in SERVED),
        ("Postmaster", 250),
    ]
    assert Counter(mail.commands)["RCPT"] == len(messages)


def test_a_server_that_is_closed_to_its_own_host_too_is_handed_nothing(serve):
    _mail, port = start(serve, Shut)
    assert hand_in("127.0.0.1", port, SERVED, Options()) == []


def test_a_closed_server_that_answers_something_else_than_503_is_warned(serve):
    class Other(Shut):
        def answer(self, _line):
            return b"550 Go away\r\n"

    _mail, port = start(serve, Other)
    assert [check.verdict for check in of(ask(port), "E1")] == ["warn"]


def test_a_source_route_may_be_refused_with_550(serve):
    _mail, port = start(serve, *refusing(lambda address, *_: address.startswith("@x.example:"), "550 5.7.1 No routes"))
    assert {check.verdict for check in of(ask(port), "A5")} == {"pass"}


def test_a_sender_in_the_domain_may_be_refused_by_spf(serve):
    _mail, port = start(serve, *no_sender(lambda sender: "@example.org" in sender, "550 5.7.23 SPF validation failed"))
    assert {check.verdict for check in of(ask(port), "A7")} == {"pass"}


def test_what_is_refused_for_another_reason_is_told_once(serve):
    _mail, port = start(serve, *refusing(lambda address, *_: address == "postmaster@example.org"))
    result = ask(port)
    told = {check.id: check.verdict for check in result.checks if check.address == "postmaster@example.org"}
    assert told == {"A1": "fail", **dict.fromkeys(("A6", "A7", "A8", "A11", "A14"), "skipped")}
    assert "row A1" in of(result, "A6", "skipped")[0].message


def test_a_server_that_demands_starttls_is_told_so(serve):
    class Tls(Server):
        async def on_mail(self, _arg):
            await self.push("530 5.7.0 Must issue a STARTTLS command first")

    _mail, port = start(serve, Tls, Mail)
    result = ask(port)
    assert {"A1", "A14"} <= failed(result)
    assert "STARTTLS" in of(result, "A1", "fail")[0].remedy
    assert {check.verdict for check in of(result, "N1")} == {"inconclusive"}


def test_where_every_name_is_accepted_the_control_row_says_that_the_answers_tell_nothing(serve):
    _mail, port = start(serve, *accepting(lambda _address: True))
    result = ask(port)
    assert "tells nothing" in of(result, "N3", "fail")[0].message
    assert {check.domain for check in of(result, "N1", "skipped")} == {"", *SERVED, *RELAYED}
    assert {check.domain for check in of(result, "N4", "skipped")} == {*SERVED}


def test_a_backup_mx_need_not_know_the_recipients(serve):
    _mail, port = start(serve, Server, Mail)
    (check,) = [check for check in of(ask(port), "N3") if check.domain == "example.com"]
    assert (check.verdict, check.code) == ("skipped", 250)
    assert "primary" in check.message


@pytest.mark.parametrize("reply", ["450 4.2.0 Greylisted", "451 4.3.0 Try again", "421 4.3.2 Shutting down"])
def test_a_temporary_refusal_is_never_a_finding(serve, reply):
    _mail, port = start(serve, *refusing(lambda address, *_: address == "postmaster@example.org", reply))
    result = ask(port)
    assert not failed(result)
    assert [check.verdict for check in of(result, "A1") if check.domain == "example.org"] == ["inconclusive"]
    assert {check.verdict for check in of(result, "A2")} == {"pass"}


def test_what_is_put_off_is_asked_again_on_a_new_connection(serve):
    class Greylisting(Mail):
        seen = ()

        def rcpt(self, address, sender, before):
            if (address, sender) in self.seen:
                return super().rcpt(address, sender, before)
            self.seen = (*self.seen, (address, sender))
            return "450 4.2.0 Greylisted"

    for retries, verdict in ((0, "inconclusive"), (1, "pass")):
        _mail, port = start(serve, Server, Greylisting)
        assert ask(port, retries=retries).verdict == verdict


LIMITS = [{"RCPT": 3}, {"MAIL": 1}, {"RSET": 1}, {"RCPT": 1}, {"MAIL": 2, "RCPT": 9, "*": 20}]


@pytest.mark.parametrize("limits", LIMITS)
def test_a_server_that_limits_commands_is_asked_in_more_connections(serve, limits):
    _mail, port = start(serve, type("Limited", (Server,), {"limits": limits}), Mail)
    assert ask(port).verdict == "pass"


def test_a_server_that_ends_the_connection_after_some_errors_is_asked_on(serve):
    class Touchy(Mail):
        refusals = 0

        def rcpt(self, address, sender, before):
            reply = super().rcpt(address, sender, before)
            self.refusals += reply.startswith("5")
            return "421 4.7.0 Too many errors" if reply.startswith("5") and self.refusals % 3 == 0 else reply

    _mail, port = start(serve, Server, Touchy)
    assert not failed(ask(port))


def test_a_server_that_announces_no_size_is_not_asked_for_one(serve):
    class Unsized(Server):
        def __init__(self, mail):
            super().__init__(mail, data_size_limit=0)

    mail, port = start(serve, Unsized, Mail)
    result = ask(port)
    assert [check.verdict for check in of(result, "A20")] == ["skipped"]
    assert not failed(result)
    assert mail.sessions


def test_a_server_that_takes_few_recipients_is_asked_in_more_transactions(serve):
    few = refusing(lambda _address, sender, before: sender and len(before) >= 3, "452 4.5.3 Too many recipients")
    _mail, port = start(serve, *few)
    result = ask(port)
    assert failed(result) == {"A11"}
    assert {check.verdict for check in result.checks if check.id in ("A1", "A3", "A4")} == {"pass"}


def test_a_refusal_right_before_a_hang_up_is_asked_again(serve):
    class Tired(Script):
        count = 0

        def answer(self, line):
            if line.startswith(b"RCPT"):
                Tired.count += 1
                if Tired.count == 5:
                    self._say(b"554 5.7.0 Too many commands\r\n")
                    return None
            if line.startswith(b"RCPT") and (b"invalid" in line or b"nosuch" in line):
                return b"550 No\r\n"
            return b"250 Ok\r\n"

    _mail, port = start(serve, Tired)
    result = ask(port)
    assert not failed(result)
    assert result.verdict == "pass"


def answering(reply, when=b""):
    class Answering(Script):
        def answer(self, line):
            return reply if line.startswith(when) else b"250 Ok\r\n"

    return Answering


def greeting(words):
    return type("Greeting", (Script,), {"greeting": words})


USELESS = {
    "says nothing": greeting(b""),
    "hangs up at once": greeting(None),
    "speaks another protocol": greeting(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "greets with an empty line": greeting(b"\r\n"),
    "greets with noise": greeting(bytes(range(256)) + b"\r\n"),
    "greets without an end": greeting(b"220 " + b"x" * 100_000),
    "greets with endless lines": greeting(b"220-more\r\n" * 20_000),
    "is not ready": greeting(b"421 Too many connections\r\n"),
    "says 450 to EHLO": answering(b"450 Later\r\n", b"EHLO"),
    "says nothing to EHLO": answering(b"", b"EHLO"),
    "says nothing to MAIL": answering(b"", b"MAIL"),
    "says nothing to RCPT": answering(b"", b"RCPT"),
    "hangs up at MAIL": answering(None, b"MAIL"),
    "hangs up at RCPT": answering(None, b"RCPT"),
    "changes its code in the middle": answering(b"250-one\r\n550 two\r\n", b"RCPT"),
    "says half a line": answering(b"250", b"RCPT"),
}


@pytest.mark.parametrize("server", USELESS.values(), ids=USELESS)
def test_a_server_of_no_use_is_inconclusive_and_costs_little_time(serve, server):
    port = serve(server)
    result = ask(port, timeout=0.1, send=True)
    assert result.verdict == "inconclusive"
    assert not failed(result)
    assert all(check.message for check in result.checks if check.verdict == "inconclusive")
    assert len(result.transcript) < 300


def test_a_server_that_greets_with_another_refusal_fails(serve):
    result = ask(serve(greeting(b"550 No mail from you\r\n")))
    assert not result.exempt
    assert {"A1", "A2"} <= failed(result)
    assert {check.verdict for check in of(result, "N1")} == {"inconclusive"}


def test_nothing_goes_on_beyond_the_deadline(serve):
    result = ask(serve(answering(b"", b"RCPT")), timeout=5.0, deadline=0.3)
    assert result.verdict == "inconclusive"
    assert "the time for this server is over" in str(result.transcript)


def test_a_port_where_nobody_listens_is_inconclusive():
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    result = ask(port, send=True)
    assert result.verdict == "inconclusive"
    assert "refused" in result.checks[0].text
    assert {message.code for message in result.messages} == {0}


def test_ipv6_is_asked_with_its_own_literal(serve):
    mail = Mail()
    port = serve(lambda: Server(mail), "::1")
    result = probe("::1", port, SERVED, options=Options(helo="stranger.example"))
    assert [check.address for check in of(result, "A12")] == ["postmaster@[IPv6:::1]"]


def test_nothing_is_sent_unless_asked_for(serve):
    mail, port = start(serve, Server, Mail)
    assert ask(port).messages == []
    assert "DATA" not in mail.commands


def test_a_token_message_goes_to_each_place_and_first_to_those_further_away(serve):
    mail, port = start(serve, Server, Mail)
    result = ask(port, send=True)
    assert [(message.id, message.recipient, message.domain) for message in result.messages] == [
        ("A1", "postmaster@example.com", "example.com"),
        ("A1", "postmaster@example.org", "example.org"),
        ("A1", "postmaster@example.net", "example.net"),
        ("A2", "Postmaster", ""),
        ("A12", "postmaster@[127.0.0.1]", "[127.0.0.1]"),
    ]
    assert {(message.code, message.text) for message in result.messages} == {(250, "2.0.0 Ok: queued as 4F3C2")}
    assert len({message.token for message in result.messages}) == 5
    for message, envelope in zip(result.messages, mail.messages):
        text = envelope.content.decode("ascii")
        assert envelope.rcpt_tos == [message.recipient]
        assert envelope.mail_from == ("<>" if message.id == "A2" else "postmaster@stranger.example")
        assert f"X-Postmaster-Token: {message.token}\r\n" in text
    assert "To: Postmaster@mx.example.org\r\n" in mail.messages[3].content.decode()


def test_all_forms_that_were_accepted_get_a_message_of_their_own(serve):
    mail, port = start(serve, *refusing(lambda address, *_: '"' in address))
    result = ask(port, send=True, send_forms="all")
    sent = Counter(message.id for message in result.messages)
    assert sent == {"A1": 3, "A2": 1, "A3": 8, "A6": 4, "A12": 1, "R11": 6}
    assert {message.sender for message in result.messages if message.id == "A6"} == {""}
    assert len(mail.messages) == len(result.messages)


def test_a_message_that_is_refused_is_told_with_the_reply(serve):
    class Full(Mail):
        def data(self, envelope):
            return "552 5.3.4 Too big" if "example.org" in envelope.rcpt_tos[0] else super().data(envelope)

    _mail, port = start(serve, Server, Full)
    codes = {message.recipient: message.code for message in ask(port, send=True).messages}
    assert codes["postmaster@example.org"] == 552
    assert codes["postmaster@example.net"] == 250
    _mail, port = start(serve, *refusing(lambda address, *_: address == "Postmaster"))
    codes = {message.recipient: message.code for message in ask(port, send=True).messages}
    assert codes["Postmaster"] == 550
    assert codes["postmaster@[127.0.0.1]"] == 250


def test_a_message_whose_text_has_left_is_not_sent_twice(serve):
    class Forgetful(Script):
        texts = 0
        reading = False

        def answer(self, line):
            if line == b"DATA":
                self.reading = True
                return b"354 Go on\r\n"
            if self.reading and line == b".":
                Forgetful.texts += 1
                return None
            return b"" if self.reading else b"250 Ok\r\n"

    result = ask(serve(Forgetful), send=True)
    assert {message.code for message in result.messages} == {0}
    assert Forgetful.texts == len(result.messages) == 5


def test_each_place_gets_one_message_whatever_the_number_of_addresses(serve):
    mail, port = start(serve, Server, Mail)
    options = Options(helo="stranger.example", timeout=2.0, send=True)
    results = probe_each([("127.0.0.1", port)] * 2, SERVED, (), (), ("abuse",), options)
    sent = [[message.recipient for message in result.messages] for result in results]
    literal = "postmaster@[127.0.0.1]"
    assert sent == [["postmaster@example.org", "postmaster@example.net", "Postmaster", literal], [literal]]
    assert len(mail.messages) == 5


def test_how_much_a_host_takes_is_asked_at_the_first_of_its_addresses_that_answers(serve):
    _mail, port = start(serve, Server, Mail)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = closed.getsockname()[1]
    results = probe_each(
        [("127.0.0.1", nobody), *[("127.0.0.1", port)] * 2], SERVED, (), (), ("abuse",), Options(submission=0)
    )
    assert [{check.verdict for check in of(result, "A11")} for result in results] == [{"inconclusive"}, {"pass"}, set()]
