# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Sendmail makes of an address, and every row of the catalogue: a host that breaks it, and it alone."""

from __future__ import annotations

import re

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.resolve import resolve
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.sendmail import Sendmail
from fakes import NEW, Completed, FakeHost

CF = """\
Kaccess hash -T<TMPF> /etc/mail/access
Kvirtuser hash -o /etc/mail/virtusertable
O AliasFile=/etc/aliases
O DefaultUser=mail:mail
O ForwardPath=$z/.forward
Mesmtp, P=[IPC], A=TCP $h
"""
ROWS = {"postmaster@example.net": "postmaster@mail.example.org", "sales@example.net": "alice@mail.example.org"}
CLASSES = {
    "w": ["mail.example.org", "example.org", "example.net", "[192.0.2.1]", "127.0.0.1", "localhost"],
    "{VirtHost}": [],
}


class Mta(FakeHost):
    """A host with a Sendmail whose test mode reads the tables; it says of the names ``stay`` that mail stays there."""

    def __init__(self, aliases="", files=None, stats=None, stay=(), onward=None):
        own = {
            "/etc/mail/sendmail.cf": CF,
            "/etc/mail/virtusertable": "".join(f"{key} {value}\n" for key, value in ROWS.items())
            + "@example.net error\n",
            "/etc/mail/virtusertable.db": "",
            "/etc/mail/access": "To:example.com RELAY\n",
            "/etc/mail/access.db": "",
        }
        self.onward = onward or {}
        super().__init__(aliases, {**own, **(files or {})}, stats, ["/bin/true"])
        self.stay = stay

    def run(self, argv, stdin="", **_timeout):
        if argv[1] == "-bv":
            name = stdin.removeprefix("To: ").strip()
            said = f"{name}... deliverable: mailer local, user {name}\n" if name in self.stay else ""
            return Completed(tuple(argv), 75, said, "")
        answers = {"/parse": self.parse, "/map": self.look_up, "5": self.ruleset_5}
        lines = [line.split(" ") for line in stdin.split("\n")[:-1]]
        said = [answers[words[0]](*words[1:]) if words[0] in answers else self.of_class(words[0]) for words in lines]
        return Completed(tuple(argv), 0, "Version 8.18.1\n$j = mail.example.org\n" + "\n".join(said), "")

    def parse(self, *words):
        """The first word; what lacks a counterpart is complained of before the answer, as Sendmail does."""
        address = words[0]
        if address == "@":
            return "it says nothing"
        if address.startswith("mailer"):
            return f"{' '.join(words)}... Unbalanced\nmailer local, user nobody"
        address = ROWS.get(address.lower(), address)
        local, _sign, domain = address.lower().partition("@")
        if domain == "example.net":
            return "mailer *error*, host nouser, user 550 5.1.1 User unknown"
        if domain in ("", *CLASSES["w"]):
            return f"mailer local, user {local}"
        return f"mailer esmtp, host {domain}., user {address}"

    def look_up(self, name, key):
        if name != "aliases":
            return f'Map named "{name}" not found'
        text = re.sub(r"\n[ \t]+", " ", self.files["/etc/aliases.db"])
        found = re.search(rf"^{re.escape(key)}:\s*(\S.*)$", text, re.MULTILINE | re.IGNORECASE)
        return (
            f"map_lookup: aliases ({key}) returns {found[1]} (0)" if found else f"map_lookup: aliases ({key}) no match"
        )

    def ruleset_5(self, name):
        return f"localaddr        returns: {self.onward.get(name, name)}"

    def of_class(self, words):
        return "\n".join(CLASSES.get(words[2:], []))


def walked(address, *args, **kwargs):
    """The ends of an address, and the rows of what is wrong."""
    host = Mta(*args, **kwargs)
    found = resolve(host, Sendmail(host), address, far_end=None)
    return [end.value for end in found.destinations], [problem.id for problem in found.problems if problem.id != "R8"]


def home(account, text):
    return {f"/home/{account}/.forward": text}


ALICE, BOB = "/var/mail/alice", "/var/mail/bob"


@pytest.mark.parametrize(
    ("aliases", "address", "ends"),
    [
        ("postmaster: alice", "postmaster", [ALICE]),
        ("postmaster: alice", "POSTMASTER@Example.ORG", [ALICE]),
        ("postmaster: alice", "postmaster@example.net", [ALICE]),
        ("postmaster: alice", "@x.example:postmaster@example.org", [ALICE]),
        ("postmaster: alice", "postmaster+tag@example.org", [ALICE]),
        ("postmaster: alice\npostmaster+tag: bob", "postmaster+tag@example.org", [BOB]),
        ("postmaster: Alice <alice>, bob@localhost", "postmaster", [ALICE, BOB]),
        ("postmaster: alice, bob@example.com", "postmaster", [ALICE, "bob@example.com"]),
        ("alice: alice, bob", "alice", [ALICE, BOB]),
        ("alice: alice@example.org, bob", "alice", [ALICE, BOB]),
        ("postmaster: alice\nalice: list\nlist: alice+x, bob", "postmaster", [ALICE, BOB]),
        ("alice: bob\nbob: alice", "alice", [ALICE]),
    ],
)
def test_an_address_ends_where_sendmail_takes_it(aliases, address, ends):
    assert walked(address, aliases) == (ends, [])


@pytest.mark.parametrize(
    ("aliases", "forward", "ends"),
    [
        ("", "bob\n", [BOB]),
        ("", "# nobody\n", [ALICE]),
        ("", "\\alice, bob\n", [ALICE, BOB]),
        ("", "alice, bob\n", [ALICE, BOB]),
        ("", "alice@example.org\n", [ALICE]),
        ("alice: alice", "bob\n", [BOB]),
        ("alice: alice@localhost", "bob\n", [BOB]),
        ("alice: \\alice", "bob\n", [ALICE]),
        ("list: alice", "list, bob\n", [ALICE, BOB]),
    ],
)
def test_a_forward_file_counts_once_and_an_alias_of_the_same_name_does_not_hide_it(aliases, forward, ends):
    assert walked("alice", aliases, home("alice", forward)) == (ends, [])


HUB = {"alice": "$# relay $@ hub . example . com $: alice < @ hub . example . com >"}
LUSER = {"nosuch": "$# local $@ nosuch $: bob", "gone": "$# error $@ 5 . 1 . 1 $: 550 gone"}


@pytest.mark.parametrize(
    ("macro", "onward", "address", "found"),
    [
        ("DHhub.example.com", HUB, "postmaster", (["alice@hub.example.com"], [])),
        ("DLlocal:bob", LUSER, "nosuch", ([BOB], [])),
        ("DLlocal:bob", LUSER, "postmaster", ([ALICE], [])),
        ("DLlocal:bob", LUSER, "gone", (["gone"], ["R3"])),
        ("", LUSER, "nosuch", (["nosuch"], ["R3"])),
    ],
)
def test_a_hub_for_all_names_and_a_relay_for_unknown_ones_are_followed(macro, onward, address, found):
    assert walked(address, "postmaster: alice", {"/etc/mail/sendmail.cf": f"{CF}{macro}\n"}, onward=onward) == found


def test_a_forward_file_that_sendmail_passes_over_is_reported_and_not_followed():
    assert walked("alice", "", home("alice", "bob\n"), stay=["alice"]) == ([ALICE], ["R10"])


@pytest.mark.parametrize(
    ("aliases", "rows", "host"),
    [
        ("postmaster: ring\nring: postmaster", ["R1"], {}),
        ("postmaster: postmaster", ["R2"], {}),
        ("postmaster:", ["R2"], {}),
        ("postmaster: :include:/etc/list", ["R2"], {"files": {"/etc/list": "# nobody\n"}}),
        ("", ["R3"], {}),
        ("postmaster: root\nroot: ghost", ["R3"], {}),
        ("postmaster: nosuch@example.net", ["R3"], {}),
        ("postmaster: error:nouser 550 gone", ["R3"], {}),
        ("postmaster: /dev/null", ["R4"], {}),
        ('postmaster: "|/bin/true"', ["R5"], {}),
        ('postmaster: "|/bin/missing"', ["R5"], {}),
        ("postmaster: daemon", ["R6"], {}),
        ("postmaster: root", ["R7"], {}),
        ("postmaster: :include:/etc/list", ["R9"], {}),
        ("postmaster: alice", ["R10"], {"stats": {"/etc/aliases": {"mtime": NEW + 1}}}),
        ("postmaster: alice", ["R10"], {"files": {"/etc/aliases.db": "postmaster: bob"}}),
    ],
)
def test_each_row_is_reported_where_it_is_broken_and_it_alone(aliases, rows, host):
    assert walked("postmaster", aliases, **host)[1] == rows


def test_what_is_stale_is_reported_of_an_account_with_a_forward_file_too():
    stale = {"/etc/aliases": {"mtime": NEW + 1}}
    assert walked("alice", "alice: bob", {"/etc/aliases.db": "", **home("alice", "bob\n")}, stale) == ([BOB], ["R10"])


def test_what_is_served_is_told_apart():
    served = Sendmail(Mta("postmaster: alice")).served()
    assert (served.hostname, served.local) == ("mail.example.org", ("example.org", "mail.example.org"))
    assert (served.virtual, served.relay, served.literals) == (
        ("example.net",),
        {"example.com": "example.com"},
        ("[192.0.2.1]",),
    )
