# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program by which Sendmail puts messages into mailboxes: one at a time into each of them."""

from __future__ import annotations

import fcntl
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
TEMPLATE = ROOT / "roles" / "mta" / "templates" / "sendmail" / "deliver.j2"
AGAIN = 75  # EX_TEMPFAIL
DELIVER = """#!/bin/sh
flock --nonblock "{turns}/carol" true && exit 1
printf '%s\\n' "$@"
cat
"""


@pytest.fixture
def turns(tmp_path):
    return tmp_path / "turns"


@pytest.fixture
def deliver(tmp_path, turns):
    """The program, which waits no time and calls another one that delivers: it fails unless carol's turn is taken."""
    program = tmp_path / "mail.local"
    program.write_text(DELIVER.format(turns=turns))
    program.chmod(0o755)
    script = TEMPLATE.read_text()
    for found, instead in {
        "{{ ansible_managed | comment }}": "# managed",
        "--wait 60": "--wait 0",
        "/usr/libexec/sendmail/mail.local": str(program),
        "/run/mailops-postmaster-mailboxes": str(turns),
    }.items():
        assert found in script
        script = script.replace(found, instead)

    def run(account, sender="a@b; exit"):
        words = ["sh", "-c", f"umask 000\n{script}", "sendmail-deliver", account, sender]
        return subprocess.run(words, input="text", capture_output=True, text=True, check=False)

    return run


def test_a_message_is_handed_over_while_its_mailbox_is_taken(deliver):
    done = deliver("carol")
    assert (done.returncode, done.stdout, done.stderr) == (0, "-f\na@b; exit\ncarol\ntext", "")


def test_nobody_but_root_can_lock_a_turn(deliver, turns):
    deliver("carol")
    assert turns.stat().st_mode & 0o777 == 0o700


def test_a_mailbox_that_is_taken_holds_up_its_own_mail_alone(deliver, turns):
    turns.mkdir()
    with (turns / "bob").open("w") as taken, (turns / "carol").open("w"):
        fcntl.flock(taken, fcntl.LOCK_EX)
        assert [deliver(account).returncode for account in ("carol", "bob", "carol")] == [0, AGAIN, 0]


def test_a_message_is_tried_again_where_there_can_be_no_turn(deliver, turns):
    turns.write_text("no directory")
    assert deliver("carol").returncode == AGAIN
