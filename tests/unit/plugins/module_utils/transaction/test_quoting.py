# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever the directory of state is called, systemd is told of that directory and of no other."""

from __future__ import annotations

import os
import pathlib
import re
import sys

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils.errors import UserError
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction import timer
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction.end import end
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction.store import Store

NAMES = [
    "state",
    "mail ops",
    " at both ends ",
    "100%",
    "%n %% %H",
    "$HOME",
    "a $HOME ${HOME} $$ b",
    'a "quoted" name',
    "'quoted'",
    'it\'s "both"',
    "back\\slash",
    "\\x41\\n\\",
    "a ; b",
    ";",
    "#comment",
    "größe 配置",
]


def words(text):
    """The words of a setting, as systemd.syntax(7) has them."""
    return [
        re.sub(r"\\(.)|\"", lambda found: found[1] or "", word)
        for word in re.findall(r"(?:[^\s\"\\]|\\.|\"(?:[^\"\\]|\\.)*\")+", text)
    ]


def specifiers(text):
    """A value after its specifiers (systemd.unit(5)) were replaced; they are things that no path means."""
    return re.sub("%(.?)", lambda found: "%" if found[1] == "%" else "<specifier>", text)


def variables(text):
    """A word of a command after its variables (systemd.service(5)) were replaced."""
    return re.sub(r"\$(\$|\{\w*\}|\w*)", lambda found: "$" if found[1] == "$" else "<variable>", text)


@pytest.fixture(params=NAMES)
def folder(request, tmp_path):
    return f"{tmp_path}/{request.param}"


@pytest.fixture
def way(system, folder):
    store = Store(folder)
    with store.lock():
        way = timer.Timer(system, store)
        way.arm("1-2", 600, b"zip")
        way.watch("1-2")
    return way


def test_the_unit_for_the_boot_runs_the_program_that_is_kept(way, folder):
    assert way
    unit = pathlib.Path(timer.UNITS, f"{timer.UNIT}-at-boot.service").read_text()
    settings = [line.partition("=")[::2] for line in unit.splitlines() if "=" in line]
    found = {name: value for name, value in settings if not name.startswith("Condition")}
    program, *given = [specifiers(word) for word in words(found["ExecStart"])]
    assert [program, *map(variables, given)] == [sys.executable, f"{folder}/undo.zip", folder, "--boot"]
    assert [specifiers(word) for word in words(found["RequiresMountsFor"])] == [folder]
    conditions = [specifiers(value) for name, value in settings if name == "ConditionPathExists"]
    assert conditions == [f"|{folder}/pending.json", f"|{folder}/undoing.json"]


def test_the_timer_and_the_watch_run_the_program_that_is_kept(way, system, folder):
    assert way
    started = [argv for argv in system.ran if argv[0] == "systemd-run"]
    assert len(started) == 2
    for argv in started:
        program, *given = argv[argv.index(sys.executable) :]
        assert [program, *map(variables, given)] == [sys.executable, f"{folder}/undo.zip", folder, "--transaction=1-2"]


def test_where_systemd_does_not_run_nothing_is_quoted(system, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(timer, "SYSTEMD", str(tmp_path / "nothing"))
    store = Store(folder)
    with store.lock():
        timer.Timer(system, store).arm("1-2", 1_000_000, b"zip")
    given = [sys.executable, f"{folder}/undo.zip", folder, "--transaction=1-2", "--after=1000000"]
    assert [argv[-5:] for argv in system.ran] == [given]


def test_another_run_reads_from_the_unit_whose_it_is(way, system, folder, tmp_path):
    assert way
    pathlib.Path(folder, "pending.json").write_text("{")
    given = {"state": "rollback", "transaction": "", "state_dir": str(tmp_path / "another")}
    with pytest.raises(UserError) as refused:
        end(system, given, False)
    assert f"state_dir: {os.path.abspath(folder)}, or wait" in str(refused.value)


@pytest.mark.parametrize("seconds", [1, 45, 600, 86400, 1_000_000, 123_456_789])
def test_systemd_is_told_the_seconds_in_digits(system, state, seconds):
    store = Store(str(state))
    with store.lock():
        timer.Timer(system, store).arm("1-2", seconds, b"zip")
    assert f"--on-active={seconds}" in system.ran[-1]
