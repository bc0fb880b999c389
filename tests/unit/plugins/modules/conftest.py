# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a module as Ansible would, from its options to its result."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import NamedTuple

import pytest
from ansible.module_utils import basic
from ansible_collections.mailops.postmaster.plugins.module_utils import runner


@pytest.fixture(autouse=True)
def root(monkeypatch):
    """What only root can do is done in directories of the tests' own; ``root(uid)`` says who runs it."""

    def as_uid(uid):
        monkeypatch.setattr(runner, "uid", lambda: uid)

    as_uid(0)
    return as_uid


@pytest.fixture
def run_module(monkeypatch, capsys, tmp_path):
    """``run_module(module, params, check=False, diff=False)`` gives the result, ``failed`` in any case."""

    def call(module, params, check=False, diff=False):
        internal = {"check_mode": check, "diff": diff, "remote_tmp": str(tmp_path), "keep_remote_files": False}
        arguments = {**params, **{f"_ansible_{name}": value for name, value in internal.items()}}
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode())
        monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy")
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            module.main()
        result = json.loads(capsys.readouterr().out)
        assert result.setdefault("failed", False) == bool(end.value.code)
        return result

    return call


class Run(NamedTuple):
    """How a module ended as a process of its own: its result, the seconds, and its largest size in megabytes."""

    result: dict
    seconds: float
    megabytes: float


PROCESS = """
import sys
sys.path[:0] = sys.argv[1:3]
from ansible_collections.mailops.postmaster.plugins.module_utils._system import lock, own_folder
own_folder.CLEARED = own_folder.VOLATILE = ()
lock.HOST = sys.argv[4].rpartition("/")[0] + "-run"
from ansible.module_utils import basic
with open(sys.argv[4], "rb") as file:
    basic._ANSIBLE_ARGS, basic._ANSIBLE_PROFILE = file.read(), "legacy"
from importlib import import_module
import_module("ansible_collections.mailops.postmaster.plugins.modules." + sys.argv[3]).main()
"""

# The largest size of a process counts that of its starter, too: so a small one has to start it (getrusage(2)).
MEASURE = """
import json, os, subprocess, sys
child = subprocess.Popen(sys.argv[2:])
_pid, status, usage = os.wait4(child.pid, 0)
with open(sys.argv[1], "w") as file:
    json.dump([os.waitstatus_to_exitcode(status), usage.ru_maxrss / 1024], file)
os._exit(0)
"""


@pytest.fixture
def spawn_module(tmp_path):
    """``spawn_module(name, params)``: run a module as Ansible does, in a process of its own, and measure that.

    ``params`` are the options, or all that is sent to the module, to the byte. ``before`` is Python that runs first.
    """

    def call(name, params, before=""):
        arguments = {"_ansible_remote_tmp": str(tmp_path), "_ansible_keep_remote_files": False}
        if not isinstance(params, bytes):
            params = json.dumps({"ANSIBLE_MODULE_ARGS": {**params, **arguments}}).encode()
        (tmp_path / "arguments").write_bytes(params)
        roots = [path.partition(part)[0] for path, part in ((__file__, "/tests/"), (basic.__file__, "/ansible/"))]
        roots[0] += "/.build"
        begun = time.monotonic()
        with (tmp_path / "out").open("wb") as out, (tmp_path / "err").open("wb") as err:
            module = [sys.executable, "-c", before + PROCESS, *roots, name, str(tmp_path / "arguments")]
            measure = [sys.executable, "-S", "-c", MEASURE, str(tmp_path / "usage"), *module]
            buffered = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
            subprocess.run(measure, stdout=out, stderr=err, check=True, env=buffered)
        seconds = time.monotonic() - begun
        status, megabytes = json.loads((tmp_path / "usage").read_text())
        result = json.loads((tmp_path / "out").read_text())
        assert result.setdefault("failed", False) == bool(status)
        assert "Traceback" not in (tmp_path / "err").read_text()
        return Run(result, seconds, megabytes)

    return call
