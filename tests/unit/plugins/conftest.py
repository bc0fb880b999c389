# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers on the loopback interface, one for each test that asks."""

from __future__ import annotations

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system import lock, own_folder
from ansible_collections.mailops.postmaster.plugins.module_utils._system.remarks import remarks
from mail_servers import Loop


@pytest.fixture(autouse=True)
def nothing_to_tell():
    """A test begins as a module does: another test may have left remarks that nobody has asked for."""
    remarks()


@pytest.fixture(autouse=True)
def place_of_its_own(tmp_path, monkeypatch):
    """A test has a host of its own, and what it keeps is on a disk wherever the directory of the tests is."""
    monkeypatch.setattr(lock, "HOST", str(tmp_path.parent / f"{tmp_path.name}-run"))
    monkeypatch.setattr(own_folder, "CLEARED", ())
    monkeypatch.setattr(own_folder, "VOLATILE", ())


@pytest.fixture(scope="session")
def loop():
    return Loop()


@pytest.fixture
def serve(loop):
    """``serve(factory)``: start a server, a new protocol of ``factory`` for each connection, and return its port."""
    running = []

    def start(factory, host="127.0.0.1"):
        server, port = loop.start(factory, host)
        running.append(server)
        return port

    yield start
    for server in running:
        loop.stop(server)
