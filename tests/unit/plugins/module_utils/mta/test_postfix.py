# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Postfix does with an address, and every row of the catalogue: a host that breaks it, and it alone."""

from __future__ import annotations

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system.host import Completed, Socket
from ansible_collections.mailops.postmaster.plugins.module_utils.errors import UserError
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.adapter import AliasFile
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.postfix import Postfix
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.resolve import resolve
from fakes import PROGRAM, FakeHost

GOOD = "postmaster: root\nroot: alice\n"
VIRTUAL = {
    "virtual_alias_domains": "example.net",
    "virtual_alias_maps": "hash:/etc/postfix/virtual",
    "files": dict.fromkeys(("/etc/postfix/virtual", "/etc/postfix/virtual.db"), "postmaster@example.net postmaster\n"),
}
LIST = "postmaster: :include:/etc/list\n"
LMTP = "lmtp:unix:private/dovecot-lmtp"
ME = {"uid": 1000, "gid": 1000}


def expansion(address="postmaster", allowed=(), **host):
    host = FakeHost(**host)
    return resolve(host, Postfix(host), address, allowed)


def ends(found):
    return [(end.kind, end.value) for end in found.destinations]


def compiled(path, text):
    return {path: text, path + ".db": text}


MAILBOX = [("mailbox", "/var/mail/alice")]
BOB = [("mailbox", "/var/mail/bob")]


@pytest.mark.parametrize(
    ("address", "host", "wanted"),
    [
        ("postmaster", {"aliases": GOOD}, MAILBOX),
        ("POSTMASTER@EXAMPLE.ORG", {"aliases": GOOD}, MAILBOX),
        ('"postmaster"@example.org', {"aliases": GOOD}, MAILBOX),
        ('"post\\master"@example.org', {"aliases": GOOD}, MAILBOX),
        ("@x.example:postmaster@example.org", {"aliases": GOOD}, MAILBOX),
        ("postmaster@example.org.", {"aliases": GOOD}, MAILBOX),
        ("postmaster@[192.0.2.1]", {"aliases": GOOD}, MAILBOX),
        ("postmaster@[IPv6:2001:db8:0::1]", {"aliases": GOOD}, MAILBOX),
        ("alice+lists@example.org", {}, MAILBOX),
        ("alice", {"home_mailbox": "Maildir/"}, [("mailbox", "/home/alice/Maildir/")]),
        ("alice", {"mail_spool_directory": "/var/mail/"}, [("mailbox", "/var/mail/alice/")]),
        ("alice", {"mailbox_command": "/usr/bin/procmail -a x"}, MAILBOX),
        ("postmaster", {"aliases": "postmaster: alice, bob\n"}, MAILBOX + BOB),
        ("postmaster", {"aliases": "postmaster: alice bob\n"}, MAILBOX + BOB),
        ("postmaster", {"aliases": "postmaster: Alice S. <alice@example.org>, bob (her)\n"}, MAILBOX + BOB),
        ("a", {"aliases": "a: b+x\nb+x: bob\nb: alice\n"}, BOB),
        ("alice", {"aliases": "alice: alice, bob\n"}, MAILBOX + BOB),
        ("postmaster", {"aliases": LIST, "files": {"/etc/list": "# who\nalice\n\n bob\n"}}, MAILBOX + BOB),
        (
            "alice",
            {"files": {"/home/alice/.forward": "\\alice, bob\n"}, "stats": {"/home/alice/.forward": ME}},
            MAILBOX + BOB,
        ),
        ("alice+x", {"files": {"/home/alice/.forward+x": "bob"}, "stats": {"/home/alice/.forward+x": ME}}, BOB),
        ("alice", {"files": {"/home/alice/.forward": "# none\n"}, "stats": {"/home/alice/.forward": ME}}, MAILBOX),
        (
            "alice",
            {
                "files": {"/home/alice/.forward": "~/mbox"},
                "stats": {"/home/alice/.forward": ME, "/home/alice/mbox": ME},
            },
            [("file", "/home/alice/mbox")],
        ),
        # Postfix delivers to the mailbox where an alias's own .forward names the alias.
        (
            "alice",
            {
                "aliases": "alice: bob\n",
                "files": {"/home/bob/.forward": "alice"},
                "stats": {"/home/bob/.forward": {"uid": 1001}},
            },
            BOB,
        ),
        ("postmaster@example.net", {"aliases": GOOD, **VIRTUAL}, MAILBOX),
        ("postmaster", {"aliases": GOOD, "virtual_alias_maps": "inline:{postmaster=bob}"}, BOB),
        ("postmaster", {"aliases": GOOD, "virtual_alias_maps": "inline:{@example.org=bob}"}, BOB),
        ("x", {"virtual_alias_maps": "inline:{x@example.org=x@example.org,x=bob}", "aliases": "x: alice"}, MAILBOX),
        ("x", {"canonical_maps": "inline:{x=bob}"}, BOB),
        ("x", {"recipient_canonical_maps": "inline:{x=bob}"}, BOB),
        ("x", {"alias_maps": "regexp:{/^x$/ bob}"}, BOB),
        ("x", {"alias_maps": "proxy:hash:/etc/aliases", "aliases": "x: bob\n"}, BOB),
        # Only what is submitted anew meets the virtual aliases again; an alias needs an owner for that.
        ("x", {"aliases": "x: alice\n", "virtual_alias_maps": "inline:{alice=bob}"}, MAILBOX),
        ("x", {"aliases": "x: alice\nowner-x: alice\n", "virtual_alias_maps": "inline:{alice=bob}"}, BOB),
        (
            "x",
            {
                "aliases": "x: :include:/etc/l\n",
                "files": {"/etc/l": "alice"},
                "virtual_alias_maps": "inline:{alice=bob}",
            },
            BOB,
        ),
        ("nosuch", {"luser_relay": "bob"}, BOB),
        (
            "bob@v.example",
            {
                "virtual_mailbox_domains": "v.example",
                "virtual_mailbox_base": "/var/vmail",
                "virtual_mailbox_maps": "inline:{bob@v.example=bob/}",
            },
            [("mailbox", "/var/vmail/bob/")],
        ),
        ("postmaster@far.example", {}, [("remote", "postmaster@far.example")]),
        ("postmaster%far.example@example.org", {}, [("remote", "postmaster@far.example")]),
        ("far.example!postmaster", {}, [("remote", "postmaster@far.example")]),
        ("postmaster@example.com", {"relay_domains": "example.com"}, [("remote", "postmaster@example.com")]),
        ("postmaster", {"aliases": GOOD, "myorigin": "far.example"}, [("remote", "postmaster@far.example")]),
        (
            "postmaster",
            {"aliases": GOOD, "myorigin": "/etc/mailname", "files": {"/etc/mailname": "example.org\n"}},
            MAILBOX,
        ),
        ("x", {"append_at_myorigin": "no", "aliases": "x: bob"}, BOB),
        (
            "x@sub",
            {"append_dot_mydomain": "yes", "mydestination": "sub.example.org, example.org", "aliases": "x: bob"},
            BOB,
        ),
        (
            "x@d.example",
            {
                "mydestination": "/etc/names, example.org",
                "files": {"/etc/names": "# n\nd.example"},
                "aliases": "x: bob",
            },
            BOB,
        ),
        ("x@d.example", {"mydestination": "inline:{d.example=yes}, example.org", "aliases": "x: bob"}, BOB),
    ],
)
def test_an_address_ends_where_postfix_delivers_it(address, host, wanted):
    assert ends(expansion(address, **host)) == wanted


def loop(**files):
    return {
        "files": {f"/home/{name}/.forward": text for name, text in files.items()},
        "stats": {"/home/alice/.forward": ME, "/home/bob/.forward": {"uid": 1001}},
    }


STALE = {"stats": {"/etc/aliases": {"mtime": 3000.0}}}


@pytest.mark.parametrize(
    ("row", "verdict", "host"),
    [
        ("R1", "fail", {"aliases": "postmaster: a\na: b\nb: a\n"}),
        ("R1", "fail", {"aliases": LIST, "files": {"/etc/list": "postmaster"}}),
        ("R1", "fail", {"aliases": "postmaster: alice\n", **loop(alice="bob", bob="alice")}),
        ("R1", "fail", {"virtual_alias_maps": "inline:{postmaster=a@example.org,a=postmaster@example.org}"}),
        (
            "R1",
            "fail",
            {"aliases": "postmaster: x@far.example", "transport_maps": "inline:{far.example=smtp:[192.0.2.1]}"},
        ),
        ("R2", "fail", {"aliases": "postmaster: postmaster\n"}),
        ("R2", "fail", {"aliases": "postmaster:\n"}),
        ("R2", "fail", {"aliases": LIST, "files": {"/etc/list": "# nobody\n"}}),
        ("R3", "fail", {}),
        ("R3", "fail", {"aliases": "postmaster: root\nroot: nosuch\n"}),
        ("R3", "fail", {"aliases": "postmaster: x@v.example\n", "virtual_alias_domains": "v.example"}),
        ("R3", "fail", {"aliases": "postmaster: x@v.example\n", "virtual_mailbox_domains": "v.example"}),
        (
            "R3",
            "fail",
            {
                "aliases": "postmaster: x@r.example\n",
                "relay_domains": "r.example",
                "relay_recipient_maps": "inline:{a=b}",
            },
        ),
        ("R3", "fail", {"aliases": "postmaster: x@e.example\n", "transport_maps": "inline:{e.example=error:closed}"}),
        ("R3", "fail", {"aliases": "postmaster: x@e.example\n", "transport_maps": "inline:{e.example=missing:}"}),
        ("R3", "fail", {"aliases": GOOD, "relocated_maps": "inline:{postmaster=x@far.example}"}),
        ("R3", "fail", {"aliases": "postmaster: /root/file\n", "stats": {"/root/file": {"mode": 0o600}}}),
        ("R3", "fail", {"aliases": "postmaster: /nowhere/file\n"}),
        ("R4", "fail", {"aliases": "postmaster: /dev/null\n"}),
        ("R4", "fail", {"aliases": "postmaster: x@v.example\n", "transport_maps": "inline:{v.example=discard:}"}),
        ("R5", "fail", {"aliases": 'postmaster: "|/usr/bin/gone -x"\n'}),
        ("R5", "fail", {"aliases": 'postmaster: "|gone"\n'}),
        ("R5", "fail", {"aliases": "postmaster: |/bin/prog\n", "stats": {"/bin/prog": {"mode": 0o644}}}),
        ("R5", "fail", {"aliases": LIST, "files": {"/etc/list": "|/usr/sbin/postconf"}}),
        ("R5", "warn", {"aliases": "postmaster: |/bin/prog\n", "stats": {"/bin/prog": {"kind": PROGRAM}}}),
        ("R5", "warn", {"aliases": "postmaster: |prog\n", "stats": {"/bin/prog": {"kind": PROGRAM}}}),
        ("R5", "warn", {"aliases": GOOD, "mailbox_command": "/bin/prog", "stats": {"/bin/prog": {"kind": PROGRAM}}}),
        (
            "R5",
            "warn",
            {
                "aliases": GOOD,
                "mailbox_command": "procmail",
                "stats": {"/bin/procmail": {"kind": PROGRAM}, "/etc/procmailrc": {}},
            },
        ),
        ("R5", "warn", {"fallback_transport": "filter:", "stats": {"/usr/bin/filter": {"kind": PROGRAM}}}),
        ("R6", "warn", {"aliases": "postmaster: daemon\n"}),
        ("R6", "warn", {"aliases": "postmaster: locked\n"}),
        ("R7", "warn", {"aliases": "postmaster: root\n"}),
        ("R8", "skipped", {"aliases": "postmaster: x@far.example\n"}),
        ("R9", "fail", {"aliases": LIST}),
        ("R9", "fail", {"aliases": "postmaster: :include:list\n"}),
        ("R9", "fail", {"aliases": LIST, "files": {"/etc/list": "alice"}, "stats": {"/etc/list": {"mode": 0o666}}}),
        ("R9", "fail", {"aliases": LIST, "files": {"/etc/list": "alice"}, "stats": {"/etc/list": {"mode": 0o664}}}),
        (
            "R9",
            "fail",
            {"aliases": LIST, "files": {"/etc/list": "alice"}, "stats": {"/etc/list": {"mode": 0o000, **ME}}},
        ),
        ("R9", "fail", {"aliases": LIST, "stats": {"/etc/list": {"is_file": False, "is_dir": True}}}),
        ("R10", "fail", {"aliases": GOOD, **STALE}),
        ("R10", "fail", {"aliases": GOOD, "files": {"/etc/aliases.db": "postmaster: bob\n"}}),
        ("R10", "fail", {"aliases": GOOD, "files": {"/etc/aliases.db": "x: bob\n"}}),
        ("R10", "fail", {"aliases": "x: y\n", "files": {"/etc/aliases.db": "postmaster: bob\n"}}),
        ("R10", "fail", {"aliases": GOOD, "alias_maps": "lmdb:/etc/aliases"}),
        ("R10", "fail", {"aliases": GOOD, "alias_maps": "hash:/etc/other"}),
        ("R10", "fail", {"aliases": GOOD, "alias_maps": "texthash:/etc/aliases"}),
        (
            "R10",
            "warn",
            {
                "aliases": GOOD,
                "files": {"/home/alice/.forward": "bob"},
                "stats": {"/home/alice/.forward": {"mode": 0o666, **ME}},
            },
        ),
        (
            "R10",
            "warn",
            {
                "aliases": GOOD,
                "files": {"/home/alice/.forward": "bob"},
                "stats": {"/home/alice/.forward": {"uid": 1001}},
            },
        ),
        (
            "R10",
            "warn",
            {
                "aliases": GOOD,
                "files": {"/home/alice/.forward": "bob"},
                "stats": {"/home/alice/.forward": {"is_link": True}},
            },
        ),
        (
            "R10",
            "warn",
            {
                "aliases": GOOD,
                "files": {"/home/alice/.forward": "bob"},
                "stats": {"/home/alice/.forward": {"mode": 0, **ME}},
            },
        ),
    ],
)
def test_a_broken_host_breaks_its_row_and_no_other(row, verdict, host):
    found = expansion(**host)
    assert [(problem.id, problem.verdict) for problem in found.problems] == [(row, verdict)]
    assert found.verdict == verdict
    assert found.problems[0].where
    assert verdict == "skipped" or found.problems[0].remedy


@pytest.mark.parametrize(
    "host",
    [
        {"aliases": GOOD},
        {"aliases": GOOD, "alias_maps": "texthash:/etc/aliases", "files": {"/etc/aliases": "postmaster alice\n"}},
        {"aliases": '"postmaster" : root\nroot:\n  alice\n'},
        {"aliases": "POSTMASTER: alice\nx: daemon\n"},
        {"aliases": GOOD, **VIRTUAL},
        {"aliases": LIST, "files": {"/etc/list": "alice"}, "stats": {"/etc/list": {"mode": 0o644}}},
        {"aliases": "postmaster: /home/alice/mbox\n", "stats": {"/home/alice/mbox": {"mode": 0o666}}},
    ],
)
def test_a_good_host_passes(host):
    found = expansion(**host)
    assert (found.verdict, found.problems) == ("pass", ())


def test_an_allowed_system_account_is_no_warning():
    assert expansion(allowed=["daemon"], aliases="postmaster: daemon\n").verdict == "pass"


def test_each_edge_says_where_it_stands():
    found = expansion("postmaster@example.net", aliases="# c\n\npostmaster: root\nroot: alice\n", **VIRTUAL)
    assert [(edge.as_dict()["source"], edge.as_dict()["target"], edge.via) for edge in found.edges] == [
        ("postmaster@example.net", "postmaster@example.org", "/etc/postfix/virtual:1"),
        ("postmaster@example.org", "root@example.org", "/etc/aliases:3"),
        ("root@example.org", "alice@example.org", "/etc/aliases:4"),
        ("alice@example.org", "/var/mail/alice", "mail_spool_directory"),
    ]


def test_a_loop_is_reported_with_every_edge_and_its_line():
    (problem,) = expansion(aliases="postmaster: a\na: b\nb: a\n").problems
    assert "a@example.org -> b@example.org -> a@example.org" in problem.message
    assert problem.where == "/etc/aliases:2, /etc/aliases:3"


def test_the_mailbox_of_root_is_named():
    (problem,) = expansion(aliases="postmaster: root\n").problems
    assert problem.where == "/var/mail/root"
    assert problem.remedy == "add `root: <a person's account>` to /etc/aliases and run `newaliases`"


@pytest.mark.parametrize(
    ("settings", "address", "next_hop"),
    [
        ({}, "x@far.example", "far.example"),
        ({"relayhost": "[smart.example]:587"}, "x@far.example", "[smart.example]:587"),
        ({"transport_maps": "inline:{far.example=smtp:[10.0.0.1]:2525}"}, "x@far.example", "[10.0.0.1]:2525"),
        ({"transport_maps": "inline:{x@far.example=:[10.0.0.1]}"}, "x@far.example", "[10.0.0.1]"),
        ({"transport_maps": "inline:{.far.example=relay:}", "relayhost": "h"}, "x@sub.far.example", "sub.far.example"),
        ({"transport_maps": "inline:{*=:[10.0.0.1]}"}, "x@far.example", "[10.0.0.1]"),
        ({"relay_domains": "far.example", "relay_transport": "relay:[p]"}, "x@sub.far.example", "[p]"),
    ],
)
def test_a_remote_address_goes_to_the_next_hop_that_postfix_chooses(settings, address, next_hop):
    (end,) = expansion(address, **settings).destinations
    assert (end.kind, end.next_hop) == ("remote", next_hop)


@pytest.mark.parametrize(
    ("maps", "wanted"),
    [
        ("hash:/etc/aliases", 1),
        ("inline:{name0=alice}", 1),
    ],
)
def test_a_long_chain_or_a_wide_list_costs_few_processes(maps, wanted):
    chain = "name0: alice\n" + "".join(f"name{number}: name{number - 1}\n" for number in range(1, 50))
    wide = "all: " + ", ".join(f"name{number}" for number in range(50)) + "\n"
    host = FakeHost(aliases=chain + wide, alias_maps=maps)
    start = {"hash:/etc/aliases": "all"}.get(maps, "name0")
    assert ends(resolve(host, Postfix(host), start)) == MAILBOX
    assert len([argv for argv in host.commands if argv[0] == "postalias"]) <= wanted + 1


def test_a_table_that_another_host_answers_for_is_inconclusive_while_it_does_not():
    host = FakeHost(alias_maps="ldap:/etc/postfix/aliases.cf")
    host.postmap = lambda *_: Completed(
        (), 1, "", "postalias: fatal: table ldap:/etc/postfix/aliases.cf: query error: Down"
    )
    found = resolve(host, Postfix(host), "postmaster")
    assert [(problem.id, problem.verdict) for problem in found.problems] == [("R10", "inconclusive")]
    assert "Down" in found.problems[0].message


@pytest.mark.parametrize(
    ("settings", "address"),
    [
        ({"aliases": GOOD, "mailbox_transport": LMTP}, "postmaster"),
        ({"virtual_mailbox_domains": "v.example", "virtual_transport": LMTP}, "postmaster@v.example"),
        ({"transport_maps": f"inline:{{v.example={LMTP}}}"}, "postmaster@v.example"),
    ],
)
def test_an_lmtp_server_is_an_end_of_its_own_of_which_the_log_will_tell(settings, address):
    found = expansion(address, **settings)
    assert [(end.kind, end.value) for end in found.destinations] == [("lmtp", "unix:private/dovecot-lmtp")]
    assert (found.problems, found.verdict) == ((), "pass")


def test_a_program_beside_a_mailbox_is_no_finding_and_a_missing_one_is():
    kept = expansion("postmaster", aliases='postmaster: alice, "|/bin/prog"\n', stats={"/bin/prog": {"kind": PROGRAM}})
    assert (kept.problems, kept.verdict) == ((), "pass")
    gone = expansion("postmaster", aliases='postmaster: alice, "|/bin/gone"\n')
    assert [(problem.id, problem.verdict) for problem in gone.problems] == [("R5", "fail")]


@pytest.mark.parametrize("table", ["virtual_mailbox_maps", "relay_recipient_maps"])
def test_a_table_of_recipients_that_does_not_answer_is_not_said_to_lack_one(table):
    domains = {"virtual_mailbox_maps": "virtual_mailbox_domains", "relay_recipient_maps": "relay_domains"}[table]
    host = FakeHost(**{domains: "v.example", table: "ldap:/etc/postfix/users.cf"})
    host.postmap = lambda *_: Completed((), 1, "", "postmap: fatal: table ldap:/etc/postfix/users.cf: Down")
    found = resolve(host, Postfix(host), "postmaster@v.example")
    assert [(problem.id, problem.verdict) for problem in found.problems] == [("R10", "inconclusive")]


def test_what_is_served_is_said_by_kind():
    served = Postfix(
        FakeHost(
            mydestination="example.org, !x.example, localhost, /etc/more",
            virtual_alias_domains="hash:/etc/postfix/virtual",
            virtual_mailbox_domains="box.example",
            relay_domains="example.com, other.example",
            transport_maps="inline:{example.com=smtp:[primary.example]}",
            files={
                "/etc/more": "more.example",
                **compiled("/etc/postfix/virtual", "v.example x\na@v.example b\n@v.example c\n"),
            },
        )
    ).served()
    assert served.hostname == "mail.example.org"
    assert served.local == ("example.org", "localhost", "more.example")
    assert served.virtual == ("v.example", "box.example")
    assert served.relay == {"example.com": "[primary.example]", "other.example": "other.example"}
    assert served.literals == ("[192.0.2.1]", "[IPv6:2001:db8::1]")


def test_a_table_of_patterns_is_not_asked_for_its_keys():
    host = FakeHost(mydestination="example.org, regexp:{/x/ y}")
    assert Postfix(host).served().local == ("example.org",)
    assert len(host.commands) == 1


DOMAINS = compiled("/etc/postfix/domains", "listed.example x\n")
IN_SQL = {"/etc/postfix/domains.cf": "asked.example 1\n"}
SQLITE = "sqlite:/etc/postfix/domains.cf"


@pytest.mark.parametrize(
    ("value", "listed", "unlisted"),
    [
        ("hash:/etc/postfix/domains", ("listed.example",), ()),
        ("proxy:hash:/etc/postfix/domains", ("listed.example",), ()),
        ("texthash:/etc/postfix/domains", ("listed.example",), ()),
        ("inline:{listed.example=x}", ("listed.example",), ()),
        ("hash:/etc/postfix/missing", (), ("hash:/etc/postfix/missing",)),
        (f"other.example, {SQLITE}", ("other.example",), (SQLITE,)),
        (f"proxy:{SQLITE}", (), (f"proxy:{SQLITE}",)),
        ("unionmap:{proxy:hash:/etc/postfix/domains}", (), ("unionmap:{proxy:hash:/etc/postfix/domains}",)),
        ("/etc/postfix/file", ("filed.example",), (SQLITE,)),
        (
            ".parent.example, inline:{.wild.example=x}",
            (),
            (".parent.example", "inline:{.wild.example=x}: .wild.example"),
        ),
        *(
            (f"{kind}:/x", (), (f"{kind}:/x",))
            for kind in (
                *("pgsql", "mysql", "ldap", "regexp", "pcre", "tcp", "socketmap", "randmap", "pipemap", "static"),
                *("memcache", "cidr"),
            )
        ),
    ],
)
@pytest.mark.parametrize(
    "setting", ["mydestination", "virtual_alias_domains", "virtual_mailbox_domains", "relay_domains"]
)
def test_a_table_that_cannot_be_listed_is_named_and_one_that_can_is_listed(setting, value, listed, unlisted):
    files = {**DOMAINS, **IN_SQL, "/etc/postfix/file": f"filed.example\n{SQLITE}\n"}
    served = Postfix(FakeHost(files=files, **{"mydestination": "", setting: value})).served()
    assert (*served.local, *served.virtual, *served.relay) == listed
    assert served.unlisted == tuple(f"{setting}: {table}" for table in unlisted)


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({"mydestination": SQLITE}, "local"),
        ({"virtual_alias_domains": SQLITE}, "virtual"),
        ({"virtual_mailbox_domains": f"proxy:{SQLITE}"}, "virtual"),
        ({"relay_domains": SQLITE}, "relay"),
        ({"relay_domains": "regexp:{/^asked/ x}"}, "relay"),
        ({"relay_domains": "regexp:{/^other/ x}"}, "none"),
        ({}, "none"),
    ],
)
def test_postfix_is_asked_about_a_domain_that_is_named(settings, kind):
    assert Postfix(FakeHost(files=IN_SQL, **settings)).kind_of("asked.example") == kind


def test_a_list_of_domains_that_does_not_answer_is_told_and_the_domain_is_not_called_foreign():
    host = FakeHost(virtual_mailbox_domains="sqlite:/etc/postfix/missing.cf")
    with pytest.raises(UserError, match="Postfix cannot read sqlite"):
        Postfix(host).kind_of("asked.example")
    found = resolve(host, Postfix(host), "postmaster@asked.example")
    assert [problem.id for problem in found.problems] == ["R10"]


@pytest.mark.parametrize(
    ("settings", "literals"),
    [
        ({"inet_interfaces": "loopback-only"}, ()),
        ({"inet_interfaces": "192.0.2.7, 127.0.0.1"}, ("[192.0.2.7]",)),
        ({"inet_interfaces": "127.0.0.1", "proxy_interfaces": "198.51.100.1"}, ("[198.51.100.1]",)),
        ({"inet_protocols": "ipv4"}, ("[192.0.2.1]",)),
    ],
)
def test_the_literals_are_the_addresses_that_postfix_speaks_on(settings, literals):
    assert Postfix(FakeHost(**settings)).served().literals == literals


def test_the_tables_are_listed_with_what_is_wrong_with_them():
    mta = Postfix(FakeHost(alias_maps="hash:/etc/aliases, lmdb:/etc/more, regexp:/etc/r, inline:{a=b}", **STALE))
    found = {(table.role, table.type): table for table in mta.tables()}
    assert found["alias_maps", "hash"].stale.startswith("/etc/aliases.db is older")
    assert found["alias_maps", "lmdb"].stale == "/etc/more.lmdb is missing"
    assert (found["alias_maps", "regexp"].source, found["alias_maps", "inline"].source) == ("/etc/r", "")


def test_the_listeners_are_postfix_s_own():
    host = FakeHost()
    host.sockets = [
        Socket("0.0.0.0", 25, frozenset({"master", "smtpd"})),
        Socket("::", 587, frozenset()),
        Socket("::", 53, frozenset()),
        Socket("0.0.0.0", 22, frozenset({"sshd"})),
    ]
    assert Postfix(host).listeners() == [("0.0.0.0", 25), ("::", 587)]


@pytest.mark.parametrize(
    ("written", "listeners"),
    [
        ("  77\n", [("192.0.2.1", 25), ("::", 587)]),
        ("88", [("192.0.2.2", 25), ("::", 587)]),
        ("99", [("::", 587)]),
        *(
            (unknown, [("192.0.2.1", 25), ("192.0.2.2", 25), ("::", 587)])
            for unknown in (None, "", "-1", "7" * 99, "x")
        ),
    ],
)
def test_the_listeners_of_another_instance_are_not(written, listeners):
    """As of postmulti(1): it has a master of its own. What nobody can see the holder of is on a port of master.cf."""
    host = FakeHost(files={} if written is None else {"/var/spool/postfix/pid/master.pid": written})
    host.sockets = [
        Socket("192.0.2.1", 25, frozenset({"master", "smtpd"}), "1", frozenset({77, 78})),
        Socket("192.0.2.2", 25, frozenset({"master"}), "2", frozenset({88})),
        Socket("::", 587, frozenset()),
    ]
    assert Postfix(host).listeners() == listeners


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({}, AliasFile("/etc/aliases", ("/etc/aliases.db",), ("newaliases",))),
        ({"alias_database": "lmdb:/etc/mail/a"}, AliasFile("/etc/mail/a", ("/etc/mail/a.lmdb",), ("newaliases",))),
        ({"alias_database": "", "alias_maps": "texthash:/etc/a"}, AliasFile("/etc/a")),
    ],
)
def test_the_aliases_file_is_the_one_that_newaliases_compiles(settings, wanted):
    assert Postfix(FakeHost(**settings)).aliases() == wanted


def test_names_that_are_aliases_are_told_from_others_with_one_process():
    host = FakeHost(aliases="Postmaster: alice\nabuse: postmaster\n")
    mta = Postfix(host)
    assert mta.aliased(["postmaster", "ABUSE", "alice"]) == {"postmaster", "ABUSE"}
    assert len(host.commands) == 2
