# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A mailbox that changes while it is read, or between two looks, and one whose owner races against the search."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system.deadline import Deadline
from ansible_collections.mailops.postmaster.plugins.module_utils.mailbox import mbox, watched
from ansible_collections.mailops.postmaster.plugins.module_utils.mailbox.message import Tally
from ansible_collections.mailops.postmaster.plugins.module_utils.mailbox.watched import Mailboxes

ROOT = os.geteuid() == 0
ALICE = 12345  # no account has this number
HEAD = "From a@b.example Mon Nov 23 01:00:00 2026\n"


def message(token="t1", body="hello", head=HEAD):
    return f"{head}X-Postmaster-Token: {token}\n\n{body}\n\n"


@pytest.fixture
def mailboxes():
    with contextlib.closing(Mailboxes(Deadline(60))) as found:
        yield found


def empty(path):
    path.write_text("")


def shorten(path):
    os.truncate(path, path.stat().st_size // 2)


def exchange(path):
    (path.parent / "other").write_text(message("t2") * 50)
    (path.parent / "other").rename(path)


def remove(path):
    path.unlink()


def grow(path):
    with path.open("a") as file:
        file.write(message("t2", "x" * 5000))


@pytest.mark.parametrize("change", [empty, shorten, exchange, remove, grow])
def test_an_mbox_may_change_while_it_is_read(tmp_path, monkeypatch, change):
    """Whatever happens between two pieces, the look ends, and the next one counts what is there then."""
    box = tmp_path / "alice"
    box.write_text(message() * 200)
    monkeypatch.setattr(mbox, "PIECE", 1024)
    pread, reads = os.pread, []

    def changing(handle, size, offset):
        reads.append(offset)
        if len(reads) == 9:
            change(box)
        assert len(reads) < 10_000
        return pread(handle, size, offset)

    monkeypatch.setattr(os, "pread", changing)
    tally = Tally(["t1", "t2"])
    reader = mbox.Mbox(tally)
    with box.open("rb") as file:
        reader.look(file.fileno(), Deadline(60))
    if box.exists():
        text = box.read_text()
        with box.open("rb") as file:
            reader.look(file.fileno(), Deadline(60))
        whole = {token: text.count(f"{token}\n\n") for token in ("t1", "t2") if f"{token}\n\n" in text}
        assert tally.counts == whole


# What a mailbox is made into between two looks, and the tokens that are then found.
CHANGES = {
    "nothing": (lambda _path: None, {"t1"}),
    "emptied": (empty, set()),
    "exchanged": (exchange, {"t2"}),
    "removed": (remove, set()),
    "a directory": (lambda path: (path.unlink(), path.mkdir()), None),
    "a FIFO": (lambda path: (path.unlink(), os.mkfifo(path)), None),
    "a link to itself": (lambda path: (path.unlink(), path.symlink_to(path.name)), None),
    "a Maildir": (
        lambda path: (path.unlink(), (path / "new").mkdir(parents=True), (path / "cur").mkdir()),
        set(),
    ),
}


@pytest.mark.parametrize(("change", "found"), CHANGES.values(), ids=CHANGES)
def test_a_mailbox_may_become_something_else(tmp_path, mailboxes, change, found):
    box = tmp_path / "alice"
    box.write_text(message())
    assert set(mailboxes.look(str(box), ["t1", "t2"]).counts) == {"t1"}
    change(box)
    seen = mailboxes.look(str(box), ["t1", "t2"])
    if found is None:
        assert seen.reason.startswith(str(box))
    else:
        assert (set(seen.counts), seen.reason) == (found, "")


def test_after_a_mark_only_what_comes_is_read(tmp_path, mailboxes):
    box = tmp_path / "alice"
    box.write_text(message())
    mailboxes.mark(str(box))
    assert mailboxes.look(str(box), ["t1"]).counts == {}
    grow(box)
    seen = mailboxes.look(str(box), ["t1", "t2"])
    assert (seen.counts, seen.behind, seen.reason) == ({"t2": 1}, False, "")


def test_after_a_mark_only_new_files_of_a_maildir_are_opened(tmp_path, mailboxes):
    for folder in ("new", "cur"):
        (tmp_path / folder).mkdir()
    (tmp_path / "new" / "1.a").write_text(message(head=""))
    os.mkfifo(tmp_path / "new" / "2.a")
    mailboxes.mark(str(tmp_path))
    (tmp_path / "new" / "1.a").rename(tmp_path / "cur" / "1.a:2,S")
    (tmp_path / "new" / "3.a").write_text(message("t2", head=""))
    seen = mailboxes.look(str(tmp_path), ["t1", "t2"])
    assert (seen.counts, seen.reason) == ({"t2": 1}, "")


def test_with_the_time_of_sending_nothing_older_is_read(tmp_path, mailboxes, monkeypatch):
    monkeypatch.setattr(mbox, "PIECE", 1024)
    box = tmp_path / "alice"
    new = HEAD.replace("2026", str(time.localtime().tm_year + 1))
    box.write_text(message("t0") * 999 + message("t1", head=new) * 2)
    seen = mailboxes.look(str(box), ["t1"], since=time.time())
    assert (seen.counts, seen.behind) == ({"t1": 2}, False)
    whole = mailboxes.look(str(tmp_path / "alice"), ["t0", "t1"], since=time.time())
    assert whole.counts["t1"] == 2


ATTACK = """
import os, sys
home, secret = sys.argv[1], sys.argv[2]
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(12345); os.setuid(12345)
os.chdir(home)
print("begun", flush=True)
while True:
    for target in (secret + "/new", "elsewhere", "real"):
        os.symlink(target, "next")
        os.rename("next", "Maildir/link")
        try:
            os.rename("Maildir/new", "Maildir/old")
            os.rename("Maildir/link", "Maildir/new")
            os.rename("Maildir/new", "Maildir/link")
            os.rename("Maildir/old", "Maildir/new")
        except OSError:
            pass
        os.symlink(secret + "/new/1.a", "next")
        os.rename("next", "Maildir/new/1.a")
        os.symlink(secret, "next")
        os.rename("next", "box")
        os.link("plain", "next")
        os.rename("next", "box")
        os.link("plain", "next")
        os.rename("next", "Maildir/new/1.a")
"""


def test_whoever_races_against_the_search_learns_nothing(mailboxes):
    """Alice exchanges her files for links to root's Maildir, in which there is the token, as fast as she can."""
    place = Path(tempfile.mkdtemp(dir="/tmp"))
    place.chmod(0o755)
    home, secret = place / "alice", place / "secret"
    for folder in (home / "Maildir" / "new", home / "Maildir" / "cur", secret / "new", secret / "cur"):
        folder.mkdir(parents=True)
    (secret / "new" / "1.a").write_text(message(head=""))
    secret.chmod(0o700)
    (home / "plain").write_text(message("t2"))
    if ROOT:
        for path in (home, *home.rglob("*")):
            os.chown(path, ALICE, ALICE)
    looked = 0
    with subprocess.Popen([sys.executable, "-c", ATTACK, str(home), str(secret)], stdout=subprocess.PIPE) as alice:
        assert alice.stdout.readline() == b"begun\n"
        end = time.monotonic() + 3
        while time.monotonic() < end:
            for box in (home / "Maildir", home / "box"):
                seen = mailboxes.look(str(box), ["t1", "t2"])
                assert "t1" not in seen.counts or not ROOT
                looked += 1
        assert alice.poll() is None
        alice.kill()
    shutil.rmtree(place)
    assert looked > 10


def test_more_mailboxes_than_there_may_be_processes_are_named_and_cost_no_other_one(tmp_path, mailboxes, monkeypatch):
    monkeypatch.setattr(watched, "MOST", 3)
    boxes = [tmp_path / str(number) for number in range(5)]
    for box in boxes:
        box.write_text(message())
    seen = [mailboxes.look(str(box), ["t1"]) for box in boxes]
    assert [dict(one.counts) for one in seen] == [{"t1": 1}] * 3 + [{}] * 2
    assert [one.reason.partition(" ")[2] for one in seen[3:]] == ["was not looked at: no more than 3 mailboxes are"] * 2
