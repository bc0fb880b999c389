# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the playbooks take: a group of any name, never none without a word, and no misspelled variable."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
PLAYBOOKS = ["audit", "site"]
INVENTORY = "[mail_hosts]\n[other]\nmx1\nmx2\n"


@pytest.fixture
def play(tmp_path):
    """Run a playbook, which connects to nothing; its end and what it says."""
    (tmp_path / "inventory").write_text(INVENTORY)

    def run(name, *arguments):
        program = pathlib.Path(sys.executable).parent / "ansible-playbook"
        command = [program, "-i", tmp_path / "inventory", f"mailops.postmaster.{name}", *arguments]
        environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".build"), "ANSIBLE_LOCALHOST_WARNING": "0"}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path)
        return done.returncode, " ".join(done.stdout.split()) + done.stderr

    return run


@pytest.mark.parametrize("name", PLAYBOOKS)
@pytest.mark.parametrize("pattern", ["", "nobody", "other:!other", "mail_hosts"])
def test_a_pattern_that_matches_no_host_is_an_error(play, name, pattern):
    given = ["-e", f"mailops_hosts={pattern}"] if pattern else []
    status, said = play(name, *given)
    assert (status, f"mailops_hosts: '{pattern or 'mail_hosts'}' matches no host" in said) == (2, True), said


@pytest.mark.parametrize("name", PLAYBOOKS)
@pytest.mark.parametrize("inventory", ["one", "empty"])
@pytest.mark.parametrize(("pattern", "limit"), [("nosuch", "mx1"), ("", "mx1"), ("mx2", "mx1"), ("other:!mx1", "mx1")])
def test_it_is_an_error_with_a_limit_too(play, tmp_path, name, inventory, pattern, limit):
    """Which leaves no localhost that could say so. No host is looked at."""
    if inventory == "empty":
        (tmp_path / "inventory").write_text("")
    given = ["-e", f"mailops_hosts={pattern}"] if pattern else []
    status, said = play(name, "-l", limit, *given)
    told = f"mailops_hosts: '{pattern or 'mail_hosts'}' matches no host that --limit '{limit}' leaves"
    assert status != 0, said
    assert told in said
    assert "TASK" not in said


@pytest.mark.parametrize("name", PLAYBOOKS)
@pytest.mark.parametrize(
    ("pattern", "limit", "hosts"),
    [
        ("other", "mx2", {"mx2"}),
        ("other", "!mx2", {"mx1"}),
        ("other", "@hosts", {"mx1"}),
        ("localhost", "", {"localhost"}),
    ],
)
def test_a_limit_leaves_the_hosts_that_both_name(play, tmp_path, name, pattern, limit, hosts):
    (tmp_path / "hosts").write_text("mx1\n")
    limited = ["-l", limit] if limit else []
    status, said = play(name, "-e", f"mailops_hosts={pattern}", *limited, "--list-hosts")
    assert (status, set(said.rpartition("hosts (")[2].partition(":")[2].split())) == (0, hosts)


@pytest.mark.parametrize("name", PLAYBOOKS)
@pytest.mark.parametrize(("pattern", "hosts"), [("other", {"mx1", "mx2"}), ("mx2", {"mx2"}), ("other:!mx1", {"mx2"})])
def test_the_hosts_of_any_pattern_are_taken(play, name, pattern, hosts):
    status, said = play(name, "-e", f"mailops_hosts={pattern}", "--list-hosts")
    assert (status, set(said.rpartition("hosts (")[2].partition(":")[2].split())) == (0, hosts)


@pytest.mark.parametrize("name", PLAYBOOKS)
@pytest.mark.parametrize(("given", "meant"), [("verify_sned", "verify_send"), ("verfy_from", "verify_from")])
def test_a_misspelled_variable_is_refused_before_a_host_is_looked_at(play, name, given, meant):
    of_site = {"mta_hostname": "mx1.example.org", "mta_postmaster": "alice"} if name == "site" else {}
    variables = {"mailops_hosts": "mx1", "ansible_connection": "local", given: "x", **of_site}
    status, said = play(name, *(word for key, value in variables.items() for word in ("-e", f"{key}={value}")))
    assert (status, f"{given}: there is no such variable; did you mean {meant}?" in said) == (2, True), said
    assert not re.search(r"TASK \[[\w. ]+ : (Look|Prove)", said)
