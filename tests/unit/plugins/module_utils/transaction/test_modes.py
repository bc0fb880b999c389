# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every file and directory that a change makes has the same mode, whatever the umask of the connection is."""

from __future__ import annotations

import os
import pathlib

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system.host import Host
from ansible_collections.mailops.postmaster.plugins.module_utils.queue.saved import Saved
from ansible_collections.mailops.postmaster.plugins.module_utils.queue.spool import Queued
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction import timer
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction.end import end
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction.packages import Packages, Plan

UMASKS = [0o000, 0o022, 0o077]


@pytest.fixture(autouse=True, params=UMASKS, ids=lambda mask: f"{mask:03o}")
def umask(request, live, system):
    """From here on; what is there already has safe modes."""
    assert system
    live.chmod(0o755)
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes(*tops):
    """Each path below some directories, by its name, with the mode of what it is; links are not followed."""
    found = {}
    for top in tops:
        for folder, folders, names in os.walk(top):
            for name in [*folders, *names]:
                path = pathlib.Path(folder, name)
                if not path.is_symlink():
                    found[str(path.relative_to(top.parent))] = f"{path.lstat().st_mode & 0o7777:03o}"
    return found


@pytest.fixture
def compiling(system):
    """The host, on which real programs compile: they have the umask that they are given."""
    run = system.run

    def with_programs(argv, stdin="", timeout=30.0):
        if argv[0] == "compile":
            return Host().run(["sh", "-c", 'echo compiled >"$1.db"; mkdir "$1.folder"', "compile", argv[1]])
        return run(argv, stdin, timeout)

    system.run = with_programs
    return system


def test_a_transaction_and_its_timer_and_its_end(transact, compiling, live, tmp_path):
    owner = {"owner": str(os.getuid()), "group": str(os.getgid()), "product": None}
    live.chmod(0o755)
    files = [
        {**owner, "path": str(live / "new" / "deep" / "open"), "content": "x\n", "mode": "0644", "compile": []},
        {**owner, "path": str(live / "strict"), "content": "x\n", "mode": "0640", "compile": ["compile", "{path}"]},
        {**owner, "path": str(live / "program"), "content": "x\n", "mode": "0755", "compile": ["compile", "{path}"]},
        {**owner, "path": str(live / "main.cf"), "content": "x\n", "mode": "0600", "compile": []},
    ]
    (live / "main.cf").chmod(0o644)
    (live / "master.cf").chmod(0o644)
    aliases = {"path": str(live / "aliases"), "strategy": "merge", "compiled": None, "rebuild": []}
    aliases["entries"] = {"postmaster": "alice"}
    transact(files=files, aliases=aliases, confirm_timeout=600)
    units = pathlib.Path(timer.UNITS)
    assert modes(live, tmp_path / "state", units) == {
        "etc/.main.cf.before": "644",
        "etc/aliases": "644",
        "etc/main.cf": "600",
        "etc/master.cf": "644",
        "etc/new": "755",
        "etc/new/deep": "755",
        "etc/new/deep/open": "644",
        "etc/program": "755",
        "etc/program.db": "644",
        "etc/strict": "640",
        "etc/strict.db": "640",
        "state/in-force.json": "600",
        "state/.mailops-postmaster": "600",
        "state/lock": "600",
        "state/pending.json": "600",
        "state/undo.zip": "600",
        "units/mailops-postmaster-undo-at-boot.service": "644",
        "units/sysinit.target.wants": "755",
    }
    assert modes(tmp_path)[f"{tmp_path.name}/state"] == "700"
    end(compiling, {"state": "rollback", "transaction": "", "state_dir": str(tmp_path / "state")}, False)
    (live / "master.cf").unlink()
    found = modes(live, tmp_path / "state")
    assert {mode for path, mode in found.items() if path.endswith(".json")} == {"600"}
    assert {path: mode for path, mode in found.items() if not path.endswith(".json")} == {
        "etc/main.cf": "644",
        "etc/new": "755",
        "etc/new/deep": "755",
        "state/.mailops-postmaster": "600",
        "state/lock": "600",
        "state/transactions": "700",
    }


def test_the_stage_in_which_the_commands_work(transact, system, live):
    """The MTA's check may read it as another account does."""
    seen = {}

    def look(argv):
        if argv[0] == "checker":
            seen.update(modes(pathlib.Path(argv[1]).parent))
        return False

    system.broken = look
    for path in (live, *live.iterdir()):
        path.chmod(0o755)
    path = str(live / "new" / "file")
    file = {"path": path, "content": "x\n", "owner": str(os.getuid()), "group": str(os.getgid()), "mode": "0644"}
    transact(files=[{**file, "compile": [], "product": None}])
    assert len({path.partition("/")[0] for path in seen}) == 1
    assert {path.partition("/")[2]: mode for path, mode in seen.items()} == {
        "stage": "755",
        "stage/main.cf": "755",
        "stage/master.cf": "755",
        "stage/new": "755",
        "stage/new/file": "644",
    }


def test_programs_that_are_run():
    assert Host().run(["sh", "-c", "umask"]).out.strip() == "0022"


def test_the_packages_and_the_mail_of_a_change_of_the_mta(system, tmp_path):
    state = tmp_path / "state"
    os.mkdir(state)
    state.chmod(0o700)

    Packages(system, str(state / "packages")).fetch(Plan((), (), {}, ()))
    saved = Saved(Host(), str(state / "queue"))
    saved.save(type("Empty", (), {"entries": lambda _self: []})())
    saved.write(Queued("postfix", "q1", "", ("postmaster@example.org",), b"x\n"))
    assert modes(state) == {
        "state/packages": "755",
        "state/packages/partial": "755",
        "state/queue": "700",
        "state/queue/postfix.q1": "600",
    }
