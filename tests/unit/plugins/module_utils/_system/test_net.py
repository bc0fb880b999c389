# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What does not keep the deadline by itself is ended a few seconds after it."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system import net as module
from ansible_collections.mailops.postmaster.plugins.module_utils._system.deadline import Deadline
from ansible_collections.mailops.postmaster.plugins.module_utils._system.host import Host
from ansible_collections.mailops.postmaster.plugins.module_utils._system.net import net
from ansible_collections.mailops.postmaster.plugins.module_utils._system.reader import call
from ansible_collections.mailops.postmaster.plugins.module_utils.errors import OverdueError

BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


def a_pipe_that_nobody_writes_to():
    out, _into = os.pipe()
    os.read(out, 1)


def a_loop():
    while True:
        pass


HANGING = [
    a_pipe_that_nobody_writes_to,
    a_loop,
    lambda: select.select([], [], []),
    lambda: re.match(r"(a*)*b", "a" * 60),
    lambda: subprocess.run(["sleep", "600"], check=False),
    lambda: call(None, lambda: time.sleep(600) or b"", seconds=600),
]


@pytest.mark.parametrize("hang", HANGING)
def test_what_hangs_is_ended_by_an_exception(monkeypatch, hang):
    monkeypatch.setattr(module, "ALARM", 0.1)
    begun = time.monotonic()
    with pytest.raises(OverdueError, match=r"had not ended after 0\.1 s"), net(0.1, lambda _text: None):
        hang()
    assert time.monotonic() - begun < 3
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_what_swallows_the_exception_gets_another():
    swallowed = []

    def deaf():
        try:
            a_loop()
        except OverdueError as error:
            swallowed.append(error)
        a_loop()

    with pytest.raises(OverdueError), net(-1.9, lambda _text: None):
        deaf()
    assert len(swallowed) == 1


def test_what_ends_in_time_is_left_alone(monkeypatch):
    monkeypatch.setattr(module, "ALARM", 0.0)
    monkeypatch.setattr(module, "LAST", 0.1)
    with net(0.1, lambda _text: pytest.fail("had a last word")):
        pass


DEAF = """
import signal, sys, time
sys.path.insert(0, sys.argv[1])
from ansible_collections.mailops.postmaster.plugins.module_utils._system.net import net
def last_word(text):
    print("last word:", text)
    {how}
with net(-1.9, last_word):
    signal.pthread_sigmask(signal.SIG_BLOCK, {{signal.SIGALRM}})  # as in a C library that heeds no signal
    time.sleep(600)
"""


@pytest.mark.parametrize("how", ["return", "sys.exit(1)"])
def test_what_heeds_no_signal_is_ended_with_the_last_word(how):
    root = module.__file__.partition("/ansible_collections/")[0]
    program = [sys.executable, "-c", DEAF.format(how=how), root]
    done = subprocess.run(program, capture_output=True, text=True, timeout=30, check=False, env=BUFFERED)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("last word: the module had not ended after -1.9 s")


STOPPED = """
import sys, time
sys.path.insert(0, sys.argv[1])
from ansible_collections.mailops.postmaster.plugins.module_utils._system import net
from ansible_collections.mailops.postmaster.plugins.module_utils.errors import OverdueError
net.ALARM, net.LAST = 0.5, 5.0  # a busy machine has 4.5 seconds for the alarm
try:
    with net.net(0.1, lambda text: print("last word")):
        print("begun", flush=True)
        time.sleep(600)
except OverdueError:
    time.sleep(0.2)
    print("ended by the alarm")
"""


def test_after_a_time_in_which_the_machine_stood_still_the_alarm_comes_before_the_last_word():
    root = module.__file__.partition("/ansible_collections/")[0]
    with subprocess.Popen([sys.executable, "-c", STOPPED, root], stdout=subprocess.PIPE, text=True) as stopped:
        assert stopped.stdout.readline() == "begun\n"
        os.kill(stopped.pid, signal.SIGSTOP)
        time.sleep(6)  # longer than until the last word
        os.kill(stopped.pid, signal.SIGCONT)
        assert stopped.stdout.read() == "ended by the alarm\n"


def test_a_program_that_runs_into_the_deadline_has_said_nothing():
    with pytest.raises(OverdueError, match=r"^`sleep 60` had not ended after 0\.1 s"):
        Host(Deadline(0.1)).run(["sleep", "60"], timeout=30)


def test_no_program_is_begun_after_the_deadline(tmp_path):
    with pytest.raises(OverdueError):
        Host(Deadline(0)).run(["touch", str(tmp_path / "file")])
    assert not list(tmp_path.iterdir())


def test_a_program_that_has_its_own_limit_ends_at_that():
    assert Host(Deadline(60)).run(["sleep", "60"], timeout=0.1).rc == 124
