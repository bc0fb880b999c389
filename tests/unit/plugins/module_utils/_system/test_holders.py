# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who holds a socket is found whatever people do with their descriptors and processes."""

from __future__ import annotations

import os
import socket

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system import holders as module
from ansible_collections.mailops.postmaster.plugins.module_utils._system.holders import holders

UID_MIN = 1000


@pytest.fixture
def proc(tmp_path):
    """Make a process with these descriptors; its pid."""

    def make(pid, targets, uid=0):
        folder = tmp_path / str(pid) / "fd"
        folder.mkdir(parents=True)
        for number, target in enumerate(targets):
            (folder / str(number)).symlink_to(target)
        (tmp_path / str(pid) / "exe").symlink_to("/usr/sbin/exim4 (deleted)")
        os.chown(folder.parent, uid, uid)
        return pid

    make.path = str(tmp_path)
    return make


@pytest.mark.parametrize("target", ["/tmp/xyz7z", "/home/a7]", "socket:[7] (deleted)", "anon_in:7]", "socket:[77]"])
def test_only_a_socket_is_held_as_one(proc, target):
    proc(5, [target])
    assert holders({"7"}, UID_MIN, proc.path) == {"7": {}}


def test_all_that_hold_a_socket_are_found_with_their_programs(proc):
    proc(5, ["/dev/null", "socket:[7]"])
    proc(6, ["socket:[7]", "socket:[8]"], uid=UID_MIN)
    assert holders({"7", "8", "9"}, UID_MIN, proc.path) == {"7": {5: "exim4", 6: "exim4"}, "8": {6: "exim4"}, "9": {}}


def test_of_a_process_with_very_many_descriptors_the_first_are_looked_at(proc, monkeypatch):
    monkeypatch.setattr(module, "MOST", 3)
    looked = []
    monkeypatch.setattr(module, "_target", lambda link: looked.append(link) or "")
    proc(5, ["socket:[7]"] * 1000)
    assert (holders({"7"}, UID_MIN, proc.path), len(looked)) == ({"7": {}}, 3)


def test_processes_of_people_are_looked_at_last_and_only_for_so_long(proc, monkeypatch):
    times = iter([0.0, 1.0, 2.0, 99.0])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(times))
    for pid in (1, 2, 3):
        proc(pid, ["socket:[7]"], uid=UID_MIN + pid)
    for pid in (4, 5):
        proc(pid, ["socket:[7]"], uid=pid)
    assert list(holders({"7"}, UID_MIN, proc.path)["7"]) == [4, 5]


def test_a_process_that_has_ended_meanwhile_holds_nothing(proc):
    (folder := proc(5, [])) and os.rmdir(os.path.join(proc.path, str(folder), "fd"))
    assert holders({"7"}, UID_MIN, proc.path) == {"7": {}}


def test_a_socket_of_this_process_is_found():
    with socket.create_server(("127.0.0.1", 0)) as server:
        inode = str(os.fstat(server.fileno()).st_ino)
        assert os.getpid() in holders({inode}, UID_MIN)[inode]
