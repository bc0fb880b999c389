# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A directory of state is the collection's own, and survives a boot; any other one is refused by name."""

from __future__ import annotations

import contextlib

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system import mounts, own_folder
from ansible_collections.mailops.postmaster.plugins.module_utils._system.own_folder import (
    claim,
    is_own,
    refuse_foreign,
    refuse_volatile,
)
from ansible_collections.mailops.postmaster.plugins.module_utils.errors import UserError

NAMES = {
    "lock": True,
    "undo.zip": True,
    "policy-rc.d": True,
    "packages": True,
    "queue": True,
    "queue.unread": True,
    "transactions": True,
    "stage-a1b2c3_z": True,
    "pending.json": True,
    "undoing.json": True,
    "pending.bad-12.json": True,
    "in-force.json": True,
    "not-in-force.json": True,
    ".pending.json.next": True,
    ".policy-rc.d.before": True,
    "..mailops-postmaster.next": True,
    ".aside-0123456789abcdef": True,
    ".mailops-postmaster": True,
    "lost+found": True,
    "stage-web": False,
    "stage-a1b2c3_z4": False,
    "stage-A1B2C3_Z": False,
    "pending.json.old": False,
    "pending.bad.json": False,
    "queue.1": False,
    "lock\n": False,
    ".main.cf.next": False,
    ".aside-x": False,
    ".profile": False,
    "README": False,
}


@pytest.fixture
def state(tmp_path):
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    return folder


@pytest.mark.parametrize(("name", "own"), NAMES.items())
def test_only_what_the_collection_makes_is_its_own(name, own):
    assert is_own(name) == own


@pytest.mark.parametrize("name", [name for name, own in NAMES.items() if not own])
def test_a_directory_with_anything_else_is_refused_by_name(state, name):
    (state / "lock").write_text("")
    (state / name).write_text("")
    with pytest.raises(UserError, match=f"{state} is used for something else: it has {name}. Nothing was changed"):
        refuse_foreign(str(state))


def test_three_of_many_names_are_shown(state):
    for name in "abcde":
        (state / name).mkdir()
    with pytest.raises(UserError, match=r"it has a, b, c and 2 more\. Nothing"):
        refuse_foreign(str(state))


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o711, 0o701, 0o710])
def test_a_directory_that_others_can_enter_or_list_is_refused_with_its_mode(state, mode):
    state.chmod(mode)
    with pytest.raises(UserError, match=f"mode {mode:04o}.*Nothing was changed.*0700"):
        refuse_foreign(str(state))


def test_what_an_earlier_version_has_made_is_taken_without_a_marker(state):
    for name in (name for name, own in NAMES.items() if own and name != own_folder.MARKER):
        (state / name).write_text("")
    refuse_foreign(str(state))


def test_a_directory_that_is_not_there_is_not_refused(tmp_path):
    refuse_foreign(str(tmp_path / "none" / "state"))
    assert not list(tmp_path.iterdir())


def test_a_directory_with_a_marker_is_known_whatever_else_comes_there_later(state):
    refuse_foreign(str(state))
    claim(str(state))
    (state / "README").write_text("")
    refuse_foreign(str(state))
    assert (state / own_folder.MARKER).stat().st_mode & 0o777 == 0o600


def test_the_default_directory_of_an_earlier_version_may_have_a_note_of_the_operator_s(state, monkeypatch):
    monkeypatch.setattr(own_folder, "FOLDER", str(state))
    (state / "README").write_text("")
    refuse_foreign(str(state))


def test_no_room_for_the_marker_stops_nobody(state, monkeypatch):
    def full(*_given):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(own_folder, "write_image", full)
    claim(str(state))
    assert not list(state.iterdir())


# file systems by their place and type, a directory, and why that does not survive a boot
FILE_SYSTEMS = {
    "a disk": ({"/": "ext4"}, "/srv/state", ""),
    "a container": ({"/": "overlay"}, "/srv/state", ""),
    "memory": ({"/": "ext4", "/srv": "tmpfs"}, "/srv/state", "its file system is tmpfs"),
    "memory itself": ({"/": "ext4", "/srv/state": "ramfs"}, "/srv/state", "its file system is ramfs"),
    "memory with a similar name": ({"/": "ext4", "/srv/sta": "tmpfs"}, "/srv/state", ""),
    "a disk below memory": ({"/": "tmpfs", "/srv": "xfs"}, "/srv/state", ""),
    "memory below a disk": (
        {"/": "ext4", "/srv": "xfs", "/srv/state": "tmpfs"},
        "/srv/state",
        "its file system is tmpfs",
    ),
    "what a boot empties": ({"/": "ext4"}, "/run/mail/state", "a boot empties /run"),
    "temporary files": ({"/": "ext4"}, "/tmp/state", "a boot empties /tmp"),
    "shared memory": ({"/": "ext4"}, "/dev/shm/state", "a boot empties /dev/shm"),
    "a similar name": ({"/": "ext4"}, "/running/state", ""),
    "nothing known": ({}, "/srv/state", ""),
}


@pytest.mark.parametrize(("there", "folder", "why"), FILE_SYSTEMS.values(), ids=FILE_SYSTEMS)
def test_a_directory_that_a_boot_removes_is_refused(tmp_path, monkeypatch, there, folder, why):
    lines = [f"1 2 0:3 / {place} rw shared:1 - {kind} x rw\n" for place, kind in there.items()]
    (tmp_path / "mounts").write_text("".join(lines))
    monkeypatch.undo()
    monkeypatch.setattr(mounts, "MOUNTS", str(tmp_path / "mounts"))
    said = f"the directory of state {folder} does not survive a boot: {why}. Nothing was changed"
    with pytest.raises(UserError, match=said) if why else contextlib.nullcontext():
        refuse_volatile(folder)


def test_a_link_into_memory_is_followed(tmp_path, monkeypatch):
    monkeypatch.undo()
    (tmp_path / "state").symlink_to("/run/mail")
    with pytest.raises(UserError, match="does not survive a boot: a boot empties /run"):
        refuse_volatile(f"{tmp_path}/state/deep")
