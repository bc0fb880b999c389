# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock of a host: one at a time, whoever is refused learns who holds it, and nobody else can hold it."""

from __future__ import annotations

import fcntl
import os
import re
import signal

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system import trust
from ansible_collections.mailops.postmaster.plugins.module_utils._system.lock import check_private, lock
from ansible_collections.mailops.postmaster.plugins.module_utils.errors import UserError


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


def test_who_is_refused_learns_which_process_holds_it_since_when(state):
    with lock(str(state)), pytest.raises(UserError) as caught, lock(str(state)):
        pass
    assert re.search(
        rf"process {os.getpid()} \([\w.+-]+\), since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d, holds {state}/lock. Nothing was",
        str(caught.value),
    )


def test_it_is_free_at_the_end_and_after_a_failure(state):
    with pytest.raises(ZeroDivisionError), lock(str(state)):
        raise ZeroDivisionError
    with lock(str(state)):
        pass
    assert (state / "lock").read_text() == ""


def test_a_holder_that_was_killed_holds_it_no_more(state):
    ready, told = os.pipe()
    child = os.fork()
    if not child:
        with lock(str(state)):
            os.write(told, b"x")
            signal.pause()
        os._exit(0)
    os.read(ready, 1)
    with pytest.raises(UserError, match=f"process {child} "), lock(str(state)):
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with lock(str(state)):
        assert (state / "lock").read_text().startswith(f"{os.getpid()} ")


SAID = {
    "nothing, as an earlier version": b"",
    "a process that is gone": b"4194305 python 1\n",
    "controls": b"1 \x1b[31m\xe2\x80\xae 1\n",
    "more than fits": b"1 " + b"x" * 100000 + b" 1\n",
    "bytes": bytes(range(256)),
    "a number that is none": b"1 python \xd9\xa1\n",
}


@pytest.mark.parametrize("said", SAID.values(), ids=SAID)
def test_what_stands_in_the_lock_is_believed_for_nothing_but_its_text(state, said):
    """An earlier version, whose rollback may be under way, holds the same lock, and writes nothing."""
    state.mkdir(mode=0o700)
    (state / "lock").write_bytes(said)
    (state / "lock").chmod(0o600)
    handle = os.open(state / "lock", os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="a process that does not say who it is holds"), lock(str(state)):
            pass
    finally:
        os.close(handle)


def test_an_earlier_version_waits_for_this_one(state):
    with lock(str(state)):
        handle = os.open(state / "lock", os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(handle)


def test_no_room_for_the_holder_s_name_is_no_reason_to_refuse(state, monkeypatch):
    def full(_handle, _text, _offset):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with lock(str(state)), pytest.raises(UserError, match="does not say who it is"), lock(str(state)):
        pass


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_nobody_else_can_open_it_whatever_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        with lock(str(tmp_path / "above" / "state")):
            pass
    finally:
        os.umask(before)
    paths = [tmp_path / "above", tmp_path / "above" / "state", tmp_path / "above" / "state" / "lock"]
    assert [oct(path.stat().st_mode & 0o7777) for path in paths] == ["0o755", "0o700", "0o600"]


def linked(state):
    (state.parent / "elsewhere").mkdir()
    state.symlink_to(state.parent / "elsewhere")


UNSAFE_STATE = {
    "a link": (linked, "it is a link"),
    "a file": (lambda state: state.write_text(""), "it is a file"),
    "a FIFO": (os.mkfifo, "it is a FIFO"),
    "everybody's": (lambda state: (state.mkdir(), state.chmod(0o777)), "it can be written by everybody"),
    "a group's": (lambda state: (state.mkdir(), state.chmod(0o770)), "it can be written by the group"),
    "in a directory of everybody": (lambda state: (state.parent.chmod(0o777), state.mkdir()), "by everybody"),
    "not there, in a directory of everybody": (lambda state: state.parent.chmod(0o1777), "by everybody"),
}


def owned(monkeypatch, owners):
    """Let paths have other owners and groups than they have: what only root could bring about."""
    real = trust.os.lstat

    def look(path):
        found = list(real(path))
        found[4:6] = owners.get(str(path), found[4:6])
        return os.stat_result(found)

    monkeypatch.setattr(trust.os, "lstat", look)


@pytest.mark.parametrize(("make", "why"), UNSAFE_STATE.values(), ids=UNSAFE_STATE)
def test_a_directory_of_state_that_others_can_change_is_refused(state, monkeypatch, make, why):
    owned(monkeypatch, {str(state): [os.geteuid(), 12345]})
    make(state)
    with pytest.raises(UserError, match=f"directory of state {state} is not safe: .*{why}.*Nothing was changed"):
        check_private(str(state))
    with pytest.raises(UserError, match="is not safe"), lock(str(state)):
        pass


def test_a_directory_of_state_of_somebody_else_is_refused(state, monkeypatch):
    state.mkdir(mode=0o700)
    owned(monkeypatch, {str(state): [54321, 54321]})
    with pytest.raises(UserError, match="it belongs to uid 54321"), lock(str(state)):
        pass


UNSAFE_LOCK = {
    "a link": lambda path: path.symlink_to("/etc/passwd"),
    "a FIFO": os.mkfifo,
    "a directory": lambda path: path.mkdir(),
    "everybody's": lambda path: (path.write_text(""), path.chmod(0o666)),
}


@pytest.mark.parametrize("make", UNSAFE_LOCK.values(), ids=UNSAFE_LOCK)
def test_a_lock_that_is_no_file_of_its_own_is_refused(state, make):
    state.mkdir(mode=0o700)
    make(state / "lock")
    with (
        pytest.raises(UserError, match=f"the lock {state}/lock cannot be used: .*Nothing was changed"),
        lock(str(state)),
    ):
        pass
