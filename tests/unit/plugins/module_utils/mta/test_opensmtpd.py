# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What smtpd makes of an address, and every row of the catalogue: a host that breaks it, and it alone."""

from __future__ import annotations

import re

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils.errors import UserError
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.adapter import AliasFile
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.opensmtpd import OpenSMTPD
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.resolve import resolve
from fakes import DIRECTORY, NEW, OLD, PROGRAM, Completed, FakeHost

CONF = """\
table aliases db:/etc/aliases.db
table domains { "mail.example.org", "example.org", "[192.0.2.1]" }
table rows { "postmaster@example.net" = "postmaster@mail.example.org", \\
  "sales@example.net" = "alice@mail.example.org, bob@mail.example.org", "noc@example.com" = "bob@mail.example.org" }
table primaries { "example.com" = "smtp://primary.example.com" }
action "local" mbox alias <aliases>
action "rows" mbox virtual <rows>
action "backup" relay domain <primaries>
action "relay" relay
listen on 0.0.0.0
match from any for rcpt-to "noc@example.com" action "rows"
match from any for domain "example.net" action "rows"
match from any for domain <domains> action "local"
match from any for domain "example.com" action "backup"
match from src { "local", "127.0.0.0/8" } for any action "relay"
"""
DEFAULT = """\
table aliases file:/etc/aliases
listen on localhost
action "local" maildir alias <aliases>
action "relay" relay
match for local action "local"
match from local for any action "relay"
"""
STARTED = {"mtime": (OLD + NEW) / 2}


class Smtpd(FakeHost):
    """A host with an smtpd that has read its files after they were written; ``stats`` says otherwise."""

    def __init__(self, aliases="", conf=CONF, files=None, stats=None, journal=""):
        own = {"/etc/smtpd.conf": conf, "/etc/mailname": "mail.example.org\n", "/run/smtpd.pid": ""}
        written = {"/run/smtpd.pid": STARTED, **(stats or {})}
        super().__init__(aliases, {**own, **(files or {})}, written, ["/usr/sbin/smtpctl"])
        self.journal = journal

    def run(self, argv, stdin="", **timeout):
        if argv[0] == "makemap":
            rows = re.findall(r"^([^:\s#]+):\s*(.+)$", self.files[argv[-1]], re.MULTILINE)
            return Completed(tuple(argv), 0, "".join(f"{key}\t{value}\n" for key, value in rows), "")
        if argv[0] == "journalctl":
            return Completed(tuple(argv), 0, self.journal if "--grep" in " ".join(argv) else "1.0 a line\n", "")
        return super().run(argv, stdin, **timeout)


def expansion(address, allowed=(), **host):
    host = Smtpd(**host)
    return resolve(host, OpenSMTPD(host), address, allowed)


def ends(found):
    return [(end.kind, end.value) for end in found.destinations]


GOOD = "postmaster: root\nroot: alice\n"
MAILBOX = [("mailbox", "/var/mail/alice")]
BOB = [("mailbox", "/var/mail/bob")]
LIST = "postmaster: :include:/etc/list\n"
HOME = {"/home/alice": {"kind": DIRECTORY, "uid": 1000}}
MINE = {**HOME, "/home/alice/.forward": {"uid": 1000}}
CHAIN = "".join(f"c{number}: c{number + 1}@example.org\n" for number in range(5)) + "c5: alice\n"


@pytest.mark.parametrize(
    ("address", "host", "wanted"),
    [
        ("postmaster", {"aliases": GOOD}, MAILBOX),
        ("POSTMASTER@EXAMPLE.ORG", {"aliases": GOOD}, MAILBOX),
        ("@x.example:postmaster@example.org", {"aliases": GOOD}, MAILBOX),
        ("postmaster@[192.0.2.1]", {"aliases": GOOD}, MAILBOX),
        ("postmaster@example.net", {"aliases": GOOD}, MAILBOX),
        ("Sales+tag@Example.NET", {}, MAILBOX + BOB),
        ("noc@example.com", {}, BOB),
        ("alice+tag@example.org", {}, MAILBOX),
        ("list", {"aliases": "list: alice, bob+x\n"}, MAILBOX + BOB),
        ("x+y", {"aliases": "x: alice\nx+y: bob\n"}, BOB),
        ("list", {"aliases": "list: ALICE\n"}, MAILBOX),
        ("alice", {"aliases": "alice: alice, bob\n"}, MAILBOX + BOB),
        ("postmaster", {"aliases": LIST, "files": {"/etc/list": "alice\n# not bob\n"}}, MAILBOX),
        ("alice", {"files": {"/home/alice/.forward": "bob # at home\n"}, "stats": MINE}, BOB),
        ("alice", {"files": {"/home/alice/.forward": "\\alice, bob\n"}, "stats": MINE}, MAILBOX + BOB),
        ("alice", {"files": {"/home/alice/.forward": ""}, "stats": MINE}, MAILBOX),
        ("alice", {"conf": DEFAULT}, [("mailbox", "/home/alice/Maildir/")]),
        ("c2", {"aliases": CHAIN}, MAILBOX),
    ],
)
def test_an_address_ends_where_smtpd_delivers_it(address, host, wanted):
    found = expansion(address, **host)
    assert (found.verdict, ends(found), found.problems) == ("pass", wanted, ())


@pytest.mark.parametrize(
    ("row", "verdict", "address", "host"),
    [
        ("R1", "fail", "postmaster", {"aliases": "postmaster: ring\nring: postmaster\n"}),
        ("R1", "fail", "postmaster", {"aliases": "postmaster: ring@example.org\nring: postmaster@example.org\n"}),
        ("R1", "fail", "postmaster", {"aliases": LIST, "files": {"/etc/list": "postmaster\n"}}),
        ("R1", "fail", "c1", {"aliases": CHAIN}),
        ("R2", "fail", "postmaster", {"aliases": "postmaster: postmaster\n"}),
        ("R2", "fail", "postmaster", {"aliases": LIST, "files": {"/etc/list": "# nobody\n"}}),
        ("R3", "fail", "postmaster", {}),
        ("R3", "fail", "postmaster", {"aliases": "postmaster: alice, ghost\n"}),
        ("R3", "fail", "postmaster", {"aliases": 'postmaster: alice, "bob"\n'}),
        ("R3", "fail", "postmaster", {"aliases": "postmaster: error:550 gone\n"}),
        ("R3", "fail", "postmaster", {"conf": CONF[: CONF.index("match")] + "match for domain <domains> reject"}),
        ("R3", "fail", "ghost@example.net", {}),
        ("R3", "fail", '"postmaster"@example.org', {"aliases": GOOD}),
        ("R3", "fail", "postmaster", {"aliases": "postmaster: root\n", "conf": DEFAULT}),
        ("R4", "fail", "postmaster", {"aliases": "postmaster: /dev/null\n"}),
        ("R5", "fail", "postmaster", {"aliases": 'postmaster: "|/bin/missing"\n'}),
        ("R5", "warn", "postmaster", {"aliases": "postmaster: |/bin/x\n", "stats": {"/bin/x": {"kind": PROGRAM}}}),
        ("R6", "warn", "postmaster", {"aliases": "postmaster: daemon\n"}),
        ("R7", "warn", "postmaster", {"aliases": "postmaster: root\n"}),
        ("R8", "skipped", "postmaster@example.com", {}),
        ("R9", "fail", "postmaster", {"aliases": LIST}),
        ("R9", "fail", "postmaster", {"aliases": LIST, "files": {"/etc/list": "alice\nbob # mine\n"}}),
        (
            "R9",
            "fail",
            "alice",
            {
                "files": {"/home/alice/.forward": "bob"},
                "stats": {**HOME, "/home/alice/.forward": {"uid": 1000, "mode": 0o666}},
            },
        ),
        ("R10", "fail", "postmaster", {"aliases": GOOD, "stats": {"/etc/aliases": {"mtime": NEW + 1}}}),
        ("R10", "fail", "postmaster", {"aliases": GOOD, "stats": {"/etc/smtpd.conf": {"mtime": NEW}}}),
    ],
)
def test_a_row_is_reported_alone_and_a_way_out_of_it(row, verdict, address, host):
    found = expansion(address, **host)
    assert {problem.id: problem.verdict for problem in found.problems} == {row: verdict}
    assert all(problem.remedy for problem in found.problems if verdict == "fail")


@pytest.mark.parametrize(
    ("changed", "journal", "stale"),
    [
        (OLD, "", False),
        (NEW, "", True),
        (NEW, f"{NEW - 1} the host smtpd: updated", True),
        (NEW, f"{NEW + 1} the host smtpd: updated", False),
    ],
)
def test_a_text_is_in_use_as_it_was_when_smtpd_started_or_last_read_it(changed, journal, stale):
    text = "postmaster: alice\n"
    host = Smtpd(text, DEFAULT, stats={"/etc/aliases": {"mtime": changed}}, journal=journal)
    assert bool(OpenSMTPD(host).tables()[-1].stale) == stale


@pytest.mark.parametrize(
    ("said", "paused"),
    [
        ("MDA running\nMTA running\nSMTP running\n", []),
        ("MDA paused\nMTA running\nSMTP running\n", ["MDA"]),
        ("MDA paused\nMTA paused\nSMTP running\n", ["MDA", "MTA"]),
        ("smtpctl: could not connect\n", []),
    ],
)
def test_deliveries_that_are_paused_are_what_smtpctl_says(said, paused):
    host = Smtpd(GOOD)
    host.run = lambda argv: Completed(tuple(argv), 0, said, "")
    assert OpenSMTPD(host).paused() == paused


def test_the_host_is_described_by_its_configuration():
    served = OpenSMTPD(Smtpd(GOOD)).served()
    assert (served.hostname, served.local) == ("mail.example.org", ("mail.example.org", "example.org"))
    assert (served.virtual, served.literals) == (("example.net",), ("[192.0.2.1]",))
    assert served.relay == {"example.com": "[primary.example.com]"}
    own = OpenSMTPD(Smtpd(GOOD, DEFAULT))
    assert own.served().local == ("mail.example.org", "localhost")
    assert (own.trusts_itself, OpenSMTPD(Smtpd(GOOD)).trusts_itself) == (True, False)


SQL = """\
table names sqlite:/etc/mail/sqlite.conf
table aliases file:/etc/aliases
listen on 0.0.0.0
action "here" mbox alias <aliases>
action "there" relay
match from any for domain "mail.example.org" action "here"
match from any for domain <names> action "here"
match for any action "there"
"""


@pytest.mark.parametrize(
    ("conf", "unlisted"),
    [
        (SQL, ("match for domain <names>: sqlite",)),
        (SQL.replace("sqlite:", "ldap:"), ("match for domain <names>: ldap",)),
        (SQL.replace("sqlite:/etc/mail/sqlite.conf", "{ a.example }"), ()),
        (SQL.replace("sqlite:/etc/mail/sqlite.conf", "{ *.a.example }"), ("match for domain <names>: *.a.example",)),
        (SQL.replace("<names>", '"*.a.example"'), ("match for domain: *.a.example",)),
        (CONF, ()),
        (DEFAULT, ()),
    ],
)
def test_a_table_of_domains_that_only_smtpd_can_ask_is_named(conf, unlisted):
    assert OpenSMTPD(Smtpd(GOOD, conf)).served().unlisted == unlisted


def test_what_only_smtpd_can_tell_of_a_domain_is_not_said():
    host = Smtpd(GOOD, SQL)
    with pytest.raises(UserError, match=r"only smtpd can tell whether it serves a\.example, .* names \(sqlite"):
        OpenSMTPD(host).kind_of("a.example")
    found = resolve(host, OpenSMTPD(host), "postmaster@a.example")
    assert found.verdict == "inconclusive"
    assert "names (sqlite)" in found.problems[0].message
    assert resolve(host, OpenSMTPD(host), "postmaster@mail.example.org").verdict == "pass"


@pytest.mark.parametrize(
    ("conf", "kind"), [(SQL.replace("sqlite:/etc/mail/sqlite.conf", "{ *.a.example }"), "local"), (CONF, "none")]
)
def test_the_rules_say_what_a_domain_is_that_a_pattern_matches(conf, kind):
    assert OpenSMTPD(Smtpd(GOOD, conf)).kind_of("x.a.example") == kind


def test_a_table_of_aliases_that_only_smtpd_can_ask_is_no_finding_against_the_host():
    found = expansion("postmaster", conf=DEFAULT.replace("file:/etc/aliases", "sqlite:/etc/mail/sqlite.conf"))
    assert ([end.kind for end in found.destinations], found.verdict) == ([], "inconclusive")
    assert [(problem.id, problem.verdict) for problem in found.problems] == [("R10", "inconclusive")]


@pytest.mark.parametrize(
    ("conf", "wanted"),
    [
        (CONF, AliasFile("/etc/aliases", ("/etc/aliases.db",), ("newaliases",))),
        (DEFAULT, AliasFile("/etc/aliases", (), ("newaliases",))),
        (
            DEFAULT.replace("aliases", "names"),
            AliasFile("/etc/names", (), ("smtpctl", "update", "table", "names")),
        ),
    ],
)
def test_aliases_are_made_effective_as_their_table_wants_it(conf, wanted):
    own = OpenSMTPD(Smtpd(GOOD, conf, {"/etc/names": GOOD}))
    assert own.aliases() == wanted
    assert own.aliased(["Postmaster", "root", "alice"]) == {"Postmaster", "root"}


def test_an_smtpd_without_a_configuration_is_the_user_s_to_mend():
    host = Smtpd()
    del host.files["/etc/smtpd.conf"]
    with pytest.raises(UserError, match=r"/etc/smtpd\.conf cannot be read"):
        OpenSMTPD(host)
