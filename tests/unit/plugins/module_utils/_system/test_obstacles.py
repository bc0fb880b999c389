# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in the way of replacing a file is named before anything is changed."""

from __future__ import annotations

import fcntl
import os
from types import SimpleNamespace

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system import mounts
from ansible_collections.mailops.postmaster.plugins.module_utils._system import obstacles as module
from ansible_collections.mailops.postmaster.plugins.module_utils._system.mounts import mount_points
from ansible_collections.mailops.postmaster.plugins.module_utils._system.obstacles import (
    Place,
    Wanted,
    explain,
    no_room,
    obstacle,
    obstacles,
)
from in_the_way import a_socket, fifo

# What was seen of a file, and what is said of it.
PLACES = {
    "nothing": ({}, ""),
    "a circle": ({"circle": True}, "is a link in a circle of links"),
    "dangling": ({"target": "/gone", "dangling": True}, "is a link to /gone, which does not exist"),
    "a user's": ({"doubt": "/home/alice belongs to alice"}, "is not safe to write: /home/alice belongs to alice, who"),
    "a link to one": ({"target": "/h/x", "doubt": "/h belongs to a"}, "is not safe to write, and leads to /h/x: /h"),
    "a directory": ({"kind": "a directory"}, "is a directory: move it away"),
    "two names": ({"names": 2}, "has 2 names"),
    "below a file": ({"not_a_folder": "/etc/x"}, "has a directory that is none: /etc/x is a file"),
    "no directory": ({"missing": "/etc/no"}, "has no directory: /etc/no does not exist"),
    "a long name": ({"target": "/etc/" + "x" * 248}, "has a name that is too long: allowed: 247 octets"),
    "the longest": ({"path": "/etc/" + "x" * 247, "target": "/etc/" + "x" * 247}, ""),
    "a long directory": ({"target": "/" + "x" * 256 + "/y"}, "has a name that is too long"),
    "long in all": ({"target": "/y" * 2100}, "has a name that is too long"),
    "octets count": ({"target": "/etc/" + "\u00e9" * 124}, "has a name that is too long"),
    "a mount point": ({"mounted": True}, "is a mount point, which cannot be replaced"),
    "read-only": ({"read_only": True}, "is on a read-only file system"),
    "immutable": ({"flags": ("immutable (chattr +i)",)}, "is immutable (chattr +i): take that away with chattr"),
    "both": ({"flags": tuple(module.FLAGS.values())}, "is immutable (chattr +i) and append-only (chattr +a)"),
    "in an immutable directory": (
        {"folder": "/etc", "folder_flags": ("immutable (chattr +i)",)},
        "is in /etc, which is immutable (chattr +i)",
    ),
    "not writable": ({"folder": "/etc", "writable": False}, "is in /etc, in which this account may make no file"),
}


@pytest.mark.parametrize(("seen", "said"), PLACES.values(), ids=PLACES)
def test_each_obstacle_is_named(seen, said):
    found = obstacle(Place(**{"path": "/etc/file", "target": "/etc/file", **seen}), parents=False)
    assert found.startswith(said) if said else not found


def test_a_directory_that_is_made_is_no_obstacle():
    assert not obstacle(Place("/a/b", "/a/b", missing="/a"), parents=True)


ROOM = {
    "enough": ([(1, 100, 60), (1, 100, 40)], []),
    "too little together": ([(1, 100, 60), (1, 100, 41)], ["/d1 has no room: 101 octets are needed, and 100 are free"]),
    "on another disk": ([(1, 100, 60), (2, 100, 60)], []),
    "too little on one": ([(1, 100, 60), (2, 50, 60)], ["/d2 has no room: 60 octets are needed, and 50 are free"]),
}


@pytest.mark.parametrize(("places", "said"), ROOM.values(), ids=ROOM)
def test_what_the_disks_need_is_added_up(places, said):
    found = no_room(
        (Place("", folder=f"/d{device}", device=device, free=free), octets) for device, free, octets in places
    )
    assert found == said


def test_a_disk_without_room_for_one_more_file_is_named():
    assert no_room([(Place("", folder="/d", files_left=False), 0)]) == ["/d can take no more files"]


MADE = {
    "a FIFO": (fifo, "is a FIFO: move it away"),
    "a socket": (a_socket, "is a socket: move it away"),
    "a directory": (lambda path: path.mkdir(), "is a directory: move it away"),
    "a dangling link": (lambda path: path.symlink_to("gone"), "which does not exist"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "is a link in a circle of links"),
    "a link to a directory": (lambda path: path.symlink_to("."), "is a directory, and leads to"),
    "no obstacle": (lambda path: path.write_text(""), ""),
    "nothing": (lambda _path: None, ""),
}


@pytest.mark.parametrize(("make", "said"), MADE.values(), ids=MADE)
def test_what_is_there_is_seen_and_left_as_it_is(tmp_path, make, said):
    make(tmp_path / "file")
    before = sorted(os.listdir(tmp_path))
    found = obstacles([Wanted(str(tmp_path / "file"))])
    assert [text for text in found if said in text] == found
    assert bool(found) == bool(said)
    assert sorted(os.listdir(tmp_path)) == before


REPLACED_ITSELF = {
    "a link": (lambda path: path.symlink_to("gone"), ""),
    "a link to itself": (lambda path: path.symlink_to(path.name), ""),
    "a directory": (lambda path: path.mkdir(), "is a directory: move it away"),
    "a file": (lambda path: path.write_text(""), ""),
}


@pytest.mark.parametrize(("make", "said"), REPLACED_ITSELF.values(), ids=REPLACED_ITSELF)
def test_a_link_that_is_replaced_itself_is_no_obstacle(tmp_path, make, said):
    make(tmp_path / "file")
    found = obstacles([Wanted(str(tmp_path / "file"), itself=True)])
    assert [text.partition("/file ")[2] for text in found] == [said] * bool(said)


def test_an_error_is_told_with_what_stands_in_the_way(tmp_path):
    (tmp_path / "file").mkdir()
    path, said = str(tmp_path / "file"), "Device or resource busy"
    assert (
        explain(OSError(16, said, "/x/.file.next", None, path))
        == f"{path}: {said}; {path} is a directory: move it away"
    )
    assert explain(OSError(16, said, str(tmp_path / "other"))) == f"{tmp_path}/other: {said}"
    assert explain(OSError(5, "no", "dpkg")) == "dpkg: no"
    assert explain(OSError("no")) == "the disk: no"


PATHS = {
    "no directory": ("none/file", "none does not exist, make it first"),
    "a file above it": ("plain/file", "plain is a file"),
    "a long name": ("x" * 250, "has a name that is too long"),
    "a long directory": ("x" * 300 + "/file", "has a name that is too long"),
    "a long path": ("/".join(["y" * 200] * 25), "has a name that is too long"),
}


@pytest.mark.parametrize(("path", "said"), PATHS.values(), ids=PATHS)
def test_a_path_that_leads_nowhere_is_seen(tmp_path, path, said):
    (tmp_path / "plain").write_text("")
    (found,) = obstacles([Wanted(str(tmp_path / path))])
    assert said in found


def test_mount_points_are_those_of_the_kernel_s_list_with_its_escapes(tmp_path, monkeypatch):
    line = "36 35 98:0 / {} rw,noatime master:1 - ext3 /dev/root rw\n"
    (tmp_path / "mountinfo").write_text(line.format(r"/etc/a\040b\134c") + line.format(tmp_path / "file"))
    monkeypatch.setattr(mounts, "MOUNTS", str(tmp_path / "mountinfo"))
    assert mount_points() == {"/etc/a b\\c", str(tmp_path / "file")}
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("file")
    for name in ("file", "link"):
        (found,) = obstacles([Wanted(str(tmp_path / name))])
        assert "is a mount point" in found
    monkeypatch.setattr(mounts, "MOUNTS", str(tmp_path / "none"))
    assert not obstacles([Wanted(str(tmp_path / "file"))])


@pytest.mark.parametrize("bit", module.FLAGS)
@pytest.mark.parametrize("folder", [True, False])
def test_the_flags_of_chattr_are_those_that_the_kernel_says(tmp_path, monkeypatch, bit, folder):
    (tmp_path / "file").write_text("")

    def ioctl(handle, request, bits):
        assert request == module.GETFLAGS
        if os.path.isdir(f"/proc/self/fd/{handle}") == folder:
            bits[0] = bit

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    (found,) = obstacles([Wanted(str(tmp_path / "file"))])
    assert module.FLAGS[bit] in found


def test_a_file_system_that_cannot_be_written_or_is_full_is_seen(tmp_path, monkeypatch):
    real = os.statvfs(tmp_path)
    fields = {name: getattr(real, name) for name in dir(real) if name.startswith("f_")}
    for change, said in (
        ({"f_flag": os.ST_RDONLY}, "is on a read-only file system"),
        ({"f_bfree": 0, "f_bavail": 0}, "has no room: 10 octets are needed, and 0 are free"),
        ({"f_ffree": 0, "f_files": 5}, "can take no more files"),
    ):
        monkeypatch.setattr(os, "statvfs", lambda _path, now={**fields, **change}: SimpleNamespace(**now))
        (found,) = obstacles([Wanted(str(tmp_path / "file"), 10)])
        assert said in found
