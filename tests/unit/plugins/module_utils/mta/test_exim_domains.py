# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which domains an Exim serves, and what of it can only be asked about. The texts are as Exim 4.96 prints them."""

from __future__ import annotations

import re

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils.errors import UserError
from ansible_collections.mailops.postmaster.plugins.module_utils.mta import exim_domains
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.exim import Exim
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.exim_route import Routers
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.exim_syntax import Driver
from fakes import Completed
from homes import EximHost

DEBIAN = """\
# Exim Configuration (4.96)
domainlist local_domains = @:localhost:mail.example.test : virtual.example.test
domainlist relay_to_domains =
hostlist relay_from_hosts = : 127.0.0.1 : ::::1
qualify_domain = mail.example.test

begin acl

  acl_check_rcpt:
    accept
    hosts = :
    deny
    domains = +local_domains
    local_parts = ^[.]
    deny
    domains = !+local_domains
    local_parts = ^[./|]
    accept
    local_parts = postmaster
    domains = +local_domains : +relay_to_domains
    require
    message = relay not permitted
    domains = +local_domains : +relay_to_domains
    accept
    senders = +skipped

begin routers

  dnslookup:
    driver = dnslookup
    domains = ! +local_domains
"""


def test_an_empty_list_does_not_take_the_next_line_for_its_own():
    assert exim_domains.names(DEBIAN) == ["local_domains", "relay_to_domains"]
    printed = "domainlist local_domains = @:localhost\ndomainlist relay_to_domains = \ndomainlist c = a : b\n"
    assert exim_domains.values(printed) == {"local_domains": "@:localhost", "relay_to_domains": "", "c": "a : b"}


@pytest.mark.parametrize(
    ("acl", "taken"),
    [
        ("accept domains = +a : +b", ["+a : +b"]),
        ("accept\n  local_parts = postmaster\n  domains = +a", ["+a"]),
        ("require\n  message = no\n  domains = +a", ["+a"]),
        ("deny !domains = +a", ["+a"]),
        ("deny\n  ! domains = +a : +b", ["+a : +b"]),
        ("deny domains = !+a : ! +b", ["+a : +b"]),
        ('accept domains = "${if exists{/x}{+a}fail}"', ["${if exists{/x}{+a}fail}"]),
        ("deny domains = +a", []),
        ("warn domains = +a", []),
        ("accept !domains = +a", []),
        ("accept sender_domains = +a", []),
        ("accept hosts = +a", []),
    ],
)
def test_a_domain_is_served_where_an_access_list_accepts_it(acl, taken):
    config = f"domainlist a = x.example\n\nbegin acl\n\n  rcpt:\n    {acl}\n\nbegin routers\n  domains = +z\n"
    assert [text for _where, text in exim_domains.sources(config, [])] == taken


def test_a_router_that_delivers_here_serves_and_one_that_routes_elsewhere_does_not():
    drivers = ("redirect", "accept", "manualroute", "dnslookup")
    routers = [Driver(f"r{name}", {"driver": name, "domains": f"+{name}"}) for name in drivers]
    assert exim_domains.sources("", routers) == [("router rredirect", "+redirect"), ("router raccept", "+accept")]


FILES = {"/etc/domains": ["# mine", "One.example: x", '"two.example": y', "*.three.example: z"]}


@pytest.mark.parametrize(
    ("text", "domains", "unlisted"),
    [
        ("@ : localhost : a.example : A.example.", ["mail.example.org", "localhost", "a.example"], []),
        ("<; a.example ; b.example", ["a.example", "b.example"], []),
        ("@[] : 127.0.0.1 : !no.example : +empty", [], []),
        ("+named : +named", ["n.example"], []),
        ("lsearch;/etc/domains", ["one.example", "two.example"], ["L: *.three.example in /etc/domains"]),
        ("/etc/domains", ["one.example", "two.example"], ["L: *.three.example in /etc/domains"]),
        ("partial-lsearch;/nofile", [], ["L: /nofile, which cannot be read"]),
        ("a.example : dsearch;/etc/virtual", ["a.example"], ["L: dsearch;/etc/virtual"]),
        ("cdb;/etc/d.cdb : dbm;/etc/d.db", [], ["L: cdb;/etc/d.cdb", "L: dbm;/etc/d.db"]),
        ("sqlite;/etc/db select d from t where p='secret'", [], ["L: sqlite"]),
        ("${lookup mysql{select secret where d='${quote_mysql:$domain}'}{$value}fail}", [], ["L: mysql"]),
        ("${lookup{$domain}cdb{/etc/d.cdb}{$domain}fail}", [], ["L: cdb;/etc/d.cdb"]),
        ("*.wild.example : ^x[.]example", [], ["L: *.wild.example", "L: ^x[.]example"]),
        ("@mx_any", [], ["L: @mx_any"]),
        ("${run{/usr/bin/list}}", [], ["L: an expansion"]),
        ("${if eq{$sender_host_address}{}{a.example}}", [], ["L: an expansion"]),
        ("${lc:${primary_hostname}}", ["lower.example"], []),
        ("${readfile{/etc/list}{:}}", ["read.example"], []),
        ("${readfile{/nofile}{:}}", [], ["L: an expansion, which Exim cannot expand"]),
        ("+hidden", [], ["domainlist hidden: a hidden list"]),
    ],
)
def test_what_names_domains_is_listed_and_what_does_not_is_named(text, domains, unlisted):
    lists = {"empty": "", "named": "n.example : +named", "hidden": exim_domains.NOT_SHOWN}
    expanded = {"${readfile{/etc/list}{:}}": "read.example:", "${lc:${primary_hostname}}": "lower.example"}
    found = exim_domains.listing([("L", text)], lists, "Mail.example.org", expanded.get, FILES.get)
    assert (list(found.domains), found.unlisted) == (domains, unlisted)
    assert "secret" not in "".join(found.unlisted)


class Asked(EximHost):
    """An Exim with some lists; ``answers`` are what it makes of a list item, and None is where it ends on the spot."""

    def __init__(self, lists, routers="", answers=None, acl="accept domains = +local_domains : +others"):
        super().__init__()
        self.lists, self.routers, self.says = lists, routers, answers or {}
        self.acl = acl

    def run(self, argv, stdin="", **timeout):
        if tuple(argv[:2]) == ("exim4", "-be"):
            return self.expand(stdin)
        if argv[:2] == ["exim4", "-bP"] and "config" in argv:
            rows = "".join(f"domainlist {name} = {text}\n" for name, text in self.lists.items())
            return Completed(tuple(argv), 0, f"{rows}\nbegin acl\n\n  rcpt:\n    {self.acl}\n\nbegin routers\n", "")
        if argv[:2] == ["exim4", "-bP"]:
            names = [name[1:] for name in argv if name.startswith("+")]
            rows = "".join(f"domainlist {name} = {self.lists[name]}\n" for name in names)
            return Completed(
                tuple(argv), 0, rows + self.PRINTED.replace("\nuserforward", self.routers + "\nuserforward"), ""
            )
        return super().run(argv, stdin, **timeout)

    def expand(self, stdin):
        said = ""
        for line in stdin.splitlines():
            text = line.removeprefix("${lc:}").removesuffix("${lc:}")
            found = re.fullmatch(r"\$\{if match_domain\{(.*)\}\{(.*)\}\{1\}\{0\}\}", text)
            answer = self.match(found[1], found[2]) if found else self.says.get(text, text)
            if answer is None:
                return Completed(("exim4",), 1, said + "> ", "2026-11-30 failed to open the database\n")
            said += f"> {answer}\n"
        return Completed(("exim4",), 0, said, "")

    def match(self, domain, items):
        if items in self.says:
            answer = self.says[items]
            return answer if answer is None or isinstance(answer, str) else str(int(domain in answer))
        known = [self.lists.get(item[1:], item) for item in exim_domains.items_of(items)]
        return str(int(any(domain in exim_domains.items_of(text) for text in known)))


def test_stock_debian_serves_no_domain_of_the_line_after_an_empty_list():
    served = Exim(Asked({"local_domains": "@:localhost:a.example", "relay_to_domains": ""})).served()
    assert served.local == ("mail.example.org", "localhost", "a.example")
    assert (served.virtual, served.relay, served.unlisted) == ((), {}, ())


RELAY = """
hub router:
driver = manualroute
domains = relayed.example
route_data = hub.example
"""


def test_a_list_of_any_name_is_served_and_its_kind_is_what_the_routers_do():
    served = Exim(Asked({"local_domains": "@", "others": "mine.example : relayed.example"}, RELAY)).served()
    assert served.local == ("mail.example.org",)
    assert served.virtual == ("mine.example",)
    assert served.relay == {"relayed.example": "[hub.example]"}


def test_what_nothing_accepts_is_not_served():
    lists = {"local_domains": "@", "others": "o.example", "signed": "s.example"}
    assert Exim(Asked(lists, acl="deny domains = +signed")).kind_of("s.example") == "none"
    assert Exim(Asked(lists)).kind_of("o.example") == "virtual"


SQL = "sqlite;/etc/db select"
BY_DOMAIN = "${lookup{$domain}dsearch{/etc/v}{$domain}fail}"
HERS = BY_DOMAIN.replace("$domain", "asked.example")
BY_CLIENT = "${if eq{$sender_host_address}{192.0.2.1}{asked.example}{b.example}}"
FORCED = 'Failed: "lookup" failed and "fail" requested'


@pytest.mark.parametrize(
    ("lists", "answers", "kind"),
    [
        ({"local_domains": "@", "others": SQL}, {"+others": ["asked.example"]}, "virtual"),
        ({"local_domains": f"@ : {SQL}"}, {"+local_domains": ["asked.example"]}, "local"),
        ({"local_domains": "@", "others": SQL}, {"+others": []}, "none"),
        ({"local_domains": "@", "others": BY_DOMAIN}, {HERS: "asked.example"}, "virtual"),
        ({"local_domains": "@", "others": BY_DOMAIN}, {HERS: FORCED}, "none"),
        ({"local_domains": "@", "others": BY_CLIENT}, {BY_CLIENT: "asked.example"}, "virtual"),
        ({"local_domains": "@", "others": exim_domains.NOT_SHOWN}, {"+others": ["asked.example"]}, "virtual"),
    ],
)
def test_exim_is_asked_about_a_domain_of_a_list_that_cannot_be_listed(lists, answers, kind):
    """A list that names ``$domain`` is filled in first: Exim has no domain while it expands for others."""
    both = answers.get("+others") or answers.get("+local_domains") or []
    own = Exim(Asked(lists, "", {"+local_domains : +others": both, **answers}))
    assert own.served().unlisted
    assert own.kind_of("asked.example") == kind


@pytest.mark.parametrize(
    ("others", "answers", "said"),
    [
        (SQL, {"+local_domains : +others": None}, "2026-11-30 failed to open the database"),
        (BY_DOMAIN, {HERS: "Failed: failed to open /etc/v for directory search"}, "failed to open /etc/v"),
        (exim_domains.NOT_SHOWN, {"+others": []}, "the list others, which is hidden"),
        (BY_CLIENT, {BY_CLIENT: "b.example"}, "depends on $sender_host_address"),
        (BY_DOMAIN, {HERS: 'Failed: lookup of "secret" gave DEFER: down'}, '"..." gave DEFER: down'),
    ],
)
def test_what_exim_cannot_say_is_no_answer(others, answers, said):
    own = Exim(Asked({"local_domains": "@", "others": others}, "", answers))
    with pytest.raises(UserError, match=re.escape(said)):
        own.kind_of("asked.example")


def test_a_question_that_ends_exim_leaves_the_others_their_answer():
    lists = [Driver(name, {"domains": items}) for name, items in (("a", "cdb;/nofile"), ("b", "a.example"))]
    routers = Routers(Asked({}, "", {"cdb;/nofile": None}), {"qualify_recipient": "a.example"}, lists, [])
    routers.warm([routers.address("x")])
    with pytest.raises(UserError, match="failed to open"):
        routers.matches("domain", "a.example", "cdb;/nofile")
    assert routers.matches("domain", "a.example", "a.example")
