# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A change whose journals are in another directory of state keeps its way back until it has ended."""

from __future__ import annotations

import os
import pathlib

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils.errors import UserError
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction import timer
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction.end import end
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction.store import Store

# the conditions of the unit for the boot, as versions of the collection have written them
UNITS = {
    "the first": "ConditionPathExists={}/pending.json\n",
    "the last before": "ConditionPathExists=|{0}/pending.json\nConditionPathExists=|{0}/undoing.json\n",
}
OPEN = ("pending.json", "undoing.json", "not-in-force.json")
ENDED = ("in-force.json", "pending.bad-1.json", "lock")
UNREADABLE = {
    "an empty file": lambda path: path.write_text(""),
    "the unit of somebody else": lambda path: path.write_text("[Unit]\nDescription=mine\n"),
    "a FIFO": os.mkfifo,
    "a directory": os.mkdir,
    "a link to nothing that is a file": lambda path: path.symlink_to("/dev/null"),
}
OTHER = "banner = b\n"


@pytest.fixture
def unit(system):
    assert system
    return pathlib.Path(timer.UNITS, f"{timer.UNIT}-at-boot.service")


@pytest.fixture
def other(tmp_path):
    """Another directory of state."""
    folder = tmp_path / "other"
    folder.mkdir(0o700)
    return folder


@pytest.fixture
def left(unit, other):
    """``left(text)``: the unit that names the other directory."""
    return lambda text=UNITS["the last before"]: unit.write_text("[Unit]\n" + text.format(other))


@pytest.fixture
def attempts(transact, system, state):
    """What can be tried in a directory of state, each with its name."""
    given = {"transaction": "", "state_dir": str(state)}
    return {
        "apply": lambda: transact(content=OTHER),
        "apply in check mode": lambda: transact(content=OTHER, check_mode=True),
        "confirm": lambda: end(system, {**given, "state": "confirm"}, False),
        "rollback": lambda: end(system, {**given, "state": "rollback"}, False),
        "rollback in check mode": lambda: end(system, {**given, "state": "rollback"}, True),
    }


def everything(*tops):
    return {str(path): path.is_file() and path.read_bytes() for top in tops for path in pathlib.Path(top).rglob("*")}


ATTEMPTS = ("apply", "apply in check mode", "confirm", "rollback", "rollback in check mode")


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_nothing_is_changed_while_a_change_in_another_directory_has_not_ended(
    transact, attempts, system, other, live, attempt
):
    name = transact(confirm_timeout=600, state_dir=str(other))["transaction"]
    before = everything(live, other, timer.UNITS)
    system.ran.clear()
    with pytest.raises(UserError) as refused:
        attempts[attempt]()
    assert str(refused.value) == (
        f"a change in another state directory, {other}, has not ended on this host. Nothing was changed."
        f" Confirm it or roll it back with state_dir: {other}, or wait until the host rolls it back"
    )
    assert everything(live, other, timer.UNITS) == before
    assert not [argv for argv in system.ran if argv[0] == "systemd-run" or "stop" in argv]
    given = {"state": "rollback", "transaction": name, "state_dir": str(other)}
    assert end(system, given, False)["state"] == "rolled_back"


@pytest.mark.parametrize("attempt", ATTEMPTS)
@pytest.mark.parametrize("text", UNITS)
@pytest.mark.parametrize("name", OPEN)
def test_what_has_not_ended_is_known_by_its_files_whatever_version_set_the_unit(
    attempts, left, other, name, text, attempt
):
    (other / name).write_text("{")
    left(UNITS[text])
    with pytest.raises(UserError, match=f"{other}, has not ended"):
        attempts[attempt]()


@pytest.mark.parametrize("name", [*ENDED, ""])
def test_the_units_of_a_change_that_has_ended_are_replaced(transact, system, left, unit, other, state, name):
    if name:
        (other / name).write_text("{")
    else:
        other.rmdir()
    left()
    assert transact(confirm_timeout=600)["state"] == "pending"
    assert f"{state}/pending.json" in unit.read_text()
    assert end(system, {"state": "confirm", "transaction": "", "state_dir": str(state)}, False)["state"] == "confirmed"
    assert not unit.exists()


@pytest.mark.parametrize("attempt", ATTEMPTS)
@pytest.mark.parametrize("there", UNREADABLE)
def test_a_unit_that_does_not_say_whose_it_is_is_named(attempts, unit, live, there, attempt):
    UNREADABLE[there](unit)
    before = everything(live)
    with pytest.raises(UserError, match=r"Nothing was changed\. Remove that file if no change is") as refused:
        attempts[attempt]()
    assert str(unit) in str(refused.value)
    assert everything(live) == before


@pytest.mark.parametrize("state_of", ["confirm", "rollback"])
@pytest.mark.parametrize("there", UNREADABLE)
def test_a_unit_that_cannot_be_read_stops_no_end_of_the_change_that_is_pending_here(
    transact, attempts, unit, there, state_of
):
    transact(confirm_timeout=600)
    unit.unlink()
    UNREADABLE[there](unit)
    assert attempts[state_of]()["state"] in ("confirmed", "rolled_back")


def test_a_directory_whose_files_cannot_be_seen_counts_as_one_with_a_change(attempts, left, other, monkeypatch):
    lstat = os.lstat

    def failing(path, **more):
        if os.fspath(path) == str(other / "undoing.json"):
            raise OSError(5, "Input/output error", path)
        return lstat(path, **more)

    left()
    monkeypatch.setattr(os, "lstat", failing)
    with pytest.raises(UserError, match=r"undoing\.json: Input/output error.*Nothing was changed"):
        attempts["apply"]()


@pytest.mark.parametrize("spelling", ["state/", "state/../state", "way/state"])
def test_another_spelling_of_the_directory_is_the_same(transact, tmp_path, spelling):
    (tmp_path / "way").symlink_to(tmp_path)
    transact(confirm_timeout=600)
    assert transact(content=OTHER, confirm_timeout=600, state_dir=f"{tmp_path}/{spelling}")["state"] == "pending"


def test_a_run_that_has_nothing_to_change_is_not_refused(transact, other):
    transact(confirm_timeout=600, state_dir=str(other))
    assert transact()["state"] == "unchanged"


def test_a_change_in_another_directory_that_begins_during_the_check_is_seen(transact, system, left, other, live):
    def begun(argv):
        if argv[0] == "checker":
            (other / "pending.json").write_text("{")
            left()
        return False

    system.broken = begun
    before = everything(live)
    with pytest.raises(UserError, match=f"{other}, has not ended"):
        transact(confirm_timeout=600)
    assert everything(live) == before


def test_an_end_leaves_the_units_that_another_directory_has_set_meanwhile(system, left, unit, state):
    own = Store(str(state))
    way = timer.Timer(system, own)
    with own.lock():
        way.arm("1-2", 600, b"zip")
        left()
        system.ran.clear()
        way.disarm()
    assert (unit.exists(), system.ran, (state / "undo.zip").exists()) == (True, [], False)
