# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which MTA a host has, and what is said where that is not clear."""

from __future__ import annotations

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system.host import Socket
from ansible_collections.mailops.postmaster.plugins.module_utils.errors import UserError
from ansible_collections.mailops.postmaster.plugins.module_utils.mta import info
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.identify import Evidence, identify, installed
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.info import describe
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.present import KNOWN, look
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.registry import adapter
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction.journal import Journal
from fakes import Completed, FakeHost

POSTFIX, EXIM, OPENSMTPD, SENDMAIL = (KNOWN[name].program for name in ("postfix", "exim", "opensmtpd", "sendmail"))


@pytest.mark.parametrize(
    ("programs", "listening", "sendmail", "wanted"),
    [
        ([], [], "", ""),
        ([POSTFIX], [], "/usr/sbin/sendmail", "postfix"),
        ([EXIM], [], EXIM, "exim"),
        ([OPENSMTPD], ["smtpd"], OPENSMTPD, "opensmtpd"),
        ([SENDMAIL], ["sendmail"], SENDMAIL, "sendmail"),
        ([POSTFIX, EXIM], ["master"], EXIM, "postfix"),
        ([POSTFIX, EXIM], ["exim4"], "", "exim"),
        ([POSTFIX, EXIM], [], EXIM, "exim"),
        ([POSTFIX, EXIM], [], "/usr/sbin/sendmail", ""),
        ([], ["master"], "", ""),
    ],
)
def test_the_mta_is_the_one_that_listens_then_the_one_that_sends_then_the_only_one(
    programs, listening, sendmail, wanted
):
    seen = Evidence(frozenset(programs), frozenset(listening), sendmail)
    assert identify(seen, KNOWN) == wanted
    assert len(installed(seen, KNOWN)) == len(programs)


@pytest.mark.parametrize(
    ("programs", "name", "said"),
    [
        ([], "", "there is no MTA on this host"),
        ([POSTFIX, EXIM], "", "there are several MTAs (exim, postfix)"),
        ([EXIM], "postfix", "mta: 'postfix' is not installed on this host; installed: exim"),
        ([POSTFIX], "qmail", "mta: 'qmail' is unknown; allowed: exim, opensmtpd, postfix, sendmail"),
    ],
)
def test_where_there_is_no_adapter_the_user_is_told_why(programs, name, said):
    with pytest.raises(UserError, match=said.replace("(", r"\(").replace(")", r"\)")):
        adapter(FakeHost(programs=programs), name)


def test_the_socket_on_port_25_decides_between_two():
    host = FakeHost(programs=[POSTFIX, EXIM])
    host.sockets = [Socket("::", 2525, frozenset({"exim4"})), Socket("0.0.0.0", 25, frozenset({"master"}))]
    assert look(host) == ("postfix", ["exim", "postfix"])
    assert adapter(host).name == "postfix"


def test_a_postfix_that_cannot_be_asked_is_the_user_s_to_mend():
    host = FakeHost()
    host.run = lambda *_: Completed((), 1, "", "postconf: fatal: open /etc/postfix/main.cf")
    with pytest.raises(UserError, match=r"open /etc/postfix/main\.cf"):
        adapter(host)


def test_a_host_without_an_mta_is_described_without_one():
    host = FakeHost(aliases="ops: alice\n", programs=[])
    found = describe(host, ["alice", "ops", "nosuch"])
    assert (found["mta"], found["version"], found["installed"], found["hostname"]) == ("", "", [], "")
    assert found["domains"] == {"local": [], "virtual": [], "relay": {}}
    assert found["names"] == {"alice": "account", "ops": "alias", "nosuch": "none"}
    assert found["aliases"] == {"path": "/etc/aliases", "compiled": [], "rebuild": []}
    assert found["addresses"] == ["192.0.2.1", "2001:db8::1"]


@pytest.mark.parametrize(
    ("delimiter", "names"),
    [
        ("+", {"alice+tag": "account", "ops+tag": "alias", "b+c": "alias", "nosuch+tag": "none", "gone+tag": "none"}),
        ("", {"alice+tag": "none", "ops+tag": "none", "b+c": "alias", "nosuch+tag": "none", "gone+tag": "none"}),
    ],
)
def test_a_name_with_a_tag_is_what_the_mta_takes_it_for(delimiter, names):
    host = FakeHost(aliases="ops: alice\nb+c: alice\ngone: nosuch\n", recipient_delimiter=delimiter)
    assert describe(host, list(names), mta="postfix")["names"] == names


def test_a_host_without_an_aliases_file_has_no_aliases():
    host = FakeHost(programs=[])
    del host.files["/etc/aliases"]
    assert describe(host, ["ops"])["names"] == {"ops": "none"}


def test_a_postfix_host_is_described():
    host = FakeHost(aliases="postmaster: alice\n", relay_domains="example.com")
    found = describe(host, ["postmaster", "alice"], mta="postfix")
    assert (found["mta"], found["version"], found["hostname"]) == ("postfix", "3.10.0", "mail.example.org")
    assert found["names"] == {"postmaster": "alias", "alice": "account"}
    assert found["domains"]["relay"] == {"example.com": "example.com"}
    assert found["tables"][0]["compiled"] == "/etc/aliases.db"
    assert found["aliases"]["rebuild"] == ["newaliases"]


@pytest.mark.parametrize(
    ("said", "missing"),
    [
        ("postfix installed\n", ["exim4"]),
        ("postfix config-files\nexim4 installed\n", ["postfix"]),
        ("", ["postfix", "exim4"]),
    ],
)
def test_a_package_is_there_only_if_it_is_installed(said, missing):
    host = FakeHost()
    host.answers["dpkg-query"] = Completed((), 1, said, "")
    assert describe(host, packages=["postfix", "exim4"])["packages_missing"] == missing


@pytest.mark.parametrize(
    ("said", "wanted", "missing"),
    [
        ("", ["light | heavy"], ["light"]),
        ("heavy installed\n", ["light | heavy"], []),
        ("", ["light | heavy", "heavy"], ["heavy"]),
        ("light installed\n", ["light | heavy", "heavy"], ["heavy"]),
    ],
)
def test_of_alternatives_one_is_enough(said, wanted, missing):
    host = FakeHost()
    host.answers["dpkg-query"] = Completed((), 1, said, "")
    assert describe(host, packages=wanted)["packages_missing"] == missing


def test_a_change_of_the_mta_that_is_not_confirmed_counts_as_taken_back(tmp_path, monkeypatch):
    monkeypatch.setattr(info, "FOLDER", str(tmp_path))
    host = FakeHost()
    packages = {"wanted": ["postfix"], "added": ["postfix"], "before": {"exim4": "4.98-1"}, "manual": []}
    journal = Journal("1-2", {}, switch={"old": "exim", "new": "postfix", "packages": packages, "aliases": []})
    (tmp_path / "undoing.json").write_bytes(journal.dump())
    host.answers["dpkg-query"] = Completed((), 1, "postfix installed\n", "")
    found = describe(host, packages=["postfix", "exim4"])
    assert (found["replaced"], found["packages_missing"]) == ("exim", ["postfix"])


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"version": "2.0"}', b"\0\xff"])
def test_a_journal_that_cannot_be_read_is_no_change_of_the_mta(tmp_path, monkeypatch, raw):
    monkeypatch.setattr(info, "FOLDER", str(tmp_path))
    (tmp_path / "pending.json").write_bytes(raw)
    assert describe(FakeHost(), packages=[])["replaced"] == ""
