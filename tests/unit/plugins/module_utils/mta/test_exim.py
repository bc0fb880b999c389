# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exim's own words, as they are read: drivers, lists, redirections, `-bt` and the log."""

from __future__ import annotations

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils.mta import exim_log
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.exim_oracle import Oracle, verdicts
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.exim_syntax import (
    Driver,
    affixes,
    drivers,
    filled,
    items_of,
    lookups,
    question,
    redirections,
    split,
)
from fakes import Completed, FakeHost

ROUTERS = """
aliases router:
condition =
domains = +local_domains
driver = redirect
check_local_user
data = ${lookup{$local_part}lsearch{/etc/aliases}}
no_more

account router:
driver = accept
no_check_local_user
"""


def test_drivers_are_read_with_their_options_and_flags():
    first, second = drivers(ROUTERS, "router")
    assert (first.name, first.get("driver"), first.get("domains")) == ("aliases", "redirect", "+local_domains")
    assert first.get("condition") == ""
    assert {"check_local_user", "no_more"} <= first.flags
    assert (second.name, second.get("driver"), second.get("data")) == ("account", "accept", "")


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("a : b:c", ["a", "b", "c"]),
        ("<; a ; [ipv6:fd00::1] ;", ["a", "[ipv6:fd00::1]"]),
        ("host::25 : other", ["host:25", "other"]),
        ("<+host.example:25", ["host.example:25"]),
        ("", []),
    ],
)
def test_the_separator_of_a_list_may_be_any_sign(text, items):
    assert items_of(text) == items


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("$local_part@$domain", "alice@example.org"),
        ("${local_part}-${domain}", "alice-example.org"),
        ("$local_part_data$local_part_suffix", "alice+tag"),
        ("$local_parts \\$domain $sender_address", "$local_parts \\$domain $sender_address"),
        ("$home/.forward", "/home/\\$a\\{b\\}/.forward"),
    ],
)
def test_the_variables_of_an_address_are_put_in_and_no_other(text, wanted):
    names = ("local_part", "local_part_data")
    values = {
        **dict.fromkeys(names, "alice"),
        "domain": "example.org",
        "local_part_suffix": "+tag",
        "home": "/home/$a{b}",
    }
    assert filled(text, values) == wanted


def test_look_ups_name_their_type_and_file():
    assert lookups("${lookup{$local_part}lsearch{/etc/aliases}{$value}{${lookup{x}cdb{/etc/more.cdb}}}}") == [
        ("lsearch", "/etc/aliases"),
        ("cdb", "/etc/more.cdb"),
    ]
    assert lookups("partial-lsearch;/etc/exim4/hubbed_hosts") == [("partial-lsearch", "/etc/exim4/hubbed_hosts")]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("$primary_hostname", "${lc:}$primary_hostname${lc:}"),
        ("A = b", "${lc:}A = b${lc:}"),
        (" two\nlines\\", "${lc:} two\\nlines\\${lc:}"),
        ("a\0b", ""),
        ("a\rb", ""),
        ("a" * 16384, ""),
    ],
)
def test_a_question_to_exim_is_one_line_and_no_definition(text, line):
    assert question(text) == line


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("alice, bob", [(1, "alice"), (1, "bob")]),
        ("alice # not bob\n# nor carol\nbob", [(1, "alice"), (3, "bob")]),
        ('"|/bin/prog a, b", alice', [(1, "|/bin/prog a, b"), (1, "alice")]),
        ('"Alice A" <alice@example.org>', [(1, '"Alice A" <alice@example.org>')]),
        (":fail: gone, for good", [(1, ":fail: gone, for good")]),
        (":include:/etc/list", [(1, ":include:/etc/list")]),
        (" ,, \n", []),
        ('alice, "bob, carol', [(1, "alice"), (1, "bob"), (1, "carol")]),
        ('"al\\"ice, x", bob#c #d', [(1, 'al"ice, x'), (1, "bob#c")]),
        ('"a" "b, c"', [(1, '"a" "b, c"')]),
    ],
)
def test_a_redirection_list_is_read_as_exim_reads_it(text, items):
    assert redirections(text) == items


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("Postmaster", ("postmaster", "")),
        ('"post\\master"@Example.ORG', ("postmaster", "example.org")),
        ("@x.example:postmaster@example.org", ("postmaster", "example.org")),
        ('"Alice A" <alice@example.org> (who else)', ("alice", "example.org")),
    ],
)
def test_an_address_is_taken_apart(address, parts):
    assert split(address) == parts


@pytest.mark.parametrize(
    ("local", "options", "flags", "parts"),
    [
        ("alice+tag", {"local_part_suffix": "+*"}, ["local_part_suffix_optional"], ("", "alice", "+tag")),
        ("alice", {"local_part_suffix": "+*"}, ["local_part_suffix_optional"], ("", "alice", "")),
        ("alice", {"local_part_suffix": "+*"}, [], None),
        ("real-alice", {"local_part_prefix": "real-"}, [], ("real-", "alice", "")),
        ("alice", {"local_part_prefix": "real-"}, [], None),
    ],
)
def test_affixes_are_taken_off_where_the_router_wants_them(local, options, flags, parts):
    assert affixes(local, Driver("router", options, frozenset(flags))) == parts


SAID = """\
alice@example.org
    <-- postmaster@example.org
  router = account, transport = mailbox
alice@example.org   [duplicate, would not be delivered]
    <-- list@example.org
ghost@example.org is undeliverable: Unrouteable address
    <-- list@example.org
mail to void@example.org is discarded
prog@example.org -> |/bin/cat
  transport = address_pipe
late@example.org cannot be resolved at this time: host lookup did not complete
mode@example.org cannot be resolved at this time: bad mode (0100664) for /home/bob/.forward: 020 bit(s) unexpected
wrong@example.org
  *** Error in setting up pipe, file, or autoreply:
"""


def test_the_word_of_exim_is_read_for_each_address_that_was_asked_about():
    assert {address: verdict for address, (verdict, _reason) in verdicts(SAID).items()} == {
        "postmaster@example.org": True,
        "list@example.org": False,
        "void@example.org": True,
        "prog@example.org": True,
        "late@example.org": None,
        "mode@example.org": False,
        "wrong@example.org": False,
    }
    assert verdicts(SAID)["list@example.org"][1] == "Unrouteable address"


class Asked(FakeHost):
    """A host whose `exim4 -bt` says of all addresses but one that they are fine, and does not come back from that."""

    def run(self, argv, stdin="", **_timeout):
        lines = stdin.splitlines()
        self.commands.append((*argv, *lines))
        good = lines[: lines.index("stuck@a.example")] if "stuck@a.example" in lines else lines
        said = "".join(f"> {line}\n  router = account, transport = mailbox\n" for line in good)
        return Completed(tuple(argv), 124, said + "> ", "", timed_out=len(good) < len(lines))


def test_an_address_that_exim_does_not_come_back_from_leaves_the_others_their_answer():
    host = Asked()
    oracle = Oracle(host)
    oracle.ask(["a@a.example", "stuck@a.example", "b@a.example", "line\nbreak@a.example", "back@a.example\\"])
    said = {name: oracle.opinion(f"{name}@a.example").deliverable for name in ("a", "stuck", "b")}
    assert said == {"a": True, "stuck": None, "b": True}
    assert oracle.opinion("line\nbreak@a.example").deliverable is oracle.opinion("back@a.example\\").deliverable is None
    assert host.commands == [
        ("exim4", "-bt", "a@a.example", "stuck@a.example", "b@a.example"),
        ("exim4", "-bt", "b@a.example"),
    ]


LOG = """\
2026-11-23 04:34:59 1xVLlb-0000PB-2L <= bob@example.net H=far.example P=esmtp S=686
2026-11-23 04:34:59 1xVLlb-0000PB-2L == postmaster@example.com R=relayed T=remote_smtp defer (111): Connection refused
2026-11-23 04:35:59 1xVLlb-0000PB-2L => postmaster@example.com R=relayed T=remote_smtp H=far [192.0.2.9] C="250 OK"
2026-11-23 04:35:59 1xVLlb-0000PB-2L Completed
2026-11-23 04:35:59 1xVLle-0000PB-2L == alice@example.org <postmaster@example.org> R=account T=mailbox defer (0): locked
2026-11-23 04:36:00 1xVLle-0000PB-2L => alice <postmaster@example.org> R=account T=mailbox
2026-11-23 04:36:00 1xVLlc-0000PB-2L ** ghost@example.org R=x: Unrouteable address
"""


@pytest.mark.parametrize(
    ("reply", "state"),
    [
        ("OK id=1xVLlb-0000PB-2L", "sent"),
        ("OK id=1xVLle-0000PB-2L", "sent"),
        ("OK id=1xVLlc-0000PB-2L", "bounced"),
        ("OK id=1xVLld-0000PB-2L", "unknown"),
    ],
)
def test_the_last_word_of_the_log_on_a_recipient_counts(reply, state):
    host = FakeHost(files={"/var/log/exim4/mainlog": LOG})
    host.run = lambda argv: Completed(tuple(argv), 1, "", "")
    assert exim_log.handed_on(host, "/var/log/exim4/mainlog", "Debian-exim", reply, 0).state == state
