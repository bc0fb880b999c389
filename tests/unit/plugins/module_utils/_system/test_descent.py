# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Root goes down a path as far as it is root's alone; a test that is not root's has its own rights all the way."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system import descent
from ansible_collections.mailops.postmaster.plugins.module_utils._system.descent import descend, open_spot
from ansible_collections.mailops.postmaster.plugins.module_utils._system.reader import (
    RefusedError,
    Rights,
    call,
    quietly,
    read_up_to,
)

ROOT = os.geteuid() == 0
ALICE, BOB = 12345, 12346  # no accounts have these numbers


@pytest.fixture
def place():
    """A directory that everybody can go through, as /var and /home are; pytest's own are closed."""
    path = Path(tempfile.mkdtemp(dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def give(path, owner):
    if ROOT:
        os.chown(path, owner, owner, follow_symlinks=False)


def file(path, text, owner, mode=0o600):
    path.write_text(text)
    path.chmod(mode)
    give(path, owner)


def got(path, rights=None):
    """What is read at a path, which an account with these rights named, and the rights with which."""

    def work():
        spot = descend(str(path), rights)
        handle = open_spot(spot)
        return b"%d %s" % (os.geteuid(), read_up_to(handle, 100))

    return call(None, work).decode()


def of(owner):
    return owner if ROOT else os.geteuid()


def test_a_file_in_a_folder_of_root_s_is_read_as_its_owner_s(place):
    file(place / "alice", "mail", ALICE)
    assert got(place / "alice") == f"{of(ALICE)} mail"


def test_also_where_the_owner_cannot_go_through_the_folder(place):
    file(place / "alice", "mail", ALICE)
    place.chmod(0o700)
    assert got(place / "alice") == f"{of(ALICE)} mail"


def test_root_s_own_file_is_read_by_root(place):
    file(place / "root", "mail", 0)
    assert got(place / "root") == f"{os.geteuid()} mail"


def test_a_link_of_root_s_is_followed(place):
    (place / "spool").mkdir()
    file(place / "spool" / "alice", "mail", ALICE)
    (place / "mail").symlink_to("spool")
    (place / "absolute").symlink_to(place / "spool")
    assert got(place / "mail" / "alice") == got(place / "absolute" / "alice") == f"{of(ALICE)} mail"


@pytest.mark.parametrize("owner", [0, BOB])
@pytest.mark.parametrize("way", ["link", "link to the folder", "folder of alice's"])
def test_what_alice_puts_in_the_way_leads_nowhere_that_she_cannot_go(place, owner, way):
    (place / "hidden").mkdir()
    file(place / "hidden" / "box", "not for alice", owner)
    if way == "link":
        (place / "box").symlink_to("hidden/box")
        link = path = place / "box"
    elif way == "link to the folder":
        (place / "alice").symlink_to("hidden")
        link, path = place / "alice", place / "alice" / "box"
    else:
        (place / "alice").mkdir()
        give(place / "alice", ALICE)
        (place / "alice" / "box").symlink_to("../hidden/box")
        link = path = place / "alice" / "box"
    give(link, ALICE)
    if ROOT:
        with pytest.raises(PermissionError):
            got(path)
    else:
        assert got(path).endswith("not for alice")


def test_what_alice_may_read_is_read(place):
    (place / "alice").mkdir()
    give(place / "alice", ALICE)
    file(place / "alice" / "real", "mail", ALICE)
    (place / "alice" / "box").symlink_to("real")
    give(place / "alice" / "box", ALICE)
    assert got(place / "alice" / "box") == f"{of(ALICE)} mail"


@pytest.mark.parametrize(
    ("owner", "mode", "closed", "read"),
    [
        (ALICE, 0o600, False, True),
        (0, 0o600, False, False),
        (BOB, 0o600, False, False),
        (0, 0o644, False, True),
        (0, 0o644, True, False),
        (ALICE, 0o600, True, False),
    ],
)
@pytest.mark.parametrize("by_a_link", [False, True])
def test_what_alice_names_is_looked_at_with_her_rights(place, owner, mode, closed, read, by_a_link):
    (place / "folder").mkdir()
    file(place / "folder" / "box", "text", owner, mode)
    (place / "folder").chmod(0o700 if closed else 0o755)
    path = place / "folder" / "box"
    if by_a_link:
        (place / "link").symlink_to(path)
        path = place / "link"
    with contextlib.nullcontext() if read or not ROOT else pytest.raises(PermissionError):
        assert got(path, Rights(ALICE, ALICE)) == f"{of(ALICE)} text"


@pytest.mark.parametrize(
    "path", ["/proc/kmsg", "/proc/self/environ", "/proc/meminfo", "/proc", "/sys/kernel", "/dev/null", "/dev/fuse"]
)
@pytest.mark.parametrize("rights", [None, Rights(ALICE, ALICE)])
def test_what_the_kernel_makes_is_no_mailbox(monkeypatch, path, rights):
    """Not even opened by root: a device may do something then, and what is read of /proc/kmsg is gone."""
    opened = []
    monkeypatch.setattr(descent, "quietly", lambda *asked: opened.append(asked) or quietly(*asked))

    def work():
        with contextlib.suppress(OSError, RefusedError):
            open_spot(descend(path, rights))
            return b"opened"
        return b"" if rights or not ROOT else repr(opened).encode()

    assert call(None, work) == (b"" if rights or not ROOT else b"[]")


@pytest.mark.parametrize("owner", [0, ALICE])
def test_a_fifo_is_not_waited_for(place, owner):
    os.mkfifo(place / "box")
    give(place / "box", owner)
    with pytest.raises(RefusedError, match="is a FIFO"):
        got(place / "box")


def test_a_file_of_root_s_with_a_second_name_is_not_read(place):
    """Somebody may have made it, where the kernel lets everybody link to every file."""
    file(place / "box", "not for alice", 0)
    os.link(place / "box", place / "second")
    if ROOT:
        with pytest.raises(RefusedError, match="second name"):
            got(place / "box")
    else:
        assert got(place / "box").endswith("not for alice")


@pytest.mark.parametrize("name", ["none", "file/none", "a" * 300, "loop", "loop/x", "a\0b"])
def test_what_leads_nowhere_is_an_error(place, name):
    file(place / "file", "", 0)
    (place / "loop").symlink_to("loop")
    with pytest.raises((OSError, RefusedError)):
        got(place / name)


def test_a_child_leaves_the_standard_streams_alone():
    def work():
        os.write(1, b"nobody hears this")
        return os.readlink("/proc/self/fd/1").encode()

    assert call(None, work) == b"/dev/null"
