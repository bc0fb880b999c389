# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sendmail's own words, as they are read: its configuration, its test mode, its aliases and its log."""

from __future__ import annotations

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils.mta import sendmail_log
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.sendmail_syntax import (
    Map,
    Route,
    alias_files,
    forward_files,
    found_in_map,
    keys,
    maps,
    members,
    option,
    ports,
    route,
)
from fakes import FakeHost, journal

CF = """\
Kaccess hash -T<TMPF> /etc/mail/access
Kvirtuser hash -o /etc/mail/virtusertable.db
Kresolve host -a<OKR> -T<TEMP>
K
Knothing
Kempty hash
Kblank hash \t
O AliasFile=/etc/aliases,hash:/etc/mail/lists, dbm:-o /etc/more
O DefaultUser=mail:mail
Mesmtp,\t\tP=[IPC], F=mDFMuXa, R=EnvToSMTP, E=\\r\\n, L=990,
\t\tT=DNS/RFC822/SMTP,
\t\tA=TCP $h
Mesmtp2525, P=[IPC], F=mDFMuXa, R=EnvToSMTP, E=\\r\\n, L=990, T=DNS/RFC822/SMTP, A=TCP $h 2525
"""


@pytest.mark.parametrize("line", ["K", "Kx", "Kx ", "Kx hash", "Kx hash  ", "Kx hash -o", "K hash /x", "Kx\n  hash /x"])
def test_a_map_without_a_file_is_no_map_that_is_looked_up_in_a_file(line):
    assert maps(f"{line}\nKy hash /y\n")[-1:] == [Map("y", "hash", "/y")]


def test_the_configuration_names_its_options_maps_alias_files_and_ports():
    assert (option(CF, "DefaultUser"), option(CF, "ForwardPath")) == ("mail:mail", "")
    assert maps(CF) == [Map("access", "hash", "/etc/mail/access"), Map("virtuser", "hash", "/etc/mail/virtusertable")]
    assert [(file.type, file.path) for file in alias_files(CF)] == [
        ("hash", "/etc/aliases"),
        ("hash", "/etc/mail/lists"),
        ("dbm", "/etc/more"),
    ]
    assert ports(CF) == {"esmtp2525": "2525"}


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        ("> Cracked address = $g\nParsing\nmailer local, user postmaster\n", Route("local", "", "postmaster")),
        (
            "nosuch@example.net... User unknown\nmailer *error*, host nouser, user 550 5.1.1 User unknown\n",
            Route("*error*", "nouser", "550 5.1.1 User unknown"),
        ),
        ("mailer esmtp, host [a.example], user x@b.example\n> ", Route("esmtp", "[a.example]", "x@b.example")),
        ("> Usage: /parse address\n> ", None),
        ('mailer local, user root"... Unbalanced\nmailer esmtp, host b., user x\n', Route("esmtp", "b.", "x")),
    ],
)
def test_the_last_word_of_the_test_mode_on_an_address_counts(answer, wanted):
    assert route(answer) == wanted


def test_what_a_map_returns_is_read_by_its_key():
    said = "> map_lookup: aliases (postmaster) returns alice (0)\n> map_lookup: aliases (nosuch) no match (68)\n> "
    assert found_in_map(said) == {"postmaster": "alice"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("alice, bob", ["alice", "bob"]),
        ('"|/bin/prog a, b", alice', ["|/bin/prog a, b", "alice"]),
        ('"alice"@example.org (who else), "bob"', ["alice@example.org", "bob"]),
        (":include:/etc/list", [":include:/etc/list"]),
        (" , \n", []),
    ],
)
def test_members_are_read_as_sendmail_reads_them(text, found):
    assert members(text) == found


def test_an_alias_is_looked_up_with_its_detail_first():
    assert keys("alice+lists") == ["alice+lists", "alice+*", "alice"]
    assert keys("alice") == ["alice"]
    assert keys("+alice") == ["+alice"]


def test_forward_files_are_those_that_can_be_named():
    path = "$z/.forward.$w+$h:$z/.forward+$h:$z/.forward.$w:$z/.forward"
    assert forward_files(path, "/home/alice", "mx.example.org") == ["/home/alice/.forward.mx", "/home/alice/.forward"]
    assert forward_files("", "/home/alice", "mx") == ["/home/alice/.forward"]


LOG = """\
6AN56eLW003647: to=<postmaster@example.com>, mailer=esmtp, relay=[192.0.2.9], dsn=4.0.0, stat=Deferred: no
6AN56eLW003647: to=<postmaster@example.com>, mailer=esmtp, relay=[192.0.2.9], dsn=2.0.0, stat=Sent (Ok)
6AN56eLX003647: to=ghost, mailer=local, dsn=5.1.1, stat=User unknown
"""


@pytest.mark.parametrize(
    ("reply", "state"),
    [
        ("2.0.0 6AN56eLW003647 Message accepted for delivery", "sent"),
        ("2.0.0 6AN56eLX003647 Message accepted for delivery", "bounced"),
        ("2.0.0 6AN56eLZ003647 Message accepted for delivery", "unknown"),
    ],
)
def test_the_last_word_of_the_log_on_a_recipient_counts(reply, state):
    host = FakeHost()
    host.answers["journalctl"] = journal(LOG.splitlines(), "sm-mta")
    assert sendmail_log.handed_on(host, reply, 0.0).state == state
