# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever somebody makes of his mailbox: the search ends in time, with little memory, and with a verdict.

Each row makes a mailbox. The search is a process of its own, whose time and memory, and those of its children, are
measured.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

MODULE_UTILS = "ansible_collections.mailops.postmaster.plugins.module_utils"
ROOT = os.geteuid() == 0
ALICE = 12345  # no account has this number
MESSAGE = "Return-Path: <a@b.example>\nX-Postmaster-Token: t1\n\nhello\n"
HEAD = "From a@b.example Mon Nov 23 01:00:00 2026\n"
MEMORY = 300 << 10  # KiB: for a process of the search
DEADLINE = 20.0  # seconds, also on a machine that has much else to do
SHORT = 2.0  # seconds, where there is more to read than a deadline allows
BEYOND = 5.0  # seconds after the deadline in which a search has ended

SEARCH = f"""
import json, re, resource, sys
from {MODULE_UTILS}.mailbox.find import find
found = find(["t1"], sys.argv[1:2], 0, float(sys.argv[2]))
# not by getrusage, which counts the size of this process's starter, too
own = int(re.search("VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
print(json.dumps([found, max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)]))
"""


def search(path, deadline=DEADLINE):
    """The result of mailbox_find in a process of its own, the seconds that it took, and its memory in KiB."""
    begun = time.monotonic()
    argv = [sys.executable, "-c", SEARCH, os.fsdecode(path), str(deadline)]
    done = subprocess.run(argv, capture_output=True, check=True, timeout=60, env={"PYTHONPATH": ":".join(sys.path)})
    result, memory = json.loads(done.stdout)
    return result, time.monotonic() - begun, memory


def own(path):
    """What is there is alice's, where the test is root and can say so."""
    if ROOT:
        for folder, _folders, names in os.walk(path.parent):
            for name in (folder, *(os.path.join(folder, name) for name in names)):
                if not name.endswith("root-only"):
                    os.chown(name, ALICE, ALICE, follow_symlinks=False)


@pytest.fixture
def home(tmp_path):
    (tmp_path / "alice").mkdir()
    return tmp_path / "alice"


def maildir(home):
    path = home / "Maildir"
    for folder in ("new", "cur", "tmp"):
        (path / folder).mkdir(parents=True)
    return path


def secret(home, text=MESSAGE):
    path = home.parent / "root-only"
    path.write_text(text)
    path.chmod(0o600)
    return path


def bound(path):
    with socket.socket(socket.AF_UNIX) as server:
        before = Path.cwd()
        os.chdir(path.parent)  # the name of a socket is at most 107 octets long
        try:
            server.bind(path.name)
        finally:
            os.chdir(before)


def sparse(path, size=1 << 41):
    """A file of that many octets, none of which is on disk; file systems have their own limit."""
    with path.open("ab") as file:
        while size:
            with contextlib.suppress(OSError):
                file.truncate(size)
                return
            size //= 2


def unreadable(path):
    path.write_text(MESSAGE)
    path.chmod(0)


# What is in Maildir/new, and what is said of it; nobody without root's rights can make it unreadable for himself.
ENTRIES = {
    "FIFO": (lambda path, _home: os.mkfifo(path), "is a FIFO"),
    "link to a FIFO": (lambda path, home: (os.mkfifo(home / "pipe"), path.symlink_to(home / "pipe")), "is a link"),
    "link to a device": (lambda path, _home: path.symlink_to("/dev/zero"), "is a link"),
    "link to a terminal": (lambda path, _home: path.symlink_to("/dev/tty"), "is a link"),
    "link to itself": (lambda path, _home: path.symlink_to(path), "is a link"),
    "link to nothing": (lambda path, home: path.symlink_to(home / "none"), "is a link"),
    "link to a root-only file": (lambda path, home: path.symlink_to(secret(home)), "is a link"),
    "link to a file of his own": (lambda path, home: path.symlink_to(secret(home)), "is a link"),
    "link to a directory of root's": (lambda path, _home: path.symlink_to("/root"), "is a link"),
    "socket": (lambda path, _home: bound(path), "is not a regular file"),
    "directory": (lambda path, _home: path.mkdir(), "is a directory"),
    "file without rights": (lambda path, _home: unreadable(path), "cannot be opened: Permission denied"),
}
NAMES = {
    "plain": b"1.a",
    "of 255 octets": b"1." + b"a" * 253,
    "with control characters": b"1.\x1b[2J\n\r\x07",
    "with a bidirectional control": "1.\u202etxt".encode(),
    "that is no UTF-8": b"1.\xff\xfe",
    "with blanks and quotes": b"1. '\"; rm -rf",
}


@pytest.mark.parametrize(("make", "reason"), ENTRIES.values(), ids=ENTRIES)
def test_what_is_no_message_is_named_and_not_opened(home, make, reason):
    box = maildir(home)
    make(box / "new" / "1.a", home)
    own(box)
    result, seconds, memory = search(box)
    assert result["verdict"] == "inconclusive"
    assert result["missing"] == [{"token": "t1"}]
    (row,) = result["inconclusive"]
    assert row["reason"].startswith(f"{box}/new/1.a {reason}")
    assert seconds < DEADLINE + BEYOND
    assert memory < MEMORY


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("kind", ["message", "FIFO"])
def test_a_name_may_be_any_name(home, name, kind):
    box = maildir(home)
    path = os.path.join(os.fsencode(box), b"new", name)
    if kind == "FIFO":
        os.mkfifo(path)
    else:
        Path(os.fsdecode(path)).write_text(MESSAGE)
    own(box)
    result, _seconds, _memory = search(box)
    assert result["verdict"] == ("inconclusive" if kind == "FIFO" else "pass")
    reasons = [row["reason"] for row in result["inconclusive"]]
    assert all(reason.isprintable() and reason.endswith("is a FIFO, not a regular file") for reason in reasons)
    assert len(reasons) == (kind == "FIFO")


def test_what_is_odd_beside_a_message_does_not_hide_it(home):
    box = maildir(home)
    for number, (make, _reason) in enumerate(ENTRIES.values()):
        with contextlib.suppress(FileExistsError):
            make(box / "new" / f"{number}.odd", home)
    (box / "cur" / "1.a:2,S").write_text(MESSAGE)
    own(box)
    result, _seconds, _memory = search(box)
    assert (result["verdict"], result["missing"]) == ("pass", [])


def folder_is(make):
    def build(home):
        box = maildir(home)
        (box / "new").rmdir()
        make(box / "new")
        return box

    return build


def into(make):
    def build(home):
        make(home / "box")
        return home / "box"

    return build


def linked(make):
    """The mailbox is a link to what is made."""

    def build(home):
        make(home / "target")
        (home / "box").symlink_to("target")
        return home / "box"

    return build


def hidden(path):
    """A Maildir that only root can get at, and a link to it."""
    box = maildir(path.parent.parent / "root-only")
    (box / "new" / "1.a").write_text(MESSAGE)
    box.parent.chmod(0o700)
    path.symlink_to(box)


def closed_home(home):
    (home / "box").write_text(HEAD + MESSAGE)
    (home / "box").chmod(0)
    return home / "box"


def endless(path):
    """Header fields without an end, and much of them."""
    with path.open("w") as file:
        file.write(HEAD)
        file.writelines("X: " + "y" * 997 + "\n" for _number in range(50_000))


# The mailbox itself, the verdict, and what is said of it. What only root can get at, nobody else can test.
BOXES = {
    "sparse file of 2 TB": (into(sparse), "inconclusive", "was read from octet"),
    "Maildir that is a file": (into(lambda path: path.write_text("no mailbox")), "fail", ""),
    "directory": (into(lambda path: path.mkdir()), "inconclusive", "no Maildir"),
    "FIFO": (into(os.mkfifo), "inconclusive", "is not a regular file|is a FIFO"),
    "socket": (into(bound), "inconclusive", "is a socket|is not a regular file|No such device"),
    "link to a device": (into(lambda path: path.symlink_to("/dev/zero")), "inconclusive", "is a device"),
    "link to a FIFO": (linked(os.mkfifo), "inconclusive", "is a FIFO"),
    "link to itself": (into(lambda path: path.symlink_to(path.name)), "inconclusive", "symbolic links"),
    "link to a mailbox of his own": (linked(lambda path: path.write_text(HEAD + MESSAGE)), "pass", ""),
    "link to a Maildir that only root can get at": (into(hidden), "inconclusive" if ROOT else "pass", "Permission"),
    "file without rights": (closed_home, "inconclusive", "Permission denied"),
    "new that is a file": (folder_is(lambda path: path.write_text("")), "inconclusive", "has a new that is a link or"),
    "new that is a FIFO": (folder_is(os.mkfifo), "inconclusive", "has a new that is a link or"),
    "new that is a link": (
        folder_is(lambda path: path.symlink_to("/root")),
        "inconclusive",
        "has a new that is a link",
    ),
    "new that is a link to cur": (folder_is(lambda path: path.symlink_to("cur")), "inconclusive", "that is a link"),
    "new that is missing": (folder_is(lambda _path: None), "inconclusive", "no Maildir"),
    "header fields without an end": (into(endless), "fail", ""),
    "NULs": (into(lambda path: path.write_bytes(b"\0" * 5_000_000)), "fail", ""),
    "From lines alone": (into(lambda path: path.write_text("From \n\n" * 200_000)), "fail", ""),
    "a line of 50 MB": (into(lambda path: path.write_text(HEAD + "a" * 50_000_000)), "fail", ""),
    "folded without an end": (into(lambda path: path.write_text(HEAD + "X: t1" + "\n t1" * 2_000_000)), "pass", ""),
    "a token in 100,000 messages": (into(lambda path: path.write_text((HEAD + MESSAGE + "\n") * 100_000)), "pass", ""),
}


@pytest.mark.parametrize(("make", "verdict", "reason"), BOXES.values(), ids=BOXES)
def test_a_mailbox_may_be_anything(home, make, verdict, reason):
    box = make(home)
    own(home / "x")
    deadline = SHORT if make is BOXES["sparse file of 2 TB"][0] else DEADLINE
    result, seconds, memory = search(box, deadline)
    reasons = [row["reason"] for row in result["inconclusive"]]
    assert (result["verdict"], [word for word in reasons if not word.startswith(str(box))]) == (verdict, [])
    assert all(re.search(reason, word) for word in reasons)
    assert bool(reasons) == (verdict == "inconclusive")
    assert seconds < deadline + BEYOND
    assert memory < MEMORY


NO_MAILBOX = ["a" * 300, "file/", "file/below", "\0", "a\0b", "loop/below", "x" * 5000]


@pytest.mark.parametrize("name", NO_MAILBOX)
def test_a_path_may_lead_nowhere(home, name):
    (home / "file").write_text("")
    (home / "loop").symlink_to(home / "loop")
    own(home / "file")
    code = "import sys; sys.argv[1] = sys.argv[1].replace('%0', chr(0))\n" + SEARCH
    argv = [sys.executable, "-c", code, f"{home}/{name}".replace("\0", "%0"), "2"]
    done = subprocess.run(argv, capture_output=True, check=True, timeout=60, env={"PYTHONPATH": ":".join(sys.path)})
    result, _memory = json.loads(done.stdout)
    assert result["verdict"] in ("fail", "inconclusive")
    assert result["missing"] == [{"token": "t1"}]


def test_a_maildir_of_100_000_files_is_read_within_the_deadline(home):
    box = maildir(home)
    new = os.open(box / "new", os.O_PATH)
    for number in range(100_000):
        os.close(os.open(f"{number:06}.a", os.O_CREAT, dir_fd=new))
    os.close(new)
    (box / "new" / "050000.b").write_text(MESSAGE)
    result, seconds, memory = search(box, deadline=60)
    assert (result["verdict"], result["inconclusive"]) == ("pass", [])
    assert seconds < 60
    assert memory < MEMORY


def test_modes_of_the_tests_are_what_they_say(home):
    """A row that is meant for root's eyes only would prove nothing if alice could read it."""
    path = secret(home)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
