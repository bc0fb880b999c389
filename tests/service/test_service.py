# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that takes no mail from others says so, and its own mail for postmaster still reaches a person."""

from __future__ import annotations

import json
import secrets

from conftest import wait_until

DIALOGUE = """
import json, socket, sys
connection = socket.create_connection((sys.argv[1], 25), 30)
replies = connection.makefile("rb")
said = [replies.readline().decode()]
for command in sys.argv[2:]:
    try:
        connection.sendall(command.encode() + b"\\r\\n")
        said.append(replies.readline().decode())
    except OSError:
        said.append("")
json.dump(said, sys.stdout)
"""


def dialogue(lab, client):
    """The first line of each reply: to the connection, to EHLO, to MAIL and to QUIT; empty where none came."""
    commands = [f"EHLO {lab.fqdn(client)}", "MAIL FROM:<>", "QUIT"]
    done = lab.runner.get_host(client).run("python3 -c %s %s %s %s %s", DIALOGUE, lab.names["ipv4"], *commands)
    return json.loads(done.stdout) if done.rc == 0 else [done.stderr.strip().splitlines()[-1]]


def test_e1_everybody_is_told_that_the_host_takes_no_mail(lab):
    greeting, *rest = dialogue(lab, "stranger")
    if not lab.facts["lab_closed"]:
        assert greeting.endswith("Connection refused")
    elif greeting.startswith("554 "):
        assert [reply[:4] for reply in rest] == ["503 ", "503 ", "221 "]
    else:
        assert (greeting[:4], rest) == ("521 ", ["", "", ""])


def test_whom_the_host_trusts_it_lets_in(lab):
    greeting, *rest = dialogue(lab, "listed")
    if lab.facts["lab_closed"]:
        assert [reply[:3] for reply in (greeting, *rest)][::2] == ["220", "250"]
    else:
        assert greeting.endswith("Connection refused")


def test_mail_of_a_program_reaches_postmaster(lab):
    token = secrets.token_hex(12)
    lab.runner.get_host(lab.name).check_output(
        "printf %%s %s | sudo sendmail -i postmaster", f"Subject: a test\nX-Token: {token}\n\nA test.\n"
    )
    wait_until(lambda: lab.count(lab.name, "alice", token))
    lab.settle(lab.name)
    assert lab.count(lab.name, "alice", token) == 1


def test_what_comes_back_to_nobody_is_told_to_postmaster(lab):
    token = secrets.token_hex(12)
    lab.start_far_host()
    told = lab.can("B3")
    lab.runner.get_host(lab.name).check_output(
        "printf %%s %s | sudo sendmail -i -f '<>' %s",
        f"Subject: a test\nX-Token: {token}\n\nA test: {lab.body_word(token)}.\n",
        f"gone@{lab.names['V']}",
    )
    wait_until(lambda: not told or lab.messages(lab.name, "alice", token))
    lab.settle(lab.name)
    assert bool(lab.messages(lab.name, "alice", token)) == told
    assert not lab.messages(lab.name, "alice", lab.body_word(token))
