# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A change that is killed, or whose disk fails, at each of its steps, and what is there afterwards."""

from __future__ import annotations

import json
import os
import pathlib
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import Lab
from testinfra.utils.ansible_runner import AnsibleRunner

ROOT = pathlib.Path(__file__).parents[2]
STEPS = ROOT / "tests" / "unit" / "plugins" / "module_utils" / "transaction" / "steps.py"
PACKAGE = "ansible_collections/mailops/postmaster/plugins/module_utils"
KILLED = 9
PLACE = "/root/crash.zip"
# of how many steps each trial is made; all, where that is asked for
CHOSEN = 0 if os.environ.get("MAILOPS_TORTURE") else 5


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    """The program that is killed, with what kills it, as one file that Python runs."""
    path = tmp_path_factory.mktemp("crash") / "crash.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.write(ROOT / "tests" / "crash" / "on_host.py", "__main__.py")
        packed.write(STEPS, "steps.py")
        for source in (ROOT / "plugins" / "module_utils").rglob("*.py"):
            packed.write(source, f"{PACKAGE}/{source.relative_to(ROOT / 'plugins' / 'module_utils')}")
    return path


@pytest.fixture(scope="session")
def crashed(program, request):
    """What happened on each host; the hosts are killed all at the same time, for most of it is waiting."""
    runner = AnsibleRunner(request.config.option.ansible_inventory)
    patterns = request.config.option.hosts.replace("ansible://", "").split(",")
    names = [name for pattern in patterns for name in runner.get_hosts(pattern)]
    with ThreadPoolExecutor(len(names)) as pool:
        return dict(zip(names, pool.map(lambda name: crash(Lab(runner, name), program), names), strict=True))


def crash(lab, program):
    """Runs the program on one host."""
    host, backend = lab.runner.get_host(lab.name), lab.data()
    copied = host.ansible("copy", {"src": str(program), "dest": PLACE}, check=False, become=True)
    assert "dest" in copied, copied
    transaction = backend["mta_backend_transaction"]
    plain = {"owner": "root", "group": "root", "mode": "0644", "compile": [], "product": None}
    files = [{**plain, **template} for template in transaction["templates"]]
    aliases = {"path": "/etc/aliases", "strategy": "merge", "compiled": None}
    params = {
        **{name: transaction[name] for name in ("stage", "check", "service", "reason")},
        "files": files,
        "aliases": {**aliases, "rebuild": backend["mta_backend_aliases_rebuild"]},
        "answers": [{"address": "127.0.0.1", "port": 25, "greeting": "^220"}],
        "timeout": 20,
        "state_dir": "/var/lib/mailops-postmaster",
    }
    work = {"params": params, "at": CHOSEN, "recipient": "postmaster@{L}".format(**lab.names)}
    work["edits"] = {file["path"]: "dnl" if file["path"].endswith(".mc") else "#" for file in files}
    done = host.run("printf %%s %s | sudo python3 %s", json.dumps(work), PLACE)
    assert done.rc == 0, done.stderr
    return json.loads(done.stdout)


def cells(crashed, lab, *trials):
    found = [cell for cell in crashed[lab.name]["cells"] if cell["trial"] in trials]
    steps = sorted({cell["step"] for cell in found})
    print(f"{lab.name}: {', '.join(trials)}: {len(steps)} of {crashed[lab.name]['steps']} steps, {len(found)} cells")
    assert found
    return found


def test_a_kill_leaves_what_heals_by_itself_or_by_the_next_run(crashed, lab):
    for cell in cells(crashed, lab, "timer", "run"):
        healed = {"timer": "old", "run": "new"}[cell["trial"]]
        assert (cell["said"], cell["found"], cell["left"]) == (KILLED, healed, []), cell


def test_a_disk_that_is_full_is_a_clear_error_and_the_old_configuration_stays(crashed, lab):
    for cell in cells(crashed, lab, "full"):
        assert "No space left on device" in cell["said"] or cell["found"] == "new", cell
        assert (cell["found"], cell["left"]) in (("old", []), ("new", [])), cell
    assert any(cell["found"] == "old" for cell in cells(crashed, lab, "full"))


def test_a_disk_that_cannot_be_written_is_a_clear_error_and_the_next_run_heals_it(crashed, lab):
    for cell in cells(crashed, lab, "read_only"):
        assert (cell["found"], cell["left"]) == ("new", []), cell
    assert any("Read-only file system" in cell["said"] for cell in cells(crashed, lab, "read_only"))


def test_after_each_of_them_postmaster_gets_mail(crashed, lab):
    lab.settle(lab.name)
    sent = [cell["token"] for cell in crashed[lab.name]["cells"]]
    found = lab.tokens(lab.name, "alice")
    assert [found[token] for token in sent] == [1] * len(sent)
