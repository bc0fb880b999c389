# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""However many mailboxes somebody has his mail put into, and whatever is in them: together they keep one limit.

Each row makes the mailboxes of alice. They are marked and looked at before that of bob, who has the verdict that he
deserves.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system.deadline import Deadline
from ansible_collections.mailops.postmaster.plugins.module_utils.mailbox import maildir as maildirs_of
from ansible_collections.mailops.postmaster.plugins.module_utils.mailbox import watched
from ansible_collections.mailops.postmaster.plugins.module_utils.mailbox.find import Search
from ansible_collections.mailops.postmaster.plugins.module_utils.mailbox.watched import Mailboxes
from weight import Weight

MODULE_UTILS = "ansible_collections.mailops.postmaster.plugins.module_utils"
MESSAGE = "X-Postmaster-Token: t1\n\nhello\n"
HEAD = "From a@b.example Mon Nov 23 01:00:00 2026\n"
MEGABYTES = 300  # of the search and all its children
DEADLINE = 30.0  # seconds
BEYOND = 5.0  # seconds after the deadline in which the search has ended

SEARCH = f"""
import contextlib, json, sys
from {MODULE_UTILS}._system.deadline import Deadline
from {MODULE_UTILS}.mailbox.find import Search
from {MODULE_UTILS}.mailbox.watched import Mailboxes
paths, marked, deadline = json.loads(sys.argv[1]), json.loads(sys.argv[2]), float(sys.argv[3])
with contextlib.closing(Mailboxes(Deadline(deadline))) as boxes:
    for path in marked:
        boxes.unread(path)
        boxes.mark(path)
    search = Search(dict.fromkeys(paths, ["t1", "t2"]), boxes)
    hits = search.wait(0)
    print(json.dumps([{{token: {{path: hit.count for path, hit in found.items()}} for token, found in hits.items()}},
        search.reasons]))
"""


def maildir(path, files=0, text=""):
    for folder in ("new", "cur", "tmp"):
        (path / folder).mkdir(parents=True)
    if files:
        new = os.open(path / "new", os.O_PATH)
        for number in range(files):
            handle = os.open(f"{number:06}.a", os.O_CREAT | os.O_WRONLY, dir_fd=new)
            os.write(handle, text.encode())
            os.close(handle)
        os.close(new)
    return path


def links(home, count, files=0):
    maildir(home / "Maildir", files)
    for number in range(count):
        (home / f"m{number}").symlink_to("Maildir")
    return [home / f"m{number}" for number in range(count)]


def maildirs(home, count, files=0, text=""):
    return [maildir(home / f"m{number}", files, text) for number in range(count)]


def mboxes(home, count, text):
    for number in range(count):
        (home / f"m{number}").write_text(text)
    return [home / f"m{number}" for number in range(count)]


def hard_links(home, count, text):
    (box,) = mboxes(home, 1, text)
    for number in range(1, count):
        os.link(box, home / f"m{number}")
    return [home / f"m{number}" for number in range(count)]


def names_of_one(home, count):
    box = maildir(home / "Maildir", 1, MESSAGE)
    return [str(box.parent) + "/." * number + "/Maildir" for number in range(count)]


LONG = HEAD + "".join(f"X-{number}: {'y' * 990}\n" for number in range(2000))
WIDE = HEAD + "".join(f"Received: t1 t2 {'y' * 8}\n" for number in range(4000)) + "\n"

# What alice has; whether it is marked before it is looked at.
MANY = {
    "100 links to an empty Maildir": (lambda home: links(home, 100), True),
    "100 links to a Maildir of 10,000 files": (lambda home: links(home, 100, 10_000), True),
    "100 names of one Maildir": (lambda home: names_of_one(home, 100), True),
    "100 hard links to an mbox": (lambda home: hard_links(home, 100, HEAD + MESSAGE), True),
    "60 empty Maildirs": (lambda home: maildirs(home, 60), True),
    "400 Maildirs": (lambda home: maildirs(home, 400), True),
    "20 Maildirs of 1,000 files, not marked": (lambda home: maildirs(home, 20, 1_000), False),
    "60 mboxes whose header never ends": (lambda home: mboxes(home, 60, LONG), False),
    "60 mboxes with long headers that have the tokens": (lambda home: mboxes(home, 60, WIDE), False),
    "60 Maildirs with long headers that have the tokens": (lambda home: maildirs(home, 60, 3, WIDE), False),
    "1000 that are not there": (lambda home: [home / f"m{number}" for number in range(1000)], True),
}


@pytest.mark.parametrize(("make", "marked"), MANY.values(), ids=MANY)
def test_all_mailboxes_together_keep_the_limits_and_that_of_somebody_else_is_looked_at(tmp_path, make, marked):
    (tmp_path / "alice").mkdir()
    bob = maildir(tmp_path / "bob" / "Maildir")
    hers = [str(path) for path in make(tmp_path / "alice")][: watched.MOST - 1]
    (bob / "new" / "1.a").write_text(MESSAGE)
    argv = [json.dumps([*hers, str(bob)]), json.dumps(hers * marked), str(DEADLINE)]
    begun = time.monotonic()
    with Weight() as weight:
        done = subprocess.run(
            [sys.executable, "-c", SEARCH, *argv],
            stdout=subprocess.PIPE,
            check=True,
            env={"PYTHONPATH": ":".join(sys.path)},
        )
    seconds = time.monotonic() - begun
    hits, reasons = json.loads(done.stdout)
    print(f"{seconds:.1f} s, {weight.megabytes:.0f} MB in {weight.processes} processes, {len(reasons)} not looked at")
    assert hits["t1"][str(bob)] == 1
    assert weight.megabytes < MEGABYTES
    assert seconds < DEADLINE + BEYOND


@pytest.fixture
def mailboxes():
    with contextlib.closing(Mailboxes(Deadline(60))) as found:
        yield found


def test_what_others_hold_leaves_each_mailbox_its_own_files(tmp_path, monkeypatch, mailboxes):
    monkeypatch.setattr(maildirs_of, "MOST", 50)
    monkeypatch.setattr(watched, "SURE", 10)
    paths = [str(maildir(tmp_path / name, files)) for name, files in {"a": 45, "b": 9, "c": 11, "d": 9}.items()]
    for path in paths:
        mailboxes.mark(path)
    seen = [mailboxes.look(path, ["t1"]).reason for path in paths]
    assert [bool(reason) for reason in seen] == [False, False, True, False]
    assert seen[2] == f"{paths[2]} holds more than 10 files, and 50 of all mailboxes together are looked at"


def test_what_does_not_fit_at_once_is_listed_again(tmp_path, monkeypatch, mailboxes):
    monkeypatch.setattr(maildirs_of, "NEWEST", 7)
    box = maildir(tmp_path / "box", 100, MESSAGE)
    assert mailboxes.look(str(box), ["t1"]).counts == {"t1": 100}


def test_names_of_one_mailbox_have_the_tokens_of_each_other(tmp_path, mailboxes):
    """One child looks for all, whether the mailbox was there when it was marked or came later."""
    for name, before in (("old", True), ("new", False)):
        links = [tmp_path / f"{name}{number}" for number in range(3)]
        for link in links:
            link.symlink_to(name)
        box = maildir(tmp_path / name) if before else tmp_path / name
        for link in links:
            mailboxes.mark(str(link))
        box = box if before else maildir(box)
        for number in range(3):
            (box / "new" / f"{number}.a").write_text(f"X-Postmaster-Token: t{number}\n\n")
        wanted = {str(link): [f"t{number}"] for number, link in enumerate(links)}
        hits = Search(wanted, mailboxes).wait(5)
        assert {token: list(found) for token, found in hits.items()} == {
            token: [path] for path, (token,) in wanted.items()
        }


def test_messages_of_a_mailbox_with_two_names_are_removed_once(tmp_path, mailboxes):
    box = maildir(tmp_path / "box", 1, MESSAGE)
    (tmp_path / "link").symlink_to("box")
    paths = [str(box), str(tmp_path / "link")]
    assert [mailboxes.look(path, ["t1"]).counts for path in paths] == [{"t1": 1}, {"t1": 1}]
    removed = [mailboxes.remove(path, ["t1"]) for path in paths]
    assert [left for _removed, left in removed if left] == [f"{box}: 1 of 1 {watched.CHANGED}"]
