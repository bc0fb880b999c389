# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A change of the MTA on a host where something that it has to write cannot be replaced."""

from __future__ import annotations

import os
import pathlib
import time

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system import debs, mounts
from ansible_collections.mailops.postmaster.plugins.module_utils._system.host import Completed
from ansible_collections.mailops.postmaster.plugins.module_utils._system.remarks import remarks
from ansible_collections.mailops.postmaster.plugins.module_utils.errors import UserError
from ansible_collections.mailops.postmaster.plugins.module_utils.queue.spool import Spool
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction import switch, transaction, undo, written
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction.store import Store
from conftest import OLD
from fake_system import FakeSystem
from in_the_way import pin

THEIRS = "#!/bin/sh\nexit 0\n"
REPLACES = {"mta": "exim", "by": "postfix", "packages": ["new"]}
PLANNED = "Inst new (2 Debian)\nRemv old [1]\n"


class Replaced(FakeSystem):
    """A host on which one MTA can be replaced by the other; its packages and masks are these few lines."""

    def __init__(self, packages, program):
        super().__init__()
        self.packages, self.program = packages, program
        self.there, self.masked, self.stuck = {"old": "1"}, set(), False

    def processes(self, accounts=()):
        assert "" not in accounts
        return []

    def run(self, argv, stdin="", timeout=30.0):
        done = super().run(argv, stdin, timeout)
        return Completed(done.argv, done.rc, self._out(list(argv)) or done.out, done.err)

    def _out(self, argv):
        if "--simulate" in argv:
            return PLANNED
        if "--download-only" in argv:
            (self.packages / "old_1_all.deb").touch()
        elif "apt-get" in argv and "install" in argv:
            self.there = {"new": "2"}
        elif "dpkg" in argv and "--remove" in argv and not self.stuck:
            self.there.pop("new")
        elif "dpkg" in argv and "--install" in argv and not self.stuck:
            self.there["old"] = "1"
        elif argv[:2] in (["systemctl", "mask"], ["systemctl", "unmask"]):
            self.masked = set(argv[3:]) if argv[1] == "mask" else set()
        elif argv[:2] == ["dpkg-query", "--show"]:
            return "".join(f"{name} installed {version}\n" for name, version in self.there.items() if name in argv)
        elif argv[:2] == ["dpkg-query", "--search"]:
            return f"old: {self.program}\n"
        elif argv[:2] == ["dpkg-query", "--listfiles"]:
            return f"/.\n/etc/old.conf\n{self.program.parent}\n{self.program}\n"
        return ""

    @property
    def restarts(self):
        return [argv for argv in self.ran if argv[0] == "sh" and "systemctl restart exim4" in argv]


@pytest.fixture
def sbin(tmp_path, monkeypatch):
    (tmp_path / "sbin").mkdir()
    (tmp_path / "sbin" / "policy-rc.d").write_text(THEIRS)
    (tmp_path / "sbin" / "exim4").touch()
    monkeypatch.setattr(switch, "POLICY", str(tmp_path / "sbin" / "policy-rc.d"))
    return tmp_path / "sbin"


@pytest.fixture
def system(make_system, sbin, state, tmp_path, monkeypatch):
    monkeypatch.setattr(transaction, "program", lambda: b"zip")
    monkeypatch.setattr(os, "fchown", lambda *_given: None)
    monkeypatch.setattr(debs, "LOCKS", [str(tmp_path / "lock-frontend"), str(tmp_path / "lock")])
    monkeypatch.setattr(written, "PROGRAMS", (str(tmp_path),))
    for name in ("MASKS", "WANTS", "DPKG", "APT"):
        (tmp_path / name).mkdir()
        monkeypatch.setattr(written, name, str(tmp_path / name))
    for name, unit in {"exim": "exim4", "postfix": "postfix"}.items():
        (tmp_path / name).mkdir()
        spool = Spool(
            name, (str(tmp_path / name),), "(q[0-9]+)", None, lambda _entry: [], ("flush",), (unit,), ("/no",)
        )
        monkeypatch.setitem(switch.SPOOLS, name, spool)
    return make_system(Replaced, state / "packages", sbin / "exim4")


def a_folder(path):
    path.unlink(missing_ok=True)
    path.mkdir()


# What stands in the way, and what is said of it.
SEEN = {
    "policy-rc.d is a directory": ("sbin/policy-rc.d", a_folder, "is a directory: move it away"),
    "policy-rc.d is mounted": ("sbin/policy-rc.d", None, "is a mount point, which cannot be replaced"),
    "a program of the old MTA is mounted": ("sbin/exim4", None, "is a mount point, which cannot be replaced"),
    "a mask is mounted": ("MASKS/postfix.service", None, "is a mount point, which cannot be replaced"),
    "what enables a unit is mounted": ("WANTS/exim4.service", None, "is a mount point, which cannot be replaced"),
    "dpkg's list is mounted": ("DPKG/status", None, "is a mount point, which cannot be replaced"),
    "dpkg's directory is a file": ("DPKG", lambda path: (path.rmdir(), path.touch()), "is a file"),
    "apt's list is mounted": ("APT/extended_states", None, "is a mount point, which cannot be replaced"),
    "the link of the boot unit is mounted": (
        "units/sysinit.target.wants/mailops-postmaster-undo-at-boot.service",
        None,
        "is a mount point, which cannot be replaced",
    ),
}


@pytest.mark.parametrize("check_mode", [True, False], ids=["check mode", "a run"])
@pytest.mark.parametrize(("name", "make", "said"), SEEN.values(), ids=SEEN)
def test_what_cannot_be_replaced_is_named_before_anything_is_changed(
    transact, system, state, tmp_path, monkeypatch, name, make, said, check_mode
):
    path = tmp_path / name
    if make:
        make(path)
    else:
        path.parent.mkdir(exist_ok=True)
        path.touch()
        (tmp_path / "mountinfo").write_text(f"36 35 98:0 / {path} rw - ext3 /dev/root rw\n")
        monkeypatch.setattr(mounts, "MOUNTS", str(tmp_path / "mountinfo"))
    with pytest.raises(UserError, match=f"{name}.* {said}.*Nothing was changed"):
        transact(replaces=REPLACES, check_mode=check_mode)
    assert (Store(str(state)).pending(), system.there, system.masked) == (None, {"old": "1"}, set())
    assert not [argv for argv in system.ran if "stop" in argv or "apt-get" in argv]


def test_what_cannot_be_replaced_and_is_not_seen_before_leaves_nothing_pending(
    transact, system, sbin, state, monkeypatch
):
    with monkeypatch.context() as patched:
        pin(patched, sbin / "policy-rc.d")
        with pytest.raises(UserError, match=r"policy-rc.d: Device or resource busy.*Nothing was changed"):
            transact(replaces=REPLACES)
        assert ((sbin / "policy-rc.d").read_text(), (state / "packages").exists()) == (THEIRS, False)
        assert (Store(str(state)).look().journal, Store(str(state)).look().due) == (None, False)
        assert not [argv for argv in system.ran if argv[:2] == ["systemctl", "stop"]]
        assert transact(content=OLD)["state"] == "confirmed"
    assert transact(replaces=REPLACES)["state"] == "confirmed"
    assert (system.there, (sbin / "policy-rc.d").read_text(), remarks()) == ({"new": "2"}, THEIRS, [])


def test_a_rollback_without_policy_masks_both_while_the_packages_come_back(transact, finish, system, sbin, monkeypatch):
    transact(replaces=REPLACES, confirm_timeout=600)
    system.ran.clear()
    with monkeypatch.context() as patched:
        pin(patched, sbin / "policy-rc.d")
        assert finish("rollback")["state"] == "rolled_back"
    what = [
        argv[1] if argv[0] == "systemctl" else "dpkg" for argv in system.ran if "--install" in argv or "sk" in argv[1]
    ]
    assert what == ["mask", "dpkg", "unmask"]
    assert (system.there, system.masked, (sbin / "policy-rc.d").read_text()) == ({"old": "1"}, set(), THEIRS)
    assert (len(system.restarts), remarks()) == (1, [])


def test_a_policy_that_cannot_be_put_back_is_named_and_the_next_run_tries_again(
    transact, finish, system, sbin, monkeypatch
):
    transact(replaces=REPLACES, confirm_timeout=600)
    run = system.run

    def stuck(argv, *given, **more):
        if "--install" in argv:
            pin(patched, sbin / "policy-rc.d")
        return run(argv, *given, **more)

    with monkeypatch.context() as patched:
        patched.setattr(system, "run", stuck)
        assert finish("rollback")["state"] == "rolled_back"
    assert (system.there, system.masked, len(system.restarts)) == ({"old": "1"}, set(), 1)
    (said,) = remarks()
    assert said.startswith(f"{sbin}/policy-rc.d could not be put back")
    assert "mailops" in (sbin / "policy-rc.d").read_text()
    assert transact(content=OLD + "more\n")["state"] == "confirmed"
    assert ((sbin / "policy-rc.d").read_text(), remarks()) == (THEIRS, [])


def test_packages_that_do_not_come_back_are_told_in_a_sentence_and_nothing_stays_masked(
    transact, finish, system, state, live
):
    transact(replaces=REPLACES, confirm_timeout=600)
    system.stuck = True
    system.ran.clear()
    told = "cannot be rolled back: .*DPKG.*: old could not be brought back"
    for work in (lambda: finish("rollback"), lambda: transact(content=OLD)):
        with pytest.raises(UserError, match=told.replace("DPKG", "dpkg")):
            work()
        assert (system.masked, Store(str(state)).undoing, (live / "main.cf").read_text()) == (set(), True, OLD)
    assert len(system.restarts) == 2
    system.stuck = False
    assert any("was not finished; it was rolled back first" in said for said in transact()["warnings"])
    assert system.there == {"old": "1"}


def test_the_host_itself_lets_what_is_there_serve_and_tries_more_and_more_rarely(transact, system, state, monkeypatch):
    transact(replaces=REPLACES, confirm_timeout=600)
    system.stuck, waited, said = True, [], []
    monkeypatch.setattr(undo, "Host", lambda: system)
    monkeypatch.setattr(undo, "_say", said.append)
    monkeypatch.setattr(undo.time, "sleep", waited.append)
    monkeypatch.setattr(Store, "begun_at", lambda _store: time.time() - 100)
    assert undo.main([str(state), "--boot"]) == 0
    assert system.masked == {"exim4", "postfix"}
    assert undo.main([str(state)]) == 1
    assert (system.masked, len(system.restarts), waited) == (set(), 1, [0, 0, pytest.approx(50, abs=5)])
    assert "old could not be brought back" in said[-1]


@pytest.mark.parametrize(("passed", "pause"), [(0, 0), (-7, 3.5), (60, 30), (1e9, undo.LONGEST)])
def test_a_pause_is_half_of_the_time_that_has_passed(passed, pause):
    assert undo.pause(passed) == pause


def test_a_rollback_at_boot_waits_for_nothing(transact, system, state, monkeypatch):
    transact(confirm_timeout=600)
    waited = []
    monkeypatch.setattr(undo, "Host", lambda: system)
    monkeypatch.setattr(undo, "_say", lambda _text: None)
    monkeypatch.setattr(undo.time, "sleep", waited.append)
    pin(monkeypatch, pathlib.Path(state, "pending.json"))
    assert (undo.main([str(state), "--boot"]), waited) == (1, [0])
