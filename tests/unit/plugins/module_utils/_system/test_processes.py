# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes are known by what /proc says of them to anybody."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system import processes as module
from ansible_collections.mailops.postmaster.plugins.module_utils._system.host import Host
from ansible_collections.mailops.postmaster.plugins.module_utils._system.processes import (
    Process,
    leaders,
    process,
    processes,
    unit,
    unit_of,
    with_children,
)

STATUS = "Name:\texim4\nUmask:\t0022\nState:\tS (sleeping)\nPid:\t7\nPPid:\t1\nNSpid:\t7\n"
DAEMON = Process(7, 1, "exim4", "")
COMMAND = "/usr/sbin/exim4 -bd -q30m"


@pytest.mark.parametrize(
    ("status", "found"),
    [
        (STATUS, DAEMON),
        (STATUS.replace("S (sleeping)", "T (stopped)"), replace(DAEMON, stopped=True)),
        (STATUS.replace("S (sleeping)", "t (tracing stop)"), DAEMON),
        (STATUS.replace("NSpid:\t7\n", ""), DAEMON),
        (STATUS + "Uid:\t0\t0\t0\t0\n", DAEMON),
        (STATUS + "Uid:\t64999\t64999\t64999\t64999\n", replace(DAEMON, account="uid 64999")),
        (STATUS + "Uid:\t64999\t0\t0\t0\n", replace(DAEMON, account="uid 64999")),
        (STATUS.replace("S (sleeping)", "Z (zombie)"), None),
        (STATUS.replace("S (sleeping)", "X (dead)"), None),
        (STATUS.replace("NSpid:\t7", "NSpid:\t7\t1"), None),
        ("", None),
    ],
)
def test_what_has_ended_and_what_is_in_a_container_is_no_process_of_the_host(status, found):
    assert process(7, status) == found


def stat(terminal, name="exim4"):
    return f"7 ({name}) S 1 7 7 {terminal} -1 4194560 100 0 0 0 0 0 0 0 20 0 1 0 100\n"


@pytest.mark.parametrize(
    ("said", "terminal"),
    [
        (stat(0), False),
        (stat(34816), True),
        (stat(0, name="a) S 1 7 7 34816"), False),
        (stat(34816, name="a) S 1 7 7 0"), True),
        ("", False),
    ],
)
def test_a_process_at_a_terminal_is_known_whatever_its_name(said, terminal):
    assert process(7, STATUS, said).terminal == terminal


DOCKER = "0::/machine.slice/docker.service/abc"


@pytest.mark.parametrize(
    ("cgroup", "init", "found"),
    [
        ("0::/system.slice/exim4.service\n", "0::/init.scope\n", "exim4.service"),
        ("0::/system.slice/system-postfix.slice/postfix@-.service\n", "0::/init.scope\n", "postfix@-.service"),
        ("9:name=systemd:/system.slice/sendmail.service\n4:memory:/\n0::/\n", "", "sendmail.service"),
        (f"{DOCKER}/system.slice/exim4.service/init\n", f"{DOCKER}/init.scope\n", "exim4.service"),
        (
            f"9:name=systemd:/x.service/system.slice/exim4.service\n{DOCKER}\n",
            f"9:name=systemd:/x.service/init.scope\n{DOCKER}\n",
            "exim4.service",
        ),
        ("0::/user.slice/user-0.slice/session-7.scope\n", "0::/init.scope\n", ""),
        ("0::/\n", "0::/init.scope\n", ""),
        ("", "", ""),
        # what a user may have below the service of his manager
        ("0::/user.slice/user-1.slice/user@1.service/app.slice/exim4.service\n", "0::/init.scope\n", "user@1.service"),
        ("0::/user.slice/user@1.service/--host=root@192.0.2.1:x.service\n", "0::/init.scope\n", "user@1.service"),
        ("0::/--host=root@192.0.2.1:x.service\n", "0::/init.scope\n", ""),
        ("0::/a b.service\n", "0::/init.scope\n", ""),
    ],
)
def test_the_unit_of_a_process_is_the_outermost_service(cgroup, init, found):
    assert unit(cgroup, init) == found


@pytest.mark.parametrize(
    ("said", "session"), [(stat(0), 7), (stat(34816, name="a) S 1 8 9 0"), 7), ("7 (exim4) S 1 8 9 0 -1", 9), ("", 0)]
)
def test_the_session_of_a_process_is_known_whatever_its_name(said, session):
    assert process(7, STATUS, said).session == session


# What a process has as its words, and as what they are known: only between two words there is a blank.
WORDS = {
    "exim4\0-bd\0-q30m\0": "exim4 -bd -q30m",
    "exim4\0-F\0x -bd y\0bob\0": "exim4 -F x\0-bd\0y bob",
    "exim4 -bd /rsmtp\0": "exim4\0-bd\0/rsmtp",
    "exim4\0 -bd\0": "exim4 \0-bd",
    "exim4\0-oX\0\0bob\0-bd\0": "exim4 -oX \0 bob -bd",
    "exim4\0x\t-bd\n\u00a0y\0": "exim4 x\0-bd\0\0y",
    "sendmail: MTA: accepting connections\0\0\0\0": "sendmail:\0MTA:\0accepting\0connections",
    "": "",
}


@pytest.mark.parametrize(("said", "command"), WORDS.items())
def test_a_blank_in_a_word_is_told_from_one_between_two(tmp_path, said, command):
    known(tmp_path, 7).write_text(said)
    (found,) = processes(proc=str(tmp_path))
    assert found.command == command


def test_a_process_is_shown_with_the_words_that_it_was_given():
    assert str(Process(7, 1, "exim4", "exim4 -F x\0-bd\0y \0 bob")) == "process 7 (exim4 -F x -bd y bob)"


def test_this_process_is_found_with_its_parent_and_its_program():
    (own,) = [one for one in Host().processes() if one.pid == os.getpid()]
    assert own.parent == os.getppid()
    assert own.program == os.path.realpath(sys.executable)
    assert own.session == os.getsid(0)
    assert own.command == " ".join(re.sub(r"\s", "\0", word) or "\0" for word in sys.orig_argv)


def test_a_process_that_was_killed_is_not_found_even_before_its_parent_has_noticed():
    with subprocess.Popen(["sleep", "60"]) as child:
        assert child.pid in {one.pid for one in Host().processes()}
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert child.pid not in {one.pid for one in Host().processes()}


def test_a_process_that_has_ended_belongs_to_no_unit(tmp_path):
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "cgroup").write_text("0::/system.slice/exim4.service\n")
    assert [unit_of(pid, str(tmp_path)) for pid in (7, 8)] == ["exim4.service", ""]


def test_a_family_has_one_leader_and_all_its_children():
    family = [Process(pid, parent, "exim4", "") for pid, parent in ((7, 1), (8, 7), (9, 8), (20, 1))]
    others = [Process(30, 1, "sh", ""), Process(31, 30, "exim4", "")]
    assert [one.pid for one in leaders(family)] == [7, 20]
    assert sorted(one.pid for one in with_children(family[:1], [*family, *others])) == [7, 8, 9]


def known(folder, pid, uids="0\t0\t0\t0"):
    """A process of a /proc of our own, whose command line is still to be made."""
    own = folder / str(pid)
    own.mkdir()
    (own / "status").write_text(STATUS + f"Uid:\t{uids}\n")
    (own / "stat").write_text(stat(0))
    return own / "cmdline"


def test_a_command_line_of_any_length_costs_nothing(tmp_path):
    """A process can make any mapping of its memory its command line, which needs no right (PR_SET_MM_MAP, prctl(2))."""
    with known(tmp_path, 7).open("wb") as file:
        file.write(COMMAND.replace(" ", "\0").encode() + b"\0")
        file.truncate(1 << 40)
    assert processes(proc=str(tmp_path)) == [replace(DAEMON, command=COMMAND, session=7)]


@pytest.mark.parametrize(
    ("uids", "accounts", "command"),
    [
        ("0\t0\t0\t0", (), COMMAND),
        ("64999\t64999\t64999\t64999", ("uid 64999",), COMMAND),
        ("0\t64999\t0\t64999", ("uid 64999",), COMMAND),
        ("64999\t64999\t64999\t64999", (), ""),
        ("64999\t64999\t64999\t64999", ("uid 64998",), ""),
        # a setuid program of somebody else's, and one of root's with somebody else's rights
        ("64999\t0\t0\t0", (), ""),
        ("0\t64999\t0\t64999", (), ""),
    ],
)
def test_the_command_line_of_a_stranger_is_not_read(tmp_path, uids, accounts, command):
    known(tmp_path, 7, uids).write_text(COMMAND.replace(" ", "\0"))
    (found,) = processes(accounts, str(tmp_path))
    assert (found.name, found.command) == ("exim4", command)


@pytest.mark.parametrize(
    ("hanging", "uids"),
    [
        (range(10, 200), "64999\t64999\t64999\t64999"),  # a user's: they are not read
        (range(10, 13), "0\t0\t0\t0"),  # nothing of the kind is known of root's
    ],
)
def test_a_process_whose_command_line_cannot_be_read_stops_nobody(tmp_path, hanging, uids):
    """As that of one whose memory is locked: by a page of a file system in user space, for instance."""
    for pid in hanging:
        os.mkfifo(known(tmp_path, pid, uids))
    for pid in (7, 300):
        known(tmp_path, pid).write_text(COMMAND.replace(" ", "\0"))
    begun = time.monotonic()
    found = {one.pid: one.command for one in processes(proc=str(tmp_path))}
    assert time.monotonic() - begun < 2 * module.SECONDS + 1
    assert found == {7: COMMAND, 300: COMMAND, **dict.fromkeys(hanging, "")}


def test_where_everything_hangs_the_processes_are_known_by_their_names(tmp_path):
    pids = range(10, 40)
    for pid in pids:
        os.mkfifo(known(tmp_path, pid))
    begun = time.monotonic()
    found = {one.pid: str(one) for one in processes(proc=str(tmp_path))}
    assert time.monotonic() - begun < 2 * module.SECONDS + 1
    assert found == {pid: f"process {pid} (exim4)" for pid in pids}


# files of /proc/PID that the kernel reads from the memory of a process, or under its lock
OF_MEMORY = re.compile(r"\b(cmdline|environ|auxv|mem|maps|smaps\w*|numa_maps|pagemap|map_files)\b")


def test_what_a_process_can_lock_is_read_in_one_place_alone():
    plugins = Path(module.__file__).parents[2]
    reading = {
        file.name
        for file in plugins.rglob("*.py")
        for found in re.findall(r"/proc/[^\s`]*|\{proc\}/[^\s`]*", file.read_text())
        if OF_MEMORY.search(found)
    }
    assert reading == {"processes.py"}
