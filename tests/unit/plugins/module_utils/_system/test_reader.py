# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
import time
from pathlib import Path

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system.deadline import Deadline
from ansible_collections.mailops.postmaster.plugins.module_utils._system.reader import (
    LIMIT,
    RefusedError,
    Rights,
    call,
    read,
)
from ansible_collections.mailops.postmaster.plugins.module_utils.mailbox.watched import Mailboxes

NOBODY = Rights(65534, 65534)
ROOT = os.geteuid() == 0  # nobody else can give a child other rights than his own


def test_a_regular_file_is_read_to_the_byte(tmp_path):
    path = tmp_path / "list"
    path.write_bytes(b"alice\n\xff\0\r\nbob")
    found = read(str(path), None)
    assert found.data == b"alice\n\xff\0\r\nbob"
    assert (found.uid, found.size) == (os.geteuid(), 13)


def link(path):
    path.symlink_to("/etc/hostname")


def link_to_itself(path):
    path.symlink_to(path)


def bound(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def sparse(path):
    with path.open("wb") as file:
        file.truncate(LIMIT + 1)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (link, "is a link"),
        (link_to_itself, "is a link"),
        (os.mkfifo, "is a FIFO"),
        (lambda path: path.mkdir(), "is a directory"),
        (bound, "is not a regular file"),
        (sparse, "is larger than 1048576 octets"),
    ],
    ids=["link", "loop", "fifo", "directory", "socket", "sparse"],
)
def test_what_is_no_such_file_is_refused_at_once(tmp_path, make, reason):
    path = tmp_path / "trap"
    make(path)
    begun = time.monotonic()
    with pytest.raises(RefusedError, match=reason):
        read(str(path), None)
    assert time.monotonic() - begun < 1


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/tty"])
def test_a_device_is_refused(path):
    with pytest.raises((RefusedError, OSError)):
        read(path, None)


def test_a_file_without_an_end_is_read_up_to_the_limit():
    with pytest.raises(RefusedError, match="is larger than 10 octets"):
        read("/proc/self/smaps", None, limit=10)


@pytest.mark.parametrize("name", ["missing", "file/", "a" * 300])
def test_what_cannot_be_opened_is_an_error_of_the_system(tmp_path, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"(?i)file name|directory"):
        read(f"{tmp_path}/{name}", None)


def test_a_file_is_read_with_the_rights_that_are_given(tmp_path):
    path = tmp_path / "secret"
    path.write_text("root alone")
    path.chmod(0o600)
    assert read(str(path), None).data == b"root alone"
    with pytest.raises(PermissionError) if ROOT else contextlib.nullcontext():
        read(str(path), NOBODY)


def test_links_are_followed_with_the_rights_that_are_given(tmp_path):
    (tmp_path / "hidden").mkdir(mode=0o700)
    (tmp_path / "hidden" / "file").write_text("root alone")
    (tmp_path / "link").symlink_to(tmp_path / "hidden" / "file")
    assert read(str(tmp_path / "link"), None, follow=True).data == b"root alone"
    with pytest.raises(OSError, match=r"Permission|No such") if ROOT else contextlib.nullcontext():
        read(str(tmp_path / "link"), NOBODY, follow=True)


def test_an_owner_and_a_single_name_can_be_asked_for(tmp_path):
    path = tmp_path / "body"
    path.write_text("text")
    assert read(str(path), None, owners=[os.geteuid()], single=True).data == b"text"
    with pytest.raises(RefusedError, match="belongs to uid"):
        read(str(path), None, owners=[12345])
    os.link(path, tmp_path / "second")
    with pytest.raises(RefusedError, match="has 2 names"):
        read(str(path), None, single=True)


def test_a_child_that_does_not_end_is_killed():
    begun = time.monotonic()
    with pytest.raises(RefusedError, match=r"within 0\.2 s"):
        call(None, lambda: time.sleep(60) or b"", seconds=0.2)
    assert time.monotonic() - begun < 2


def test_a_child_that_breaks_is_no_result():
    with pytest.raises(RefusedError, match="the reader ended"):
        call(None, lambda: 1 / 0, seconds=5)


def test_nobody_whose_rights_a_child_has_can_signal_it():
    said = call(NOBODY, lambda: repr(os.getresuid()).encode()).decode()
    assert said == ("(0, 65534, 0)" if ROOT else repr(os.getresuid()))


# What a link can lead to: "{file}" and "{folder}" are descriptors that the parent has open.
OF_THE_PROGRAM = {
    "its memory map": "/proc/self/maps",
    "its environment": "/proc/self/environ",
    "its command line": "/proc/self/cmdline",
    "its mounts": "/proc/self/mountinfo",
    "the same of a thread": "/proc/thread-self/maps",
    "what the kernel says": "/proc/meminfo",
    "a file that it has open": "/proc/self/fd/{file}",
    "a file that it has open, as a thread": "/proc/thread-self/fd/{file}",
    "a file that it has open, as a device": "/dev/fd/{file}",
    "a file below a directory that it has open": "/proc/self/fd/{folder}/file",
    "a file where it stands": "/proc/self/cwd/file",
    "a file where it stands, by a task": "/proc/thread-self/cwd/file",
}


@pytest.fixture
def common():
    """A directory that everybody gets at."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.fixture
def private(common, monkeypatch):
    """What a program has open, and where it stands: below a directory that only its own account gets at."""
    folder = common / "private" / "below"
    folder.mkdir(parents=True)
    (folder / "file").write_text("root alone")
    folder.parent.chmod(0o700)
    monkeypatch.chdir(folder)
    opened = {"file": os.open("file", os.O_RDONLY), "folder": os.open(".", os.O_RDONLY)}
    for handle in opened.values():
        os.set_inheritable(handle, True)
    yield opened
    for handle in opened.values():
        os.close(handle)


@pytest.mark.parametrize("target", OF_THE_PROGRAM.values(), ids=OF_THE_PROGRAM)
def test_nothing_of_the_program_itself_is_read_for_others(common, private, target):
    link = common / "link"
    link.symlink_to(target.format(**private))
    private_to_root = "{" in target or "cwd" in target
    with pytest.raises((RefusedError, OSError)) if ROOT or private_to_root else contextlib.nullcontext():
        read(str(link), NOBODY, follow=True)


@pytest.mark.parametrize("target", OF_THE_PROGRAM.values(), ids=OF_THE_PROGRAM)
def test_no_mailbox_is_of_the_program_itself(common, private, target):
    link = common / "link"
    link.symlink_to(target.format(**private))
    if ROOT:
        os.lchown(link, NOBODY.uid, NOBODY.gid)
    with contextlib.closing(Mailboxes(Deadline(20))) as boxes:
        seen = boxes.look(str(link), ["alone"])
    assert seen.counts == {}
    assert not ROOT or seen.reason or "{" in target or "cwd" in target


@pytest.mark.parametrize("path", ["/proc/self/maps", "/proc/meminfo"])
def test_that_it_is_in_proc_is_said(common, path):
    (common / "link").symlink_to(path)
    said = "is in /proc, where nothing is read for others"
    with pytest.raises(RefusedError, match=said) if ROOT else contextlib.nullcontext():
        read(str(common / "link"), NOBODY, follow=True)


def test_root_reads_what_is_in_proc():
    assert read("/proc/meminfo", None).data
