# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A change that has to be confirmed: it stays, or the old files come back, and never a mixture."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pathlib
import time

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system import files
from ansible_collections.mailops.postmaster.plugins.module_utils._system.files import read_image
from ansible_collections.mailops.postmaster.plugins.module_utils._system.host import Host
from ansible_collections.mailops.postmaster.plugins.module_utils.errors import UserError
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction import store, timer, undo
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction.end import end
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction.journal import Journal
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction.service import Service
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction.store import Store
from mail_servers import Mail, Server

OLD, NEW = "interfaces = loopback\n", "interfaces = all\n"


@pytest.fixture
def state(tmp_path):
    return str(tmp_path / "state")


@pytest.fixture
def finish(system, state):
    """Confirms or rolls back, and returns the result."""

    def run(wanted, transaction="", check_mode=False):
        return end(system, {"state": wanted, "transaction": transaction, "state_dir": state}, check_mode)

    return run


def text(live):
    return (live / "main.cf").read_text()


def beside(live):
    return sorted(path.name for path in live.iterdir() if path.name.startswith("."))


def test_a_change_is_pending_until_it_is_confirmed(transact, finish, live):
    changed = transact(confirm_timeout=600)
    assert (changed["state"], changed["changed"], text(live)) == ("pending", True, NEW)
    assert changed["deadline"] > 0
    assert beside(live) == [".main.cf.before"]
    assert finish("confirm", changed["transaction"])["state"] == "confirmed"
    assert (text(live), beside(live)) == (NEW, [])
    assert transact(confirm_timeout=600)["state"] == "unchanged"


def test_what_is_rolled_back_is_as_it_was_and_the_service_is_told(transact, finish, live, system):
    (live / "main.cf").chmod(0o640)
    os.setxattr(live / "main.cf", "user.kept", b"yes")
    changed = transact(confirm_timeout=600)
    assert os.getxattr(live / "main.cf", "user.kept") == b"yes"
    system.ran.clear()
    assert finish("rollback", changed["transaction"])["changed"]
    found = read_image(str(live / "main.cf"))
    assert (found.content.decode(), found.mode) == (OLD, 0o640)
    assert os.getxattr(live / "main.cf", "user.kept") == b"yes"
    assert sorted(path.name for path in live.iterdir()) == ["main.cf", "master.cf"]
    assert system.told == ["start"]


# what a script of the MTA has made of the old configuration, and what of the new one
DERIVED = {
    "a file": (lambda path: path.write_text("of the old"), "of the old"),
    "nothing": (lambda _path: None, None),
    "an empty file": (pathlib.Path.touch, ""),
    "a file that is too large": (lambda path: path.write_text("x" * ((1 << 20) + 1)), "of the new"),
    "a link that leads nowhere": (lambda path: path.symlink_to("nowhere"), None),
}


@pytest.mark.parametrize("there", DERIVED)
def test_what_scripts_made_of_the_old_configuration_comes_back_with_it(transact, finish, live, there):
    make, wanted = DERIVED[there]
    derived = live / "derived"
    make(derived)
    changed = transact(confirm_timeout=600, derived=[str(derived)])
    derived.write_text("of the new")
    assert finish("rollback", changed["transaction"])["changed"]
    assert (derived.read_text() if derived.exists() else None) == wanted
    assert beside(live) == []


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["a FIFO", "a directory"])
def test_what_no_script_has_made_there_stops_no_change_and_stays(transact, finish, live, make):
    derived = live / "derived"
    make(derived)
    changed = transact(confirm_timeout=600, derived=[str(derived)])
    assert finish("rollback", changed["transaction"])["changed"]
    assert not derived.is_file()
    assert derived.exists()


def test_what_scripts_made_of_the_new_configuration_stays_with_it(transact, finish, live):
    (live / "derived").write_text("of the old")
    changed = transact(confirm_timeout=600, derived=[str(live / "derived")])
    (live / "derived").write_text("of the new")
    finish("confirm", changed["transaction"])
    assert (live / "derived").read_text() == "of the new"
    assert beside(live) == []


@pytest.mark.parametrize(("first", "then"), [("confirm", "rollback"), ("rollback", "confirm")])
def test_an_end_can_be_repeated_and_not_be_changed(transact, finish, first, then):
    name = transact(confirm_timeout=600)["transaction"]
    state = finish(first, name)["state"]
    assert finish(first, name) == {"changed": False, "state": state, "transaction": name}
    with pytest.raises(UserError, match=f"transaction {name} cannot be"):
        finish(then, name)


def test_a_transaction_that_is_not_known_is_no_other(transact, finish):
    transact(confirm_timeout=600)
    with pytest.raises(UserError, match="1-2 cannot be confirmed any more: it is not known"):
        finish("confirm", "1-2")
    assert finish("rollback")["state"] == "rolled_back"
    assert finish("rollback")["state"] == "unchanged"


def test_check_mode_ends_nothing(transact, finish, live):
    transact(confirm_timeout=600)
    assert finish("rollback", check_mode=True)["state"] == "pending"
    assert text(live) == NEW


def test_the_next_run_rolls_back_first_what_was_not_finished_and_says_so(transact, finish, live):
    first = transact(confirm_timeout=600)["transaction"]
    foreseen = transact(check_mode=True, content="banner = b\n")
    assert foreseen["warnings"] == [f"transaction {first} of this host was not finished; a run rolls it back"]
    second = transact(content="banner = b\n", confirm_timeout=600)
    assert second["warnings"] == [f"transaction {first} of this host was not finished; it was rolled back first"]
    with pytest.raises(UserError, match=f"{first} cannot be confirmed any more: it was rolled back"):
        finish("confirm", first)
    finish("rollback", second["transaction"])
    assert text(live) == OLD


def test_a_run_that_only_rolls_back_has_changed_something(transact, live):
    transact(confirm_timeout=600)
    again = transact(content=OLD, files=[])
    assert (again["changed"], again["state"], text(live)) == (True, "unchanged", OLD)


def test_the_timer_rolls_back_the_transaction_that_it_was_set_for(transact, system, state, live, monkeypatch):
    monkeypatch.setattr(undo, "Host", lambda: system)
    name = transact(confirm_timeout=600)["transaction"]
    assert undo.main([state, "--transaction=1-2"]) == 0
    assert text(live) == NEW
    system.ran.clear()
    assert undo.main([state, f"--transaction={name}"]) == 0
    assert (text(live), system.told) == (OLD, ["start"])


def test_what_a_rollback_replaces_is_kept(transact, finish, live, state):
    name = transact(confirm_timeout=600)["transaction"]
    (live / "main.cf").write_text("by hand = yes\n")
    finish("rollback")
    kept = Journal.load(pathlib.Path(state, "transactions", f"{name}.undone.json").read_bytes())
    assert kept.images[str(live / "main.cf")].content == b"by hand = yes\n"


def test_a_rollback_that_has_begun_cannot_be_confirmed_but_ends(transact, finish, live, monkeypatch):
    name = transact(confirm_timeout=600)["transaction"]

    def refused(path, _image):
        raise OSError(5, "Input/output error", path)

    with monkeypatch.context() as patched:
        patched.setattr(files, "restore", refused)
        with pytest.raises(UserError, match=r"cannot be rolled back: .*Input/output error"):
            finish("rollback", name)
    with pytest.raises(UserError, match=f"{name} cannot be confirmed any more: it is being rolled back"):
        finish("confirm", name)
    assert finish("rollback", name)["state"] == "rolled_back"
    assert (text(live), beside(live)) == (OLD, [])


def test_a_service_without_a_reload_is_restarted_where_only_the_aliases_come_back(transact, finish, live, system):
    service = {"name": "mta", "reload": [], "restart": ["start", "mta"], "restart_on": []}
    aliases = {"path": str(live / "aliases"), "strategy": "merge", "compiled": None, "rebuild": []}
    transact(service=service, aliases={**aliases, "entries": {"postmaster": "alice"}})
    changed = transact(service=service, aliases={**aliases, "entries": {"postmaster": "bob"}}, confirm_timeout=600)
    assert (changed["state"], changed["activation"]) == ("pending", "none")
    system.ran.clear()
    assert finish("rollback")["state"] == "rolled_back"
    assert (system.told, (live / "aliases").read_text()) == (["start"], "postmaster: alice\n")


class Dead(asyncio.Protocol):
    """A listener behind which every process dies."""

    def connection_made(self, transport):
        transport.close()


@pytest.mark.parametrize("before", [True, False])
def test_the_old_configuration_is_asked_where_it_answered_before(transact, finish, serve, state, monkeypatch, before):
    dead = []
    answers = [{"address": "127.0.0.1", "port": serve(lambda: Dead() if dead else Server(Mail())), "greeting": "^220"}]
    with monkeypatch.context() as patched:
        if not before:
            patched.setattr(Service, "answering", [])
        transact(answers=answers, confirm_timeout=600, timeout=3)
    assert Store(state).pending().answered == (answers if before else [])
    dead.append(True)
    with pytest.raises(UserError, match="does not answer") if before else contextlib.nullcontext():
        assert finish("rollback")["state"] == "rolled_back"


def test_an_edit_while_the_new_files_are_written_stays_and_is_told(transact, live, state, monkeypatch):
    prepare = files.prepare

    def edited(changes):
        prepare(changes)
        (live / "main.cf").write_text("by hand = yes\n")

    monkeypatch.setattr(files, "prepare", edited)
    with pytest.raises(UserError, match=r"main\.cf was changed by somebody else meanwhile; nothing was changed"):
        transact(confirm_timeout=600)
    assert (text(live), beside(live), Store(state).pending()) == ("by hand = yes\n", [], None)


def test_what_comes_back_is_as_old_as_it_was(transact, finish, live):
    transact()
    for name in ("main.cf", "table", "table.db"):
        os.utime(live / name, (1600000000, 1600000000))
    transact(content="banner = b\n", confirm_timeout=600)
    finish("rollback")
    assert [os.stat(live / name).st_mtime for name in ("main.cf", "table", "table.db")] == [1600000000.0] * 3
    assert transact()["state"] == "unchanged"


def test_a_clock_that_went_back_takes_no_end_away(transact, finish, monkeypatch):
    for _number in range(store.KEPT):
        finish("rollback", transact(confirm_timeout=600)["transaction"])
    monkeypatch.setattr(time, "time", lambda: 1000000000.0)
    name = transact(confirm_timeout=600)["transaction"]
    finish("rollback", name)
    with pytest.raises(UserError, match=f"{name} cannot be confirmed any more: it was rolled back"):
        finish("confirm", name)


def test_at_no_moment_of_a_change_of_the_mta_there_is_no_way_back(system, state):
    with Store(state).lock():
        way = timer.Timer(system, Store(state))
        way.arm("1-2", 300, b"zip")
        way.watch("1-2")
        way.arm("1-2", 600, b"zip")
        way.unwatch()
    there = set()
    for argv in system.ran:
        if argv[0] == "systemd-run":
            there.add(next(word for word in argv if word.startswith("--unit=")).partition("=")[2])
        if "stop" in argv:
            there -= {unit.partition(".")[0] for unit in argv[3:]}
        assert there or system.ran.index(argv) == 0
    assert there == {timer.UNIT}


def test_an_edit_between_the_comparison_and_the_change_is_not_overwritten(transact, system, live):
    def edited(argv):
        if argv[0] == "checker":
            (live / "main.cf").write_text("by hand = yes\n")
        return False

    system.broken = edited
    with pytest.raises(UserError, match=r"main\.cf was changed by somebody else meanwhile; nothing was changed"):
        transact()
    assert text(live) == "by hand = yes\n"


def test_a_file_that_cannot_be_replaced_leaves_all_as_it_was(transact, state, live, monkeypatch):
    """As one is that chattr(1) made immutable."""
    rename = os.rename

    def refused(source, target):
        if target == str(live / "table"):
            raise PermissionError(1, "Operation not permitted", target)
        rename(source, target)

    (live / "table").write_text("by hand\n")
    monkeypatch.setattr(os, "rename", refused)
    with pytest.raises(UserError, match=r"table: Operation not permitted; the old one is back"):
        transact(confirm_timeout=600)
    assert {path.name: path.read_text() for path in live.iterdir()} == {
        "main.cf": OLD,
        "master.cf": "untouched\n",
        "table": "by hand\n",
    }
    assert Store(state).pending() is None


def test_no_timer_no_change(transact, system, live, state):
    system.broken = lambda argv: argv[0] == "systemd-run"
    with pytest.raises(UserError, match="no confirmation timer can be set, and nothing was changed"):
        transact(confirm_timeout=600)
    assert (text(live), Store(state).pending()) == (OLD, None)


def test_what_an_end_that_was_interrupted_has_left_is_removed(transact, live, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(store, "forget", lambda _paths: None)
        transact()
    assert beside(live) == [".main.cf.before"]
    transact(content="banner = b\n")
    assert beside(live) == []


def test_where_systemd_does_not_run_a_process_waits_and_rolls_back(transact, live, state, tmp_path, monkeypatch):
    monkeypatch.setattr(timer, "SYSTEMD", str(tmp_path / "nothing"))
    owner = {"owner": str(os.getuid()), "group": str(os.getgid()), "mode": "0644", "compile": [], "product": None}
    file = {"path": str(live / "main.cf"), "content": NEW, **owner}
    transact(host=Host(), files=[file], check=[], reason=[], service=None, confirm_timeout=1)
    assert text(live) == NEW
    late = time.monotonic() + 30
    while Store(state).pending() and time.monotonic() < late:
        time.sleep(0.05)
    with Store(state).lock(wait=True):
        assert text(live) == OLD
