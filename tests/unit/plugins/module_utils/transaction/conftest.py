# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host for transactions: its files are real, its programs and its service manager are a few lines."""

from __future__ import annotations

import os

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction import timer
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction.end import end
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction.transaction import Transaction
from fake_system import FakeSystem

OLD, NEW = "interfaces = loopback\n", "interfaces = all\n"


@pytest.fixture
def make_system(tmp_path, monkeypatch):
    """``make_system(kind, ...)``: a host of that kind, whose units of systemd are in a directory of their own."""
    monkeypatch.setattr(timer, "SYSTEMD", str(tmp_path))
    monkeypatch.setattr(timer, "UNITS", str(tmp_path / "units"))
    (tmp_path / "units").mkdir()
    return lambda kind, *given: kind(*given)


@pytest.fixture
def system(make_system):
    return make_system(FakeSystem)


@pytest.fixture
def live(tmp_path):
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "main.cf").write_text(OLD)
    (folder / "master.cf").write_text("untouched\n")
    return folder


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


@pytest.fixture
def finish(system, state):
    def run(wanted, transaction="", check_mode=False):
        return end(system, {"state": wanted, "transaction": transaction, "state_dir": str(state)}, check_mode)

    return run


@pytest.fixture
def transact(system, live, tmp_path):
    def run(check_mode=False, content=NEW, host=system, **changes):
        file = {"path": str(live / "main.cf"), "content": content, "owner": str(os.getuid()), "group": str(os.getgid())}
        table = {**file, "path": str(live / "table"), "content": "a b\n", "compile": ["compile", "{path}"]}
        params = {
            "files": [{"mode": "0644", "compile": [], "product": None, **item} for item in (file, table)],
            "stage": str(live),
            "check": [["checker", "{stage}"]],
            "service": {
                "name": "mta",
                "reload": ["reload", "mta"],
                "restart": ["start", "mta"],
                "restart_on": [{"path": str(live / "main.cf"), "pattern": "^interfaces"}],
            },
            "answers": [],
            "derived": [],
            "aliases": None,
            "replaces": None,
            "confirm_timeout": 0,
            "reason": ["log", "{since}"],
            "timeout": 0.5,
            "state_dir": str(tmp_path / "state"),
            **changes,
        }
        return Transaction(host, params).run(check_mode)

    return run
