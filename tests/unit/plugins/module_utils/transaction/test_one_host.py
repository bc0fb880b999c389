# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host has one change at a time, whatever its directory of state is, and a directory has one user."""

from __future__ import annotations

import os
import pathlib
import threading

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system import lock as module
from ansible_collections.mailops.postmaster.plugins.module_utils._system import own_folder
from ansible_collections.mailops.postmaster.plugins.module_utils._system.lock import lock
from ansible_collections.mailops.postmaster.plugins.module_utils.aliases.apply import apply_alone
from ansible_collections.mailops.postmaster.plugins.module_utils.errors import UserError
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction import timer, undo
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction.end import end
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction.packages import Packages
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction.reserved import refuse_reserved


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "aliases"
    path.write_text("postmaster: bob\n")
    return path


@pytest.fixture
def edit(system, table, state):
    """An edit of the table of aliases outside of a transaction."""

    def once(check_mode=False, entries=None, **more):
        params = {"path": str(table), "entries": entries or {"abuse": "carol"}, "strategy": "merge", "compiled": None}
        given = {**params, "rebuild": [], "state_dir": str(state), **more}
        return apply_alone(system, given, check_mode, refuse_reserved)

    return once


@pytest.fixture
def with_table(table):
    """The option of a transaction that changes the same table."""
    params = {"path": str(table), "entries": {"postmaster": "alice"}, "strategy": "merge"}
    return {"aliases": {**params, "compiled": None, "rebuild": []}, "confirm_timeout": 600}


@pytest.fixture
def changes(transact, edit, system, state):
    given = {"transaction": "", "state_dir": str(state)}
    return {
        "apply": transact,
        "confirm": lambda: end(system, {**given, "state": "confirm"}, False),
        "rollback": lambda: end(system, {**given, "state": "rollback"}, False),
        "aliases": edit,
    }


def everything(top):
    return {str(path): path.is_file() and path.read_bytes() for path in pathlib.Path(top).rglob("*")}


@pytest.mark.parametrize("change", ["apply", "confirm", "rollback", "aliases"])
def test_what_another_directory_of_state_is_at_work_with_is_waited_for_by_nobody(changes, tmp_path, live, change):
    before = everything(live)
    with lock(str(tmp_path / "other")), pytest.raises(UserError) as refused:
        changes[change]()
    said = f"another transaction is under way on this host: process {os.getpid()} ("
    assert str(refused.value).startswith(said)
    assert f" holds {module.HOST}/lock. Nothing was changed" in str(refused.value)
    assert everything(live) == before


def test_of_two_changes_that_begin_together_one_is_refused_and_the_other_keeps_its_way_back(
    transact, system, tmp_path, state
):
    """The second one begins when the first has set its timer, and has no journal yet."""
    refused = []

    def begin_another(argv):
        if argv[0] == "systemd-run" and not refused:
            refused.append("")
            with pytest.raises(UserError, match="another transaction is under way on this host") as error:
                transact(confirm_timeout=600, state_dir=str(tmp_path / "other"))
            refused[0] = str(error.value)
        return False

    system.broken = begin_another
    assert transact(confirm_timeout=600)["state"] == "pending"
    assert refused[0]
    assert f"{state}/pending.json" in pathlib.Path(timer.boot_unit()).read_text()
    assert not (tmp_path / "other" / "pending.json").exists()


def test_the_rollback_of_the_host_waits_for_a_change_with_another_directory(
    transact, system, tmp_path, live, state, monkeypatch
):
    monkeypatch.setattr(undo, "Host", lambda: system)
    transact(confirm_timeout=600)
    changed, ended = everything(live), []
    with lock(str(tmp_path / "other")):
        waiting = threading.Thread(target=lambda: ended.append(undo.main([str(state)])))
        waiting.start()
        while not (state / "lock").read_text():  # it has its own lock, and waits for that of the host
            waiting.join(0.01)
        assert (ended, everything(live)) == ([], changed)
    waiting.join()
    assert ended == [0]
    assert everything(live) != changed


def test_the_lock_of_the_host_is_root_s_alone(state):
    with lock(str(state)):
        modes = [oct(os.stat(path).st_mode & 0o7777) for path in (module.HOST, f"{module.HOST}/lock")]
    assert modes == ["0o700", "0o600"]


def test_another_account_needs_no_lock_of_the_host(state, monkeypatch):
    monkeypatch.setattr(module, "HOST", str(state.parent / "none" / "run"))
    uid = os.geteuid()
    with monkeypatch.context() as other:
        other.setattr(module.os, "geteuid", lambda: uid or 12345)
        other.setattr(module, "trusted", lambda: frozenset((uid,)))
        with lock(str(state)):
            pass
    assert not os.path.exists(module.HOST)


FOREIGN = ("packages/foo_1_amd64.deb", "stage-web/index.html", "stage-old_site/index", "transactions/2024.jan.json")


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize("kind", ["apply", "aliases"])
@pytest.mark.parametrize("mode", [0o755, 0o700])
def test_a_directory_that_is_used_for_something_else_is_refused_and_stays(
    transact, edit, tmp_path, mode, kind, check_mode
):
    folder = tmp_path / "srv"
    for name in ("web/index", *FOREIGN):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("mine")
    folder.chmod(mode)
    before = everything(tmp_path)
    with pytest.raises(UserError, match=f"directory of state {folder} .*Nothing was changed"):
        {"apply": transact, "aliases": edit}[kind](check_mode, state_dir=str(folder))
    assert everything(tmp_path) == before


def test_what_others_put_into_a_directory_that_is_known_stays(transact, finish, state):
    transact()
    names = [name for name in FOREIGN if not name.endswith(".deb")] + ["packages/mine", "transactions/1.confirmed.json"]
    for name in names:
        (state / name).parent.mkdir(parents=True, exist_ok=True)
        (state / name).write_text("mine")
    for number in range(8):
        assert transact(content=f"number = {number}\n", confirm_timeout=600)["state"] == "pending"
        finish("rollback")
    assert [name for name in names if not (state / name).exists()] == []


def test_of_what_was_fetched_nothing_stays(system, tmp_path):
    folder = tmp_path / "packages"
    (folder / "partial").mkdir(parents=True)
    for name in ("exim4_1_amd64.deb", "lock", "partial/half"):
        (folder / name).write_text("")
    Packages(system, str(folder)).forget()
    assert not folder.exists()


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_directory_of_state_in_memory_is_refused_before_anything_is_changed(
    transact, tmp_path, monkeypatch, check_mode
):
    monkeypatch.setattr(own_folder, "CLEARED", (str(tmp_path / "run"),))
    before = everything(tmp_path)
    with pytest.raises(UserError, match=f"{tmp_path}/run/state does not survive a boot: a boot empties {tmp_path}/run"):
        transact(check_mode, confirm_timeout=600, state_dir=str(tmp_path / "run" / "state"))
    assert everything(tmp_path) == before


@pytest.mark.parametrize("state_of", ["confirm", "rollback"])
def test_a_change_ends_whatever_its_directory_has_become(transact, finish, state, tmp_path, monkeypatch, state_of):
    transact(confirm_timeout=600)
    (state / own_folder.MARKER).unlink()
    (state / "mine").write_text("")
    state.chmod(0o755)
    monkeypatch.setattr(own_folder, "CLEARED", (str(tmp_path),))
    assert finish(state_of)["state"] in ("confirmed", "rolled_back")


PENDING = {
    "in this directory": ("state", "can be confirmed until 2"),
    "in another directory": ("other", "can be confirmed until 2"),
    "that is being rolled back": ("state", "is being rolled back"),
}


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize(("where", "how"), PENDING.values(), ids=PENDING)
def test_a_table_of_a_transaction_that_is_pending_is_not_edited(
    transact, edit, with_table, table, tmp_path, where, how, check_mode
):
    folder = tmp_path / where
    name = transact(**with_table, state_dir=str(folder))["transaction"]
    if "back" in how:
        (folder / "pending.json").rename(folder / "undoing.json")
    before = table.read_bytes()
    with pytest.raises(UserError) as refused:
        edit(check_mode)
    assert str(refused.value).startswith(f"{table} is part of transaction {name}, which {how}")
    assert f"Nothing was changed. First confirm that transaction or roll it back, with state_dir: {folder}, or" in str(
        refused.value
    )
    assert table.read_bytes() == before


def test_a_table_that_a_transaction_only_compiles_is_its_own_too(transact, edit, tmp_path, live):
    folder = tmp_path / "other"
    transact(confirm_timeout=600, state_dir=str(folder))
    edited = {"path": str(live / "main.cf"), "entries": {"a": "b"}}
    with pytest.raises(UserError, match=r"main\.cf is part of transaction"):
        edit(**edited)


@pytest.mark.parametrize("ended", ["confirm", "rollback"])
def test_a_table_is_edited_when_the_transaction_has_ended(transact, edit, with_table, finish, table, ended):
    transact(**with_table)
    finish(ended)
    assert edit()["changed"]
    assert "abuse: carol" in table.read_text()


def test_a_table_that_is_none_of_the_transaction_s_is_edited(transact, edit, table):
    transact(confirm_timeout=600)
    assert edit()["changed"]
    assert "abuse: carol" in table.read_text()


def test_an_edit_with_nothing_to_change_is_not_refused(transact, edit, with_table):
    transact(**with_table)
    assert not edit(entries={"postmaster": "alice"})["changed"]


@pytest.mark.parametrize("text", ["", "[Unit]\nDescription=mine\n"])
def test_a_unit_that_does_not_say_whose_it_is_stops_an_edit(edit, table, text):
    unit = pathlib.Path(timer.boot_unit())
    unit.write_text(text)
    before = table.read_bytes()
    with pytest.raises(UserError, match=r"does not name a directory of state.*Nothing was changed\. Remove that file"):
        edit()
    assert table.read_bytes() == before
