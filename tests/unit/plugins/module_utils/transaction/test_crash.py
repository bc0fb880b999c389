# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A transaction is killed, or the disk fails, at each of its steps: the old files or the new ones are there, whole."""

from __future__ import annotations

import errno
import os
from functools import partial

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils.errors import UserError
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction import undo
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction.store import Store
from steps import Steps

OLD, NEW = "interfaces = loopback\n", "interfaces = all\n"
ALIASES = {"aliases": "root: bob\n", "aliases.db": "compiled root: bob\n"}
NEW_ALIASES = {name: f"{text}postmaster: alice\n" for name, text in ALIASES.items()}
BEFORE = {"main.cf": OLD, "master.cf": "untouched\n", **ALIASES}
AFTER = {"main.cf": NEW, "master.cf": "untouched\n", "table": "a b\n", "table.db": "compiled a b\n", **NEW_ALIASES}
KILLED = 9


def die(_room, _path):
    os._exit(KILLED)


def full(room, path):
    if room:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)


def read_only(_room, path):
    if path is not None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)


@pytest.fixture
def transact(transact, live):
    """The transaction, which changes and compiles the aliases, too."""
    path = str(live / "aliases")
    aliases = {"path": path, "entries": {"postmaster": "alice"}, "strategy": "merge", "compiled": [path + ".db"]}
    write_aliases(live)
    return partial(transact, aliases={**aliases, "rebuild": ["compile", "{path}"]})


def write_aliases(live):
    (live / "aliases").write_text(BEFORE["aliases"])
    (live / "aliases.db").write_text(BEFORE["aliases.db"])


@pytest.fixture
def count(transact, system, monkeypatch, tmp_path):
    """The number of steps of the whole transaction, which is made and made undone for that, and once before."""
    monkeypatch.setattr(undo, "Host", lambda: system)
    transact(confirm_timeout=600)
    assert undo.main([str(tmp_path / "state")]) == 0
    with monkeypatch.context() as patched:
        steps = Steps(patched.setattr, system)
        transact(confirm_timeout=600)
    assert undo.main([str(tmp_path / "state")]) == 0
    return steps.number


@pytest.fixture
def whole(live, tmp_path):
    """What the directory says, with whatever was left in it; no transaction is pending, and no activation due."""

    def look():
        assert Store(str(tmp_path / "state")).pending() is None
        assert not list((tmp_path / "state").glob("*in-force*"))
        return {path.name: path.read_text() for path in sorted(live.iterdir())}

    return look


def killed(transact, system, monkeypatch, step):
    """A process that makes the transaction, and is gone at the step."""
    child = os.fork()
    if not child:
        try:
            Steps(monkeypatch.setattr, system, step, die)
            transact(confirm_timeout=600)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


HEALED = {
    "the timer": lambda state, _transact: undo.main([state]),
    "the boot": lambda state, _transact: undo.main([state, "--boot"]),
    "the next run": lambda _state, transact: transact(),
}


@pytest.mark.parametrize("healed", HEALED)
def test_a_kill_at_any_step_is_healed(transact, system, count, live, whole, monkeypatch, tmp_path, healed):
    for step in range(1, count + 1):
        assert killed(transact, system, monkeypatch, step) == KILLED
        HEALED[healed](str(tmp_path / "state"), transact)
        assert whole() == (AFTER if healed == "the next run" else BEFORE), step
        if healed == "the next run":
            assert not list((tmp_path / "state").glob("stage-*")), step
            (live / "main.cf").write_text(OLD)
            (live / "table").unlink()
            (live / "table.db").unlink()
            write_aliases(live)
    print(f"killed at each of {count} steps, healed by {healed}")


@pytest.mark.parametrize("happens", [full, read_only])
def test_a_disk_that_fails_from_any_step_on_is_a_clear_error(
    transact, system, count, whole, monkeypatch, tmp_path, happens
):
    said = {}
    for step in range(1, count + 1):
        with monkeypatch.context() as patched:
            Steps(patched.setattr, system, step, happens)
            said[step] = error_of(partial(transact, confirm_timeout=600))
        if happens is read_only or not said[step]:
            undo.main([str(tmp_path / "state")])
        assert whole() == BEFORE, step
    late = [step for step, error in said.items() if not error]
    assert late == list(range(count - len(late) + 1, count + 1)), "once nothing is to be written"
    assert all("No space left" in error or "Read-only" in error for error in said.values() if error)
    print(f"{happens.__name__} from each of {count} steps on")


def error_of(work):
    """What an error says; empty where there is none."""
    try:
        work()
    except (UserError, OSError) as error:
        return str(error)
    return ""
