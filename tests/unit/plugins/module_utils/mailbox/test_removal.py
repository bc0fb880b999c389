# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The messages of a proof are removed, those of others never, whatever is delivered meanwhile and however."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
from datetime import datetime, timezone

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system.deadline import Deadline
from ansible_collections.mailops.postmaster.plugins.module_utils._system.descent import descend
from ansible_collections.mailops.postmaster.plugins.module_utils._system.mbox_lock import locked
from ansible_collections.mailops.postmaster.plugins.module_utils._system.reader import RefusedError
from ansible_collections.mailops.postmaster.plugins.module_utils.mailbox.removal import from_mbox
from ansible_collections.mailops.postmaster.plugins.module_utils.mailbox.watched import Mailboxes
from ansible_collections.mailops.postmaster.plugins.module_utils.smtp.message import compose

ROOT = os.geteuid() == 0
ALICE = 12345  # no account has this number
NOW = datetime(2026, 11, 23, 1, tzinfo=timezone.utc)
HEAD = "From a@b.example Mon Nov 23 01:00:00 2026\nReturn-Path: <a@b.example>\n"


def own(token="t1", added="", sender="a@b.example"):
    text = compose(token, sender, "postmaster@c.example", "b.example", "c.example", NOW).decode()
    return HEAD + text.replace("\r\n", "\n") + added + "\n"


def quoted(token="t1"):
    """One from the null sender, as what delivers mail writes it into an mbox."""
    return own(token, sender="").replace("\nFrom postmaster", "\n>From postmaster")


def other(subject="x", body="hello"):
    return f"{HEAD}Subject: {subject}\n\n{body}\n\n"


@pytest.fixture
def mailboxes():
    with contextlib.closing(Mailboxes(Deadline(60))) as found:
        yield found


def removed(mailboxes, box, *tokens):
    mailboxes.look(str(box), tokens or ["t1", "t2"])
    return mailboxes.remove(str(box), tokens or ["t1", "t2"])


ANSWER = other("Re: t1", "X-Postmaster-Token: t1")

# What is in an mbox, and what is left of it.
MBOXES = {
    "the message alone": ([own()], []),
    "one from the null sender": ([other(), quoted()], [other()]),
    "one that names another token within": (
        [quoted().replace("\nX-Postmaster-Token: t1\n\nThe", "\nX-Postmaster-Token: t2\n\nThe")],
    )
    * 2,
    "after mail of others": ([other(), own()], [other()]),
    "two of them": ([other(), own(), own("t2")], [other()]),
    "mail of others came after it": ([own(), other()], [own(), other()]),
    "mail of others came between": ([own(), other(), own("t2")], [own(), other()]),
    "of another proof": ([own("t3")], [own("t3")]),
    "of another proof, after it": ([own(), own("t3")], [own(), own("t3")]),
    "marked by a mail reader": ([other(), own().replace("Return-Path", "Status: RO\nReturn-Path")], [other()]),
    "with more text": ([own(added="a footer\n")], [own(added="a footer\n")]),
    "an answer that quotes it": (
        [other("Re: t1", "X-Postmaster-Token: t1")],
        [other("Re: t1", "X-Postmaster-Token: t1")],
    ),
    "mail of others unseen within it": ([own()[:-1] + other()], [own()[:-1] + other()]),
    "mail of others unseen within its fields": (
        [HEAD + own().replace("Return-Path: <a@b.example>\n", "")],
        [HEAD + own().replace("Return-Path: <a@b.example>\n", "")],
    ),
    "two tokens in one message": ([own("t1\nX-Postmaster-Token: t3")], [own("t1\nX-Postmaster-Token: t3")]),
    "lines ended by CR and LF": ([own().replace("\n", "\r\n")], []),
}


@pytest.mark.parametrize(("texts", "left"), MBOXES.values(), ids=MBOXES)
def test_an_mbox_loses_the_messages_of_the_proof_at_its_end(tmp_path, mailboxes, texts, left):
    box = tmp_path / "alice"
    box.write_bytes("".join(texts).encode())
    count, reason = removed(mailboxes, box)
    assert box.read_bytes() == "".join(left).encode()
    assert count == len(texts) - len(left)
    assert bool(reason) == any("t1" in text.partition("\n\n")[0] for text in left)
    assert os.listdir(tmp_path) == ["alice"]


def test_an_mbox_that_is_what_it_was_has_the_time_that_it_had(tmp_path, mailboxes):
    box = tmp_path / "alice"
    box.write_text(other())
    os.utime(box, (2000, 1000))
    mailboxes.mark(str(box))
    with box.open("a") as file:
        file.write(own())
    assert removed(mailboxes, box) == (1, "")
    assert (box.read_text(), box.stat().st_mtime) == (other(), 1000)


@pytest.mark.parametrize("lock", ["dotlock", "fcntl", "flock"])
def test_a_locked_mbox_is_left_as_it_is(tmp_path, lock):
    box = tmp_path / "alice"
    box.write_text(own())
    (tmp_path / "alice.lock").write_text("") if lock == "dotlock" else None
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(box), lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"
    spot = descend(str(box))
    with box.open("r+b") as file, pytest.raises(RefusedError, match="is locked by another program"):
        locked(spot, file.fileno(), patience=0.2).__enter__()
    holder.communicate()
    assert sorted(os.listdir(tmp_path)) == (["alice", "alice.lock"] if lock == "dotlock" else ["alice"])
    os.close(spot.folder)


HOLD = """
import fcntl, sys
with open(sys.argv[1], "r+b") as file:
    if sys.argv[2] != "dotlock":
        (fcntl.lockf if sys.argv[2] == "fcntl" else fcntl.flock)(file, fcntl.LOCK_EX)
    print("held", flush=True)
    sys.stdin.read()
"""

# Delivers messages as an MTA does that uses one kind of lock alone: lock, append, unlock.
DELIVER = """
import contextlib, fcntl, os, sys
path, lock, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
for number in range(count):
    while True:
        if lock == "dotlock":
            try:
                os.close(os.open(path + ".lock", os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                continue
        with open(path, "ab") as file:
            if lock != "dotlock":
                (fcntl.lockf if lock == "fcntl" else fcntl.flock)(file, fcntl.LOCK_EX)
            file.write(b"From x\\nSubject: other-%d-\\n\\nhello\\n\\n" % number)
        if lock == "dotlock":
            os.unlink(path + ".lock")
        break
"""


@pytest.mark.parametrize("lock", ["dotlock", "fcntl", "flock"])
def test_no_message_is_lost_that_arrives_meanwhile(tmp_path, mailboxes, lock):
    box = tmp_path / "alice"
    box.write_text(other())
    argv = [sys.executable, "-c", DELIVER, str(box), lock, "500"]
    mailboxes.mark(str(box))
    rounds = count = 0
    with subprocess.Popen(argv) as delivery:
        while delivery.poll() is None:
            deliver(box, own(f"t{rounds}"))
            token, rounds = f"t{rounds}", rounds + 1
            mailboxes.look(str(box), [token])
            count += mailboxes.remove(str(box), [token])[0]
    text = box.read_text()
    assert [text.count(f"Subject: other-{number}-") for number in range(500)] == [1] * 500
    assert text.count("X-Postmaster-Token: ") == rounds - count
    assert text.startswith(other())


@pytest.mark.parametrize("lock", ["dotlock", "fcntl", "flock"])
def test_no_message_is_lost_that_arrives_in_the_last_moment(tmp_path, monkeypatch, lock):
    box = tmp_path / "alice"
    box.write_text(other() + own())
    deliveries = []
    truncate = os.ftruncate

    def interrupted(handle, size):
        argv = [sys.executable, "-c", "print('begun', flush=True)\n" + DELIVER, str(box), lock, "1"]
        deliveries.append(subprocess.Popen(argv, stdout=subprocess.PIPE, text=True))
        assert deliveries[0].stdout.readline() == "begun\n"
        with contextlib.suppress(subprocess.TimeoutExpired):  # it waits for the lock
            deliveries[0].wait(0.5)
        truncate(handle, size)

    monkeypatch.setattr(os, "ftruncate", interrupted)
    spot = descend(str(box))
    assert from_mbox(spot, ["t1"], None) == 1
    os.close(spot.folder)
    deliveries[0].communicate()
    assert box.read_text() == other() + "From x\nSubject: other-0-\n\nhello\n\n"


def deliver(box, text):
    """Append a message under all locks."""
    spot = descend(str(box))
    with box.open("ab") as file, locked(spot, file.fileno(), 60):
        file.write(text.encode())
        file.flush()
    os.close(spot.folder)


@pytest.fixture
def maildir(tmp_path):
    for folder in ("new", "cur", "tmp"):
        (tmp_path / "Maildir" / folder).mkdir(parents=True)
    return tmp_path / "Maildir"


def listing(maildir):
    return sorted(name for folder in ("new", "cur") for name in os.listdir(maildir / folder))


def test_a_maildir_loses_the_files_of_the_proof_alone(maildir, mailboxes):
    texts = {
        "1.a": own(),
        "2.a": other("t1"),
        "3.a": own(added="a footer\n"),
        "4.a": own("t3"),
        "5.a": own("t2", sender=""),
    }
    for name, text in texts.items():
        (maildir / "new" / name).write_text(text.partition("\n")[2])
    mailboxes.look(str(maildir), ["t1", "t2"])
    (maildir / "new" / "1.a").rename(maildir / "cur" / "1.a:2,S")
    (maildir / "new" / "6.a").write_text(other())
    count, reason = mailboxes.remove(str(maildir), ["t1", "t2"])
    assert listing(maildir) == ["2.a", "3.a", "4.a", "6.a"]
    assert count == 2
    assert "2 of 4 are followed by other mail, or were changed" in reason


def test_a_file_that_became_a_link_is_not_followed(maildir, mailboxes, tmp_path):
    target = tmp_path / "kept"
    target.write_text(own().partition("\n")[2])
    (maildir / "new" / "1.a").write_text(target.read_text())
    mailboxes.look(str(maildir), ["t1"])
    (maildir / "new" / "1.a").unlink()
    (maildir / "new" / "1.a").symlink_to(target)
    assert mailboxes.remove(str(maildir), ["t1"])[0] == 0
    assert target.exists()
    assert listing(maildir) == ["1.a"]


def test_in_a_spool_of_root_s_the_lock_is_root_s_and_the_rest_its_owner_s(tmp_path, mailboxes):
    box = tmp_path / "alice"
    box.write_text(other() + own())
    if ROOT:
        os.chown(box, ALICE, ALICE)
    box.chmod(0o600)
    assert removed(mailboxes, box) == (1, "")
    assert box.read_text() == other()
    assert (box.stat().st_uid, os.listdir(tmp_path)) == (ALICE if ROOT else os.geteuid(), ["alice"])


@pytest.mark.parametrize("make", ["link", "second name"])
def test_what_is_not_the_owner_s_alone_is_not_cut_off(tmp_path, mailboxes, make):
    home, kept = tmp_path / "alice", tmp_path / "kept"
    home.mkdir()
    kept.write_text(own())
    box = home / "box"
    box.symlink_to("../kept") if make == "link" else os.link(kept, box)
    if ROOT:
        os.chown(home, ALICE, ALICE)
        os.chown(box, ALICE, ALICE, follow_symlinks=False)
    count, _reason = removed(mailboxes, box)
    assert (count, kept.read_text()) == (0, own())


def test_a_lock_is_let_go_whatever_happens(tmp_path):
    box = tmp_path / "alice"
    box.write_text("")
    spot = descend(str(box))
    with box.open("r+b") as file:
        with contextlib.suppress(KeyError), locked(spot, file.fileno()):
            assert (tmp_path / "alice.lock").exists()
            raise KeyError
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert os.listdir(tmp_path) == ["alice"]
    os.close(spot.folder)


def test_without_time_for_a_lock_nothing_is_removed(tmp_path):
    box = tmp_path / "alice"
    box.write_text(own())
    with contextlib.closing(Mailboxes(Deadline(10))) as mailboxes:
        assert removed(mailboxes, box) == (
            0,
            f"{box}: 1 were not removed, because less than 15 s of the deadline were left",
        )
    assert box.read_text() == own()
