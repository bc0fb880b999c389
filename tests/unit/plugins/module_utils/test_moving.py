# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Row D10 on the processes of this machine: a part of an MTA that was stopped is seen, and one that goes on is not."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import time
from itertools import chain, repeat
from types import SimpleNamespace

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils import prove
from ansible_collections.mailops.postmaster.plugins.module_utils._system.deadline import Deadline
from ansible_collections.mailops.postmaster.plugins.module_utils._system.host import Host
from ansible_collections.mailops.postmaster.plugins.module_utils._system.processes import Process
from ansible_collections.mailops.postmaster.plugins.module_utils.errors import OverdueError
from ansible_collections.mailops.postmaster.plugins.module_utils.prove import HostProof

# a daemon by its words, which Python takes for options of its own, and a part of it
FAMILY = "import subprocess; part = subprocess.Popen(['sleep', '60']); print(part.pid, flush=True); part.wait()"
NAMES = {
    "exim": "exim4 -bd",
    "postfix": "/usr/lib/postfix/sbin/master",
    "sendmail": "sendmail:\0MTA:\0accepting\0connections",
}


def proof_of(host, mta, paused=list):
    return SimpleNamespace(host=host, mta=SimpleNamespace(name=mta, paused=paused), deadline=Deadline(60))


def messages(asked):
    """What the row says, again and again, for as long as a signal may take to arrive."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        yield HostProof.moving(asked).message


@pytest.mark.parametrize("mta", NAMES)
def test_d10_a_part_of_the_mta_that_is_stopped_fails_until_it_goes_on(mta):
    asked = proof_of(Host(), mta)
    words = [word.replace("\0", " ") for word in NAMES[mta].split()]
    how = {"env": {"PYTHONHOME": sys.base_prefix}, "text": True, "start_new_session": True}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(words, executable=sys.executable, **pipes, **how) as daemon:
        daemon.stdin.write(FAMILY)
        daemon.stdin.close()
        part = int(daemon.stdout.readline())
        try:
            for told, verdict in ((signal.SIGSTOP, "fail"), (signal.SIGCONT, "pass")):
                os.kill(part, told)
                assert any((f"process {part} " in said) == (verdict == "fail") for said in messages(asked))
        finally:
            os.kill(part, signal.SIGKILL)


@pytest.mark.parametrize("mta", NAMES)
@pytest.mark.parametrize("place", ["leader", "child"])
def test_d10_what_a_user_has_named_and_stopped_is_no_part_of_the_mta(mta, place):
    leader = Process(
        7, 1, "", NAMES[mta], stopped=place == "leader", account="alice" if place == "leader" else "root", session=7
    )
    child = Process(8, 7, "sh", "sh -c 'a command of a .forward'", stopped=True, account="alice")
    host = SimpleNamespace(processes=lambda _accounts: [leader, child])
    assert HostProof.moving(proof_of(host, mta)).verdict == "pass"


def test_d10_what_a_user_has_stopped_at_a_terminal_is_no_part_of_the_mta():
    stopped = Process(7, 1, "exim4", NAMES["exim"], stopped=True, account="Debian-exim", terminal=True, session=7)
    host = SimpleNamespace(processes=lambda _accounts: [stopped])
    assert HostProof.moving(proof_of(host, "exim")).verdict == "pass"


@pytest.mark.parametrize(
    "command",
    [
        "/usr/sbin/exim4 -F x\0-bd\0y -oi bob",
        "/usr/sbin/exim4 -f -bd bob",
        "/usr/sbin/exim4 bob -bd",
        "exim4\0-bd\0/rsmtp",
        NAMES["exim"],
    ],
)
def test_d10_what_a_user_has_stopped_and_left_without_a_parent_and_a_terminal_is_no_part_of_the_mta(command):
    stopped = Process(7, 1, "exim4", command, stopped=True, account="Debian-exim", session=5)
    host = SimpleNamespace(processes=lambda _accounts: [stopped])
    assert HostProof.moving(proof_of(host, "exim")).verdict == "pass"


def looks(stopped, paused):
    """A Postfix of which at each look these processes are stopped, and which says that these parts are paused; at all
    later looks they are as at the last one."""
    daemon = Process(7, 1, "master", NAMES["postfix"], session=7)
    seen, said = (chain(each, repeat(each[-1])) for each in (stopped, paused))

    def processes(_accounts):
        pids = next(seen)
        return [daemon, *(Process(pid, 7, "smtpd", "smtpd", stopped=pid in pids) for pid in (8, 9))]

    return proof_of(SimpleNamespace(processes=processes), "postfix", lambda: next(said))


@pytest.mark.parametrize(
    ("stopped", "paused", "verdict"),
    [
        ([[8]], [[]], "fail"),
        ([[8, 9], [8]], [[]], "fail"),
        ([[]], [["mta"]], "fail"),
        ([[8], []], [[]], "pass"),
        ([[8], [9], []], [[]], "pass"),
        ([[8], [9]], [[]], "pass"),
        ([[]], [["mta"], []], "pass"),
        ([[8], []], [["mta"], []], "pass"),
    ],
)
def test_d10_what_is_stopped_for_a_moment_does_not_stand_still(monkeypatch, stopped, paused, verdict):
    monkeypatch.setattr(prove, "STANDING", 0.1)
    monkeypatch.setattr(prove, "PAUSE", 0.001)
    assert HostProof.moving(looks(stopped, paused)).verdict == verdict


def test_d10_without_time_for_a_second_look_there_is_no_verdict():
    asked = looks([[8]], [[]])
    asked.deadline = Deadline(0)
    with pytest.raises(OverdueError, match="the look at what does not move"):
        HostProof.moving(asked)


# what is traced stops at each signal until the process that started it lets it go on, which this one never does
TRACED = """
import ctypes, os, signal
PTRACE_TRACEME = 0
ctypes.CDLL(None).ptrace(PTRACE_TRACEME, 0, None, None)
os.kill(os.getpid(), signal.SIGUSR1)
"""
TRACER = '"$1" -c "$2" & echo $!; exec -a "$0" sleep 60'


def test_d10_a_part_that_is_traced_is_not_stopped():
    command = ["bash", "-c", TRACER, NAMES["postfix"], sys.executable, TRACED]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as daemon:
        part = int(daemon.stdout.readline())
        try:
            end = time.monotonic() + 20
            while "\nState:\tt" not in (status := pathlib.Path(f"/proc/{part}/status").read_text()):
                assert time.monotonic() < end, status
            assert HostProof.moving(proof_of(Host(), "postfix")).verdict == "pass"
        finally:
            os.kill(part, signal.SIGKILL)
            daemon.kill()
