# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whoever owns the directory of a file can put anything in the way, at any time: each change ends, and nothing is lost.

As Sendmail's account can in /etc/mail.
"""

from __future__ import annotations

import os
import re
import stat

import in_the_way
import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system import files, lease, trust
from ansible_collections.mailops.postmaster.plugins.module_utils._system.remarks import remarks
from ansible_collections.mailops.postmaster.plugins.module_utils.errors import UserError
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction import undo
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction.end import end
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction.store import Store
from in_the_way import THINGS, leased

ACCOUNT = [120, 120]  # a number of a system account
OLD, NEW, LATER = "interfaces = loopback\n", "interfaces = all\n", "banner = b\n"
BESIDE = (".main.cf.next", ".main.cf.before")
FILES = {"the new file": BESIDE[0], "the copy": BESIDE[1]}
things = pytest.mark.parametrize("make", THINGS, ids=[make.__name__ for make in THINGS])
places = pytest.mark.parametrize("name", FILES.values(), ids=FILES)


@pytest.fixture(autouse=True)
def of_another(live, tmp_path, monkeypatch):
    """The directory, and each link in it, belongs to a system account; nothing outside of it changes."""
    (tmp_path / "victim").write_text("of root's\n")
    real = os.lstat

    def look(path, **more):
        found = list(real(path, **more))
        place = os.path.abspath(os.fspath(path))
        if place == str(live) or (os.path.dirname(place) == str(live) and stat.S_ISLNK(found[0])):
            found[4:6] = ACCOUNT
        return os.stat_result(found)

    monkeypatch.setattr(trust.os, "lstat", look)
    yield
    assert (tmp_path / "victim").read_text() == "of root's\n"


@pytest.fixture
def state(tmp_path):
    return str(tmp_path / "state")


@pytest.fixture
def put(live):
    """Puts a thing at a name, instead of what is there; returns a function that says where it is now."""

    def put_there(make, name):
        in_the_way.remove(live / name)
        make(live / name)
        inode = os.lstat(live / name).st_ino
        return lambda: [path.name for path in live.iterdir() if os.lstat(path).st_ino == inode]

    return put_there


@pytest.fixture
def finish(system, state):
    def run(wanted):
        return end(system, {"state": wanted, "transaction": "", "state_dir": state}, False)["state"]

    return run


def text(live):
    return (live / "main.cf").read_text()


def beside(live):
    return sorted(path.name for path in live.iterdir() if path.name in BESIDE)


def disarmed(system):
    return ["systemctl", "--quiet", "stop", "mailops-postmaster-undo.timer"] in system.ran


@things
@places
def test_what_is_in_the_way_of_a_change_is_moved_aside_and_named(transact, finish, live, put, make, name):
    where = put(make, name)
    foreseen = transact(check_mode=True)["warnings"]
    assert [f"{live / name} is " in told and "a run moves it aside" in told for told in foreseen] == [True]
    assert where() == [name]
    assert transact(confirm_timeout=600)["state"] == "pending"
    found = remarks()
    assert len(found) == 1, found
    (told,) = found
    (aside,) = where()
    assert re.fullmatch(rf"{live / name} is a .*, and was in the way: it was moved to {live / aside}; .*", told)
    assert (finish("confirm"), text(live), beside(live), remarks()) == ("confirmed", NEW, [], [])
    assert where() == [aside]


@things
@places
def test_what_is_put_there_before_a_confirmation_does_not_stop_it(
    transact, finish, live, state, system, put, make, name
):
    transact(confirm_timeout=600)
    where = put(make, name)
    system.ran.clear()
    assert finish("confirm") == "confirmed"
    assert (Store(state).pending(), disarmed(system), where()) == (None, True, [name])
    assert [f"{live / name} is a " in told and "was left there" in told for told in remarks()] == [True]


@things
@pytest.mark.parametrize("name", ["main.cf", *BESIDE])
@pytest.mark.parametrize("by", ["a run", "the timer"])
def test_what_is_put_there_before_a_rollback_does_not_stop_it(
    transact, finish, live, state, system, monkeypatch, put, make, name, by
):
    said = []
    monkeypatch.setattr(undo, "Host", lambda: system)
    monkeypatch.setattr(undo, "_say", said.append)
    transact(confirm_timeout=600)
    where = put(make, name)
    system.ran.clear()
    if by == "a run":
        assert finish("rollback") == "rolled_back"
        said = remarks()
    else:
        assert undo.main([state]) == 0
    assert (text(live), Store(state).pending(), disarmed(system)) == (OLD, None, True)
    (now,) = where()
    assert now != "main.cf"
    end = "was left there" if now == name else f"was in the way: it was moved to {re.escape(str(live / now))}"
    assert [told for told in said if re.search(rf"{re.escape(str(live / name))} is a .*, and {end}; look", told)]


@things
@places
def test_what_is_put_there_after_a_change_does_not_stop_the_next_one(transact, live, put, make, name):
    transact()
    where = put(make, name)
    assert transact(content=LATER)["state"] == "confirmed"
    (aside,) = where()
    assert (text(live), beside(live)) == (LATER, [])
    assert [str(live / name) in told and str(live / aside) in told for told in remarks()] == [True]


@things
def test_what_is_put_in_place_of_a_file_that_was_not_there_goes_aside(transact, finish, live, put, make):
    transact(confirm_timeout=600)
    where = put(make, "table")
    assert finish("rollback") == "rolled_back"
    assert not os.path.lexists(live / "table")
    (aside,) = where()
    assert any(str(live / aside) in told for told in remarks())


@things
def test_what_is_put_in_place_of_a_file_while_the_new_one_is_written_goes_aside(
    transact, live, state, monkeypatch, put, make
):
    prepare, found = files.prepare, []

    def meanwhile(changes):
        prepare(changes)
        found.append(put(make, "main.cf"))

    monkeypatch.setattr(files, "prepare", meanwhile)
    with pytest.raises(UserError, match=r"main\.cf.*; the old one is back"):
        transact(confirm_timeout=600)
    assert (text(live), Store(state).pending(), len(found[0]())) == (OLD, None, 1)


def test_who_puts_things_there_again_and_again_does_not_stop_a_rollback(transact, finish, live, monkeypatch, put):
    transact(confirm_timeout=600)
    move, again = files.move_aside, [in_the_way.folder] * (files.RACES - 1)

    def raced(*given):
        move(*given)
        if again:
            put(again.pop(), "main.cf")

    put(in_the_way.full_folder, "main.cf")
    monkeypatch.setattr(files, "move_aside", raced)
    assert (finish("rollback"), text(live), len(remarks())) == ("rolled_back", OLD, files.RACES)


# Files of a transaction, and what becomes of one on which a lease is held.
@pytest.mark.parametrize("name", ["main.cf", *BESIDE])
def test_a_rollback_waits_for_no_lease(transact, finish, live, monkeypatch, name):
    monkeypatch.setattr(lease, "PATIENCE", None)
    transact(confirm_timeout=600)
    in_the_way.remove(live / name)
    (live / name).write_text(NEW)
    with leased(live / name):
        assert finish("rollback") == "rolled_back"
    assert (text(live), beside(live)) == (OLD, [])
    asides = [path.read_text() for path in live.glob(".aside-*")]
    assert asides == ([NEW] if name == "main.cf" else [])


@places
def test_a_lease_beside_a_file_stops_neither_a_change_nor_its_confirmation(transact, finish, live, monkeypatch, name):
    monkeypatch.setattr(lease, "PATIENCE", None)
    (live / name).write_text("")
    with leased(live / name):
        transact(confirm_timeout=600)
    in_the_way.remove(live / name)
    (live / name).write_text("")
    with leased(live / name):
        assert (finish("confirm"), beside(live), remarks()) == ("confirmed", [], [])


def test_a_change_waits_for_a_lease_that_ends(transact, live):
    with leased(live / "main.cf", "polite"):
        assert transact()["state"] == "confirmed"
    assert text(live) == NEW


@pytest.mark.parametrize("check_mode", [True, False])
def test_a_lease_that_does_not_end_is_named_before_anything_is_changed(transact, live, monkeypatch, check_mode):
    monkeypatch.setattr(lease, "PATIENCE", lease.Patience(0.2))
    with leased(live / "main.cf") as pid, pytest.raises(OSError, match=rf"is held by a lease of process {pid} of "):
        transact(check_mode=check_mode)
    assert (text(live), beside(live)) == (OLD, [])


def test_all_leases_together_are_waited_for_only_so_long(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "PATIENCE", lease.Patience(0.3))
    waited = []
    monkeypatch.setattr(lease.time, "sleep", waited.append)
    for name in ("one", "two", "three"):
        (tmp_path / name).write_text("")
        with leased(tmp_path / name), pytest.raises(BlockingIOError):
            files.read_image(str(tmp_path / name))
    assert sum(waited) < 0.3 + 2 * lease.INTERVAL


def test_what_is_left_beside_a_file_stops_nothing(transact, finish, live, state, system, monkeypatch):
    """As in a directory that became immutable meanwhile."""
    transact(confirm_timeout=600)
    unlink = os.unlink

    def refused(path, **more):
        if str(path) == str(live / ".main.cf.before"):
            raise PermissionError(1, "Operation not permitted", path)
        unlink(path, **more)

    system.ran.clear()
    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", refused)
        assert finish("confirm") == "confirmed"
        assert remarks() == [f"{live}/.main.cf.before could not be removed: Operation not permitted"]
        assert (Store(state).pending(), disarmed(system)) == (None, True)
        assert transact(content=LATER)["state"] == "confirmed"
    assert transact()["state"] == "confirmed"
    assert beside(live) == []


def test_a_file_that_does_not_come_back_stops_no_other_one(transact, finish, live, state, monkeypatch):
    (live / "table").write_text("by hand\n")
    transact(confirm_timeout=600)
    restore, restored = files.restore, []

    def refused(path, image):
        if path.endswith(("main.cf", "table.db")):
            raise OSError(5, "Input/output error", path)
        restored.append(path)
        restore(path, image)

    with monkeypatch.context() as patched:
        patched.setattr(files, "restore", refused)
        with pytest.raises(UserError, match=r"main\.cf: Input/output error; .*table\.db: Input/output error"):
            finish("rollback")
    assert (text(live), (live / "table").read_text(), Store(state).undoing) == (NEW, "by hand\n", True)
    assert restored == [str(live / "table")]
    assert (finish("rollback"), text(live)) == ("rolled_back", OLD)


def test_a_file_without_end_stops_no_rollback(transact, finish, live, monkeypatch):
    transact(confirm_timeout=600)
    monkeypatch.setattr(files, "LARGEST", 1 << 20)
    os.truncate(live / "main.cf", 1 << 40)
    os.truncate(live / ".main.cf.before", 1 << 40)
    assert (finish("rollback"), text(live)) == ("rolled_back", OLD)
