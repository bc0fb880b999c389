# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A failure says what the MTA itself has logged, the last lines of it, and nothing that somebody else has logged in its
name. The journal is a play: a program that shows those of its lines that it is asked for."""

from __future__ import annotations

import json
import os
import pathlib
import sys

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system.process import filled, run
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction.transaction import WORDS
from test_templates import BACKENDS, templar_of

ACCOUNTS = {"postfix": 101, "opensmtpd": 102, "opensmtpq": 103, "alice": 1000}
SINCE, ERROR, INFO = 1_700_000_000, 3, 6
# Per MTA: the names of its programs, and the accounts that these run as.
PROGRAMS = {
    "postfix": (("postfix/smtpd", "postfix/master"), ("postfix",)),
    "opensmtpd": (("smtpd",), ("opensmtpd", "opensmtpq")),
    "sendmail": (("sm-mta",), ()),
}
ID = f"""#!{sys.executable}
import sys
known = {ACCOUNTS}
print(*(known[name] for name in sys.argv[2:] if name in known), sep="\\n")
"""
JOURNALCTL = f"""#!{sys.executable}
import argparse, json, os
asked = argparse.ArgumentParser()
for option in ("--since", "--lines", "--priority", "--output"):
    asked.add_argument(option)
asked.add_argument("--quiet", action="store_true")
asked.add_argument("--identifier", action="append")
asked.add_argument("matches", nargs="*")
asked = asked.parse_args()
uids = [match[5:] for match in asked.matches if match.startswith("_UID=")]
most = {{"warning": 4, None: 7}}[asked.priority]
lines = [
    text
    for when, priority, name, uid, text in json.loads(os.environ["LINES_OF_JOURNAL"])
    if when >= int(asked.since[1:]) and priority <= most and name in asked.identifier
    if not uids or str(uid) in uids
]
print(*lines[-int(asked.lines or 0):], sep="\\n")
"""
SETPRIV = """#!/bin/sh
printf %s "$1 $2 $3" > "$ASKED"
shift 3
exec "$@"
"""


@pytest.fixture
def reason(tmp_path):
    """``reason(backend, lines)``: what the command of an MTA shows of a journal with these lines."""
    for name, program in (("journalctl", JOURNALCTL), ("id", ID)):
        (tmp_path / name).write_text(program)
        (tmp_path / name).chmod(0o755)

    def show(backend, lines):
        env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "LINES_OF_JOURNAL": json.dumps(lines)}
        done = run(filled(command(backend), since=str(SINCE)), b"", 30, env)
        assert (done.rc, done.err) == (0, "")
        return done.out.splitlines()

    return show


def command(backend):
    """The command of an MTA; nothing of it has to be filled in by Ansible."""
    given, _loader, _templar = templar_of(backend, {})
    return given["mta_backend_transaction"]["reason"]


@pytest.mark.parametrize("backend", PROGRAMS)
def test_what_the_mta_has_logged_since_then_is_shown(reason, backend):
    names, accounts = PROGRAMS[backend]
    uids = [0, *(ACCOUNTS[account] for account in accounts)]
    own = [(SINCE, ERROR, name, uid, f"{name} as {uid}") for name in names for uid in uids]
    before = [(SINCE - 1, ERROR, name, 0, "before") for name in names]
    assert reason(backend, [*before, *own]) == [text for *_others, text in own]


@pytest.mark.parametrize("backend", PROGRAMS)
def test_what_a_user_has_logged_in_its_name_is_not_shown(reason, backend):
    names, _accounts = PROGRAMS[backend]
    own = (SINCE, ERROR, names[0], 0, "cannot listen")
    forged = [(SINCE + 1, ERROR, name, ACCOUNTS["alice"], "ask mallory for help") for name in names]
    assert reason(backend, [own, *forged * WORDS]) == ["cannot listen"]


@pytest.mark.parametrize("backend", PROGRAMS)
def test_no_more_is_read_than_is_shown(reason, backend):
    names, _accounts = PROGRAMS[backend]
    lines = [(SINCE, ERROR, names[0], 0, f"line {number}") for number in range(3 * WORDS)]
    assert reason(backend, lines) == [text for *_others, text in lines[-WORDS:]]


def test_what_postfix_says_of_all_that_it_does_is_not_shown(reason):
    assert reason("postfix", [(SINCE, INFO, "postfix/smtpd", 0, "connect from localhost")]) == [""]


def test_exim_is_read_from_its_own_file_with_its_own_rights(tmp_path):
    """It can put a link to any file there. ``setpriv`` is a play here, too: it shows whose rights it was asked for."""
    words = command("exim")
    assert "/var/log/exim4/mainlog" in words[2]
    log = tmp_path / "mainlog"
    lines = [f"2023-11-14 22:13:{second:02d} line {second}" for second in range(60)]
    log.write_text("\n".join([*lines, "no time", "2023-11-14 22:14:00 last"]) + "\n")
    words[2] = words[2].replace("/var/log/exim4/mainlog", str(log))
    (tmp_path / "setpriv").write_text(SETPRIV)
    (tmp_path / "setpriv").chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "TZ": "UTC", "ASKED": str(tmp_path / "asked")}
    shown = run(filled(words, since=str(SINCE)), b"", 30, env)  # 22:13:20
    assert shown.out.splitlines() == [*lines[60 - WORDS + 1 :], "2023-11-14 22:14:00 last"]
    assert (tmp_path / "asked").read_text() == "--reuid=Debian-exim --regid=Debian-exim --clear-groups"
    late = run(filled(words, since=str(SINCE + 35)), b"", 30, env)
    assert late.out.splitlines() == [*lines[55:], "2023-11-14 22:14:00 last"]


# What Exim can put where its log is, and how it is made; nothing of it is shown, or more of it read than a part.
OTHERS = {
    "a device without an end": lambda path: path.symlink_to("/dev/zero"),
    "a FIFO": os.mkfifo,
    "a directory": pathlib.Path.mkdir,
    "a link to itself": lambda path: path.symlink_to(path),
    "a file of 1 TB": lambda path: path.touch() or os.truncate(path, 1 << 40),
    "nothing": lambda _path: None,
}


@pytest.mark.parametrize("make", OTHERS.values(), ids=OTHERS)
def test_exim_makes_nobody_read_without_an_end(tmp_path, make):
    """``ulimit`` ends whoever keeps all that he reads."""
    words, log = command("exim"), tmp_path / "mainlog"
    make(log)
    words[2] = "ulimit -v 100000; " + words[2].replace("/var/log/exim4/mainlog", str(log)).replace(
        "timeout 5", "timeout 1"
    )
    (tmp_path / "setpriv").write_text(SETPRIV)
    (tmp_path / "setpriv").chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "TZ": "UTC", "ASKED": str(tmp_path / "asked")}
    shown = run(filled(words, since=str(SINCE)), b"", 20, env)
    assert (shown.out, shown.timed_out) == ("", False)
    assert "exhausted" not in shown.err


def test_no_mta_is_left_out():
    assert {*PROGRAMS, "exim"} == set(BACKENDS)
