# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenSMTPD's own words, as they are read: its configuration, its aliases and its log."""

from __future__ import annotations

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils.mta import opensmtpd_log
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.opensmtpd_deliver import deliver, next_hop
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.opensmtpd_items import Item, items
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.opensmtpd_rules import Rules
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.opensmtpd_syntax import parse
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.opensmtpd_tables import Tables
from fakes import ACCOUNTS, Completed, FakeHost, journal

TABLE = 'table t { "example.org", example.net, "*.example.com" }\naction a mbox\naction b mbox\n'


def read(text, **more):
    files = {"/etc/smtpd.conf": text, **more.pop("files", {})}
    return parse("/etc/smtpd.conf", files.__getitem__)


def test_macros_comments_continued_lines_and_included_files_are_read():
    config = read(
        """\
# a comment \\
table none { goes on }
path = "file:/etc/names"
table aliases $path   # the rest
table more { a = b, \\
  "c d" => 'e' }
include "/etc/more.conf"
match for any action "out"
smtp sub-addr-delim "-"
listen on lo hostname mx.example.org
""",
        files={"/etc/more.conf": 'action "out" relay host smtp://mx.example.org:2525 tls\nmatch for local reject'},
    )
    assert list(config.tables) == ["aliases", "more"]
    assert (config.tables["aliases"].type, config.tables["aliases"].path) == ("file", "/etc/names")
    assert config.tables["more"].entries == (("a", "b", "/etc/smtpd.conf:5"), ("c d", "e", "/etc/smtpd.conf:6"))
    assert config.actions["out"].where == "/etc/more.conf:1"
    assert [rule.where for rule in config.rules] == ["/etc/more.conf:2", "/etc/smtpd.conf:8"]
    assert config.rules[0].action is None
    assert (config.files, config.delimiter, config.greets_as) == (
        ["/etc/smtpd.conf", "/etc/more.conf"],
        "-",
        "mx.example.org",
    )


@pytest.mark.parametrize(
    ("rules", "address", "wanted"),
    [
        ("match from any for domain <t> action a", "x@Example.ORG", "a"),
        ("match from any for domain <t> action a", "x@deep.example.com", "a"),
        ("match from any for domain <t> action a", "x@example.com", None),
        ("match from any ! for domain <t> action a", "x@example.com", "a"),
        ('match from any for domain regex "^ex.*org$" action a', "x@example.org", "a"),
        ("match from any for rcpt-to { x@example.org } action a", "X+tag@example.org", "a"),
        ("match from any for rcpt-to { x+t@example.org } action a", "x@example.org", None),
        ("match from any for rcpt-to { @example.org, x } action a", "x@example.edu", "a"),
        ("match for local action a", "x@mail.example.org", "a"),
        ("match for any action a\nmatch from any for domain example.org action b", "x@example.org", "b"),
        ("match auth from any for any action a\nmatch from any for any action b", "x@example.org", "b"),
        ("match auth <t> from any for any action a\nmatch for any action b", "x@example.org", "b"),
        ("match ! from src { 192.0.2.0/24 } for any action a", "x@example.org", "a"),
        ("match from any mail-from { @example.org } for any reject\nmatch for any action b", "x@example.org", "b"),
        ("match tag x from any for any action a", "x@example.org", None),
        ("match from socket for any action a", "x@example.org", "a"),
    ],
)
def test_the_first_rule_that_holds_for_a_stranger_or_else_for_the_host_takes_an_address(rules, address, wanted):
    config = read(TABLE + rules + "\n")
    user, domain = address.split("@")
    found = Rules(config, Tables(FakeHost()), "mail.example.org").find(user, domain)
    assert (found and found.action and found.action.name) == wanted


@pytest.mark.parametrize(
    ("line", "wanted", "bad"),
    [
        ("alice, Bob+x,c.d@example.org", [("user", "alice"), ("user", "Bob+x"), ("address", "c.d@example.org")], ""),
        ('"|/bin/prog a, b", /a/file', [("program", "/bin/prog a, b"), ("file", "/a/file")], ""),
        (":include:/a, include:/b, error:550 no", [("include", "/a"), ("include", "/b"), ("error", "550 no")], ""),
        (r"\alice, a\,b", [("user", "alice")], "a,b"),
        ('alice, "bob", carol', [("user", "alice")], '"bob"'),
        ("alice # a comment", [], "alice # a comment"),
        ('alice, "bob', [("user", "alice")], 'alice, "bob'),
        (" , ,", [], ""),
    ],
)
def test_the_values_of_an_alias_are_read_up_to_the_first_that_smtpd_cannot_read(line, wanted, bad):
    assert items(line) == ([Item(*value) for value in wanted], bad)


@pytest.mark.parametrize(
    ("action", "wanted"),
    [
        ("mbox", ("mailbox", "/var/mail/alice")),
        ("maildir", ("mailbox", "/home/alice/Maildir/")),
        ("maildir junk", ("mailbox", "/home/alice/Maildir/")),
        ('maildir "/mail/%{user.username:lowercase}" junk', ("mailbox", "/mail/alice/")),
        ('mda "/bin/prog %{user.username}" user vmail', ("pipe", "/bin/prog alice")),
        ("lmtp localhost:24 rcpt-to", ("pipe", "/usr/libexec/opensmtpd/mail.lmtp -d localhost:24")),
    ],
)
def test_each_method_puts_mail_where_smtpd_puts_it(action, wanted):
    config = read(f"action a {action}\n")
    found = []
    deliver(found, pytest.fail, config, config.actions["a"], ACCOUNTS[2])
    assert [(end.kind, end.value) for end in found] == [wanted]


@pytest.mark.parametrize(
    ("relay", "wanted"),
    [
        ("relay", "example.org"),
        ("relay backup mx mx.example.org", "example.org"),
        ("relay host mx.example.edu", "[mx.example.edu]"),
        ("relay host smtp+tls://label@mx.example.edu:587 auth <t>", "[mx.example.edu]:587"),
        ('relay host "smtp://[2001:db8::1]:25"', "[2001:db8::1]"),
        ('relay domain { "example.org" = "smtp://[192.0.2.9]:2525" }', "[192.0.2.9]:2525"),
    ],
)
def test_mail_is_passed_on_to_the_host_that_an_action_names(relay, wanted):
    config = read(f"{TABLE}action out {relay}\n")
    assert next_hop(Tables(FakeHost()), config.actions["out"], "Example.ORG") == wanted


LOG = """\
b0d5 mda delivery evpid=afadf2d5ee77d6e0 from=<> to=<a@b> rcpt=<a@b> user=a delay=0s result=Ok stat=Delivered
44de mta delivery evpid=5db12e9c84738aaf from=<> to=<c@d> rcpt=<-> relay="x" delay=1s result="TempFail" stat="timeout"
44de mta delivery evpid=5db12e9c84738aaf from=<> to=<c@d> rcpt=<-> relay="x" delay=9s result="Ok" stat="250 2.0.0 taken"
44de mta delivery evpid=5db12e9c84738ab0 from=<> to=<e@f> rcpt=<-> relay="x" delay=9s result="PermFail" stat="550 no"
"""


@pytest.mark.parametrize(
    ("reply", "state", "text"),
    [
        ("2.0.0 afadf2d5 Message accepted for delivery", "sent", "Delivered"),
        ("2.0.0 5db12e9c Message accepted for delivery", "bounced", "550 no"),
        ("2.0.0 12345678 Message accepted for delivery", "queued", "Connection refused"),
        ("2.0.0 00000000 Message accepted for delivery", "unknown", "neither"),
    ],
)
def test_the_last_word_of_the_log_on_an_envelope_counts_and_then_the_queue(reply, state, text):
    host = FakeHost()
    waiting = "1234567800000001|inet4|mta||a@b|c@d|c@d|1|2|3|4|pending|9|Connection refused\n"
    host.answers = {"journalctl": journal(LOG.splitlines(), "smtpd"), "smtpctl": Completed((), 0, waiting, "")}
    found = opensmtpd_log.handed_on(host, reply, 0)
    assert (found.state, found.text.startswith(text)) == (state, True)
