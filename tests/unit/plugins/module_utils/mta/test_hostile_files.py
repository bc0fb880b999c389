# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever a user puts in the place of a .forward file, or into it: there is a verdict, soon, and nothing of root's."""

from __future__ import annotations

import os
import resource
import shutil
import socket
import time

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system import reader
from ansible_collections.mailops.postmaster.plugins.module_utils.aliases import sources
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.exim_syntax import redirections
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.opensmtpd_items import items
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.resolve import resolve
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.sendmail_syntax import members
from homes import ALICE, HOSTS, ROOT, some_home

TOKEN = "t0ken-of-root"
SECONDS = 10  # for each; a machine that does much else needs most of it, and what is not linear needs far more
MEGABYTES = 100  # that all of them together may add to the memory of the tests
NAMES = list(HOSTS)


@pytest.fixture
def home():
    """A home of alice's, in directories that she may search, with what root, but not she, may read."""
    with some_home() as path:
        (path / "secret").write_text(TOKEN)
        (path / "secret").chmod(0o600 if ROOT else 0)
        yield path


def text(content):
    return lambda path: path.write_bytes(content.replace("~", str(path.parent)).encode("utf-8", "surrogateescape"))


def link(target):
    return lambda path: path.symlink_to(target.replace("~", str(path.parent)))


def sparse(path):
    with path.open("wb") as file:
        file.truncate(300 << 20)


def bound(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def closed(path):
    path.write_text("bob")
    path.chmod(0)


def with_other(make, then):
    """``make`` makes ~/other, and ``then`` the .forward."""

    def both(path):
        make(path.parent / "other")
        then(path)

    return both


def many(path):
    path.write_text("".join(f"u{number}@example.com\n" for number in range(1001)))


INCLUDE = text(":include:~/other")

# What is there, how it is made, and the verdicts of Postfix, Exim, OpenSMTPD and Sendmail. Postfix and Sendmail pass
# over what is no such file, and deliver to the mailbox; OpenSMTPD reads no list that a .forward includes.
TRAPS = [
    ("a sparse file of 300 MB", sparse, "inconclusive inconclusive inconclusive inconclusive"),
    ("a FIFO", os.mkfifo, "warn fail fail warn"),
    ("a directory", os.mkdir, "warn fail fail warn"),
    ("a socket", bound, "warn fail fail warn"),
    (
        "a file that its owner may not read",
        closed,
        "warn fail inconclusive warn",
    ),
    ("a link to itself", lambda path: path.symlink_to(path), "warn fail fail warn"),
    ("a link to a device without an end", link("/dev/zero"), "warn fail fail warn"),
    ("a link to a terminal", link("/dev/tty"), "warn fail fail warn"),
    ("a link to a FIFO", with_other(os.mkfifo, link("~/other")), "warn fail fail warn"),
    ("a link to a file of root's", link("~/secret"), "warn fail fail warn"),
    ("a link to a file of its own", with_other(text("bob"), link("~/other")), "warn pass fail pass"),
    ("a link to nothing", link("~/nothing"), "warn pass fail pass"),
    ("NUL after a name", text("bob\0\n"), "fail fail fail fail"),
    ("NUL in a domain", text("bob@a\0b.example"), "inconclusive fail fail fail"),
    ("NUL in the path of a file", text("~/a\0b"), "fail fail fail fail"),
    ("NUL in the path of a program", text('"|/bin/a\0b"'), "fail fail fail fail"),
    ("NUL in the path of a list", text(":include:~/a\0b"), "fail fail pass fail"),
    ("bytes that are no UTF-8", text("\udcff\udcfe@example.net"), "skipped skipped fail fail"),
    ("a list that is a FIFO", with_other(os.mkfifo, INCLUDE), "fail fail pass fail"),
    ("a list that is a directory", with_other(os.mkdir, INCLUDE), "fail fail pass fail"),
    ("a list that is a socket", with_other(bound, INCLUDE), "fail fail pass fail"),
    ("a list of 300 MB", with_other(sparse, INCLUDE), "inconclusive inconclusive pass inconclusive"),
    ("a list that is a device", text(":include:/dev/zero"), "fail fail pass fail"),
    ("a list that is the file itself", text(":include:~/.forward"), "fail fail pass fail"),
    ("a list of root's", text(":include:~/secret"), "fail fail pass fail"),
    ("a link to a list of root's", with_other(link("~/secret"), INCLUDE), "fail fail pass fail"),
    ("a list with a name of 300 characters", text(":include:~/" + "a" * 300), "fail fail pass fail"),
    ("a file as a Maildir", text("/etc/passwd/"), "fail fail fail fail"),
    ("a file with a name of 300 characters", text("~/" + "a" * 300), "fail fail fail fail"),
    ("a file below 2,000 directories", text("~/" + "a/" * 2000 + "b"), "fail fail fail fail"),
    ("a program with a name of 300 characters", text("|/bin/" + "a" * 300), "fail fail fail fail"),
    ("quotation marks that nothing closes", text('"\\' * 120_000), "fail fail fail fail"),
    ("parentheses that nothing closes", text("(" * 250_000), "pass fail fail pass"),
    ("angle brackets that nothing closes", text("<" * 250_000), "pass fail fail fail"),
    ("commas", text("," * 250_000), "pass pass fail pass"),
    ("backslashes", text("\\" * 250_000), "fail fail fail fail"),
    ("one name 50,000 times", text("bob," * 50_000), "pass pass fail pass"),
    ("more addresses than are looked at", many, "inconclusive inconclusive fail inconclusive"),
]


@pytest.mark.parametrize("mta", NAMES)
@pytest.mark.parametrize(("trap", "make", "verdicts"), TRAPS, ids=[trap for trap, *_rest in TRAPS])
def test_there_is_a_verdict_soon_and_nothing_of_root_s_in_it(home, trap, make, verdicts, mta, monkeypatch):
    monkeypatch.setattr(sources, "MEMBERS", 1000)
    make(home / ".forward")
    for path in (home, *(path for path in home.iterdir() if path.name != "secret")):
        os.chown(path, ALICE, ALICE, follow_symlinks=False)
    kind, adapter = HOSTS[mta]
    host = kind(home)
    memory, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()

    found = resolve(host, adapter(host), "alice")

    seconds = time.monotonic() - begun
    said = [problem.message[:80] for problem in found.problems[:1]]
    print(f"{trap:45} {mta:10} {found.verdict:13} {seconds:5.2f} s  {said}")
    assert found.verdict == verdicts.split()[NAMES.index(mta)], found.problems[:3]
    assert TOKEN not in repr(found)
    assert seconds < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < MEGABYTES << 10


@pytest.mark.parametrize("mta", NAMES)
@pytest.mark.parametrize("words", ["bob@t0ken.example", "t0ken", "|/bin/true t0ken", "~/t0ken", ":include:~/t0ken"])
def test_nothing_of_a_user_s_file_is_an_argument(home, words, mta):
    text(words)(home / ".forward")
    os.chown(home / ".forward", ALICE, ALICE)
    os.chown(home, ALICE, ALICE)
    kind, adapter = HOSTS[mta]
    host = kind(home)
    resolve(host, adapter(host), "alice")
    assert not [argv for argv in host.commands if "t0ken" in " ".join(argv)]


@pytest.mark.parametrize("mta", NAMES)
def test_a_race_for_what_is_read_is_lost(home, mta):
    """A file of alice's and a link to a file of root's take turns; what was opened is what is judged."""
    os.chown(home, ALICE, ALICE)
    swap = f"""
import os, sys
os.setuid({ALICE})
os.chdir({str(home)!r})
open("good", "w").write("bob")
while os.getppid() == {os.getpid()}:
    for source in ("secret", "good"):
        os.path.lexists("next") and os.unlink("next")
        os.symlink(source, "next") if source == "secret" else os.link(source, "next")
        os.rename("next", ".forward")
"""
    child = os.posix_spawn(shutil.which("python3"), ["python3", "-c", swap], os.environ)
    try:
        kind, adapter = HOSTS[mta]
        seen = set()
        end = time.monotonic() + SECONDS
        while time.monotonic() < end and not (len(seen) > 1 and time.monotonic() > end - SECONDS + 2):
            host = kind(home)
            found = resolve(host, adapter(host), "alice")
            assert TOKEN not in repr(found)
            seen.add(found.verdict)
        assert len(seen) > 1, "both were met"
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


@pytest.mark.parametrize("size", [1000, 100_000])
@pytest.mark.parametrize("text", ['"\\', '"', "(a)", "a(b)", "<a>", '"a"', "\\a", ",", "a,", "#", " #", "\\,"])
@pytest.mark.parametrize("read", [redirections, members, items], ids=["exim", "sendmail", "opensmtpd"])
def test_lists_are_read_in_one_pass(read, text, size):
    begun = time.monotonic()
    read(text * size)
    assert time.monotonic() - begun < SECONDS


def test_the_limit_of_a_list_is_one_of_octets():
    assert reader.LIMIT == 1 << 20
