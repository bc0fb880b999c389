# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A program that is run ends when it is told to, whatever it leaves behind, and its output always fits."""

from __future__ import annotations

import os
import pathlib
import time

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system import process
from ansible_collections.mailops.postmaster.plugins.module_utils._system.host import Completed, Host, NoAnswerError

SLOW = 60  # seconds that the programs of this file would take; no test waits for that


def sh(script, timeout=10.0, stdin=""):
    return Host().run(["sh", "-c", script, "a script"], stdin=stdin, timeout=timeout)


@pytest.mark.parametrize(
    "script",
    [
        f"sleep {SLOW}",
        f"sleep {SLOW}; :",
        f"sleep {SLOW} & sleep {SLOW} & wait",
        f"trap '' TERM; sleep {SLOW}; sleep {SLOW}",
        f"(trap '' TERM; sleep {SLOW}) | cat",
        "kill -STOP $$; :",
        "while :; do :; done",
        "cat /dev/zero",
        f"exec >/dev/null 2>&1; sleep {SLOW}",
    ],
)
def test_at_the_time_out_all_processes_of_a_program_are_gone(script, tmp_path, monkeypatch):
    monkeypatch.setattr(process, "GRACE", 0.2)
    begun = time.monotonic()
    done = sh(f"echo $$ >{tmp_path}/session; {script}", 0.3)
    assert (done.timed_out, done.rc) == (True, 124)
    assert time.monotonic() - begun < 5
    session = int((tmp_path / "session").read_text())
    wait_until(lambda: not alive(session))


def alive(session):
    """Whether a session has a process; one that was killed is there until somebody has taken note of it."""
    try:
        os.killpg(session, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(condition):
    late = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < late
        time.sleep(0.005)


@pytest.mark.parametrize(
    "script",
    [f"sleep {SLOW} & echo done", f"setsid sleep {SLOW} & echo done", "setsid yes >&2 & echo done"],
)
def test_a_process_that_keeps_the_output_open_is_not_waited_for(script):
    begun = time.monotonic()
    done = sh(script, 20.0)
    assert (done.timed_out, done.rc, done.out) == (False, 0, "done\n")
    assert time.monotonic() - begun < 5


def test_a_program_may_end_with_124_by_itself():
    done = sh("exit 124")
    assert (done.rc, done.timed_out) == (124, False)
    assert done.answered() is done


def test_what_timed_out_is_no_answer_although_it_has_said_something():
    done = sh(f"echo half an answer; sleep {SLOW}", 0.3)
    assert done.out == "half an answer\n"
    with pytest.raises(NoAnswerError, match=r"`a script` did not end within 0\.3 s"):
        done.answered()
    with pytest.raises(NoAnswerError, match=r"`sleep 60` did not end within 0\.1 s"):
        Host().ask(["sleep", "60"], timeout=0.1)


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 199, 1000, 250_000])
def test_of_a_long_output_the_head_and_the_tail_are_kept(size):
    text = "".join(chr(97 + number % 26) for number in range(size))
    done = process.run(["cat"], text.encode(), 10.0, os.environ, limit=100)
    surplus = max(0, size - 100)
    assert done.left_out == surplus
    assert done.out == (f"{text[:50]}\n[{surplus} octets left out]\n{text[-50:]}" if surplus else text)
    if surplus:
        with pytest.raises(NoAnswerError, match=f"said {surplus} octets more than"):
            done.answered()


@pytest.mark.parametrize(
    ("argv", "rc"),
    [
        (["/no/such/program"], 127),
        (["/etc/passwd"], 126),
        (["/"], 126),
        (["/etc/passwd/x"], 126),
        (["echo", "a\0b"], 126),
        (["echo", "x" * 3_000_000], 126),
    ],
)
def test_a_program_that_cannot_be_run_is_a_result(argv, rc):
    done = Host().run(argv)
    assert done.rc == rc
    assert done.err
    assert not done.timed_out


@pytest.mark.parametrize("size", [0, 70_000, 1_000_000])
def test_what_a_program_is_given_arrives_whole(size):
    assert Host().run(["cat"], stdin="y" * size).out == "y" * size
    assert Host().run(["true"], stdin="y" * size).rc == 0


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["postfix", "check"], "postfix check"),
        (["sh", "-c", "set -e\nkill $1", "reload Exim"], "reload Exim"),
        (["sh", "-c", "m4 $1", "m4", "/etc/mail/sendmail.mc"], "m4 /etc/mail/sendmail.mc"),
        (["sh", "-c", "secret; things"], "a shell script"),
    ],
)
def test_a_shell_script_is_called_by_its_name(argv, text):
    assert Completed(tuple(argv), 1, "", "").command == text


def test_a_program_gets_its_own_session_and_leaves_no_file_open():
    before = len(list(pathlib.Path("/proc/self/fd").iterdir()))
    done = Host().run(["sh", "-c", "ps -o sid= -p $$; echo $$", "ids"])
    sid, pid = done.out.split()
    assert sid == pid
    for _run in range(5):
        Host().run(["true"])
        Host().run(["sleep", "60"], timeout=0.01)
    assert len(list(pathlib.Path("/proc/self/fd").iterdir())) == before
