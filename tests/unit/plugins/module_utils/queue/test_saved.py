# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever fails, and wherever a process is killed, each message is there once: in its queue, or saved."""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import replace

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system.host import Completed, Host
from ansible_collections.mailops.postmaster.plugins.module_utils.queue import archive as archive_module
from ansible_collections.mailops.postmaster.plugins.module_utils.queue import exim, opensmtpd
from ansible_collections.mailops.postmaster.plugins.module_utils.queue import saved as module
from ansible_collections.mailops.postmaster.plugins.module_utils.queue import spool as spool_module
from ansible_collections.mailops.postmaster.plugins.module_utils.queue.saved import Saved, dump, load
from ansible_collections.mailops.postmaster.plugins.module_utils.queue.spool import (
    Entry,
    Queued,
    Spool,
    UnreadableError,
)
from hypothesis import given
from hypothesis import strategies as st


class KilledError(BaseException):
    """The process is gone."""


def whole(entry):
    return b"".join(map(entry.data, [entry.path, *others(entry)]))


def read(entry):
    content = whole(entry)
    if b"?" in content:
        raise UnreadableError("what is this")
    return Queued("simple", entry.id, "", ("a@b.example",), content) if content else None


def others(entry):
    return [entry.key + ".body"] if os.path.exists(entry.key + ".body") else []


@pytest.fixture
def spool(tmp_path):
    """A queue of three messages; one of them is in two files."""
    queue = tmp_path / "spool"
    (queue / "deep").mkdir(parents=True)
    for name in ("q1", "q2", "deep/q3"):
        (queue / name).write_bytes(name.encode())
    (queue / "q2.body").write_bytes(b" and more")
    return Spool("simple", (str(queue),), "(q[0-9]+)", read, others, (), (), ())


@pytest.fixture
def saved(tmp_path):
    return Saved(Host(), str(tmp_path / "saved"))


def inside(spool):
    """The messages that the MTA would find."""
    return sorted(whole(entry).decode() for entry in spool.entries() if not entry.taken)


def kept(saved):
    return sorted(load(path).content.decode() for path in saved.paths())


ALL = ["deep/q3", "q1", "q2 and more"]


def test_a_queue_is_saved_and_then_empty(spool, saved, tmp_path):
    assert saved.save(spool) == {}
    assert (inside(spool), kept(saved)) == ([], ALL)
    assert [path for path in (tmp_path / "spool").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("when", ["in the same save", "in a later one"])
def test_no_message_replaces_another_one_that_is_saved_under_its_id(spool, saved, tmp_path, when):
    """Sendmail's second queue belongs to another account, which sees the ids in the first one."""
    if when == "in a later one":
        saved.save(spool)
    (tmp_path / "spool" / "other").mkdir()
    (tmp_path / "spool" / "other" / "q1").write_bytes(b"planted")
    assert list(saved.save(spool).values()) == ["another message with its id is saved already"]
    assert (inside(spool), kept(saved)) == (["planted"], ALL)


def test_what_cannot_be_read_is_kept_and_can_come_back(spool, saved, tmp_path):
    (tmp_path / "spool" / "q4").write_bytes(b"?")
    (tmp_path / "spool" / "q5").write_bytes(b"")
    archive = str(tmp_path / "saved.unread" / "simple.q4.tar")
    assert saved.save(spool) == {archive: "what is this"}
    assert (inside(spool), kept(saved)) == (["", "?"], ALL)
    shutil.rmtree(tmp_path / "spool")
    saved.give_back_unread(spool)
    assert (inside(spool), os.path.exists(archive)) == (["?"], False)


def test_what_its_mta_was_quicker_with_is_no_error(spool, saved, monkeypatch):
    take = Entry.take

    def late(entry):
        if entry.id == "q1":
            os.unlink(entry.key)
        take(entry)

    monkeypatch.setattr(Entry, "take", late)
    assert saved.save(spool) == {}
    assert kept(saved) == ["deep/q3", "q2 and more"]


@pytest.mark.parametrize("killed", [False, True])
def test_half_an_archive_replaces_no_message(spool, saved, tmp_path, monkeypatch, killed):
    """The disk is full, or the process is gone, when half of an archive is written."""
    (tmp_path / "spool" / "q4").write_bytes(b"?" * 2000)
    write = module.disk.write_image

    def half(path, image):
        if path.endswith(".tar"):
            (tmp_path / "saved.unread" / ".simple.q4.tar.next").write_bytes(image.content[:1000])
            raise KilledError if killed else OSError(28, "No space left on device")
        write(path, image)

    monkeypatch.setattr(module.disk, "write_image", half)
    with pytest.raises((OSError, KilledError)):
        saved.save(spool)
    saved.give_back(spool)
    saved.give_back_unread(spool)
    assert sorted(inside(spool) + kept(saved)) == ["?" * 2000, *ALL]


def test_a_change_brings_back_what_it_has_kept_itself(spool, tmp_path):
    """What another one kept may have been delivered since."""
    first, then = (Saved(Host(), str(tmp_path / "saved"), change) for change in ("1-first", "2-then"))
    for number, change in ((4, first), (5, then)):
        (tmp_path / "spool" / f"q{number}").write_bytes(b"? %d" % number)
        change.save(spool)
        (tmp_path / "spool" / f"q{number}").unlink()
    then.give_back_unread(spool)
    assert (inside(spool), list(first.archives().values())) == (["? 5"], ["simple"])


def test_an_archive_that_is_whole_is_not_made_again(spool, saved, tmp_path):
    for what in (b"? whole", b"?"):
        (tmp_path / "spool" / "q4").write_bytes(what)
        saved.save(spool)
    (tmp_path / "spool" / "q4").unlink()
    saved.give_back_unread(spool)
    assert inside(spool) == ["? whole"]


def test_what_came_back_is_not_replaced_by_what_was_kept(spool, saved, tmp_path):
    (tmp_path / "spool" / "q4").write_bytes(b"?")
    saved.save(spool)
    (tmp_path / "spool" / "q4").write_bytes(b"? and what was noted since")
    saved.give_back_unread(spool)
    assert inside(spool) == ["? and what was noted since"]


def here(_rights, work, **_limits):
    """The work of a child, in this process: a kill takes both."""
    return work()


def steps(monkeypatch, at):
    """Kill the process, and its child, at the so-manieth change of a file."""
    count = 0
    for place in (module, archive_module, spool_module):
        monkeypatch.setattr(place, "call", here)

    def counted(function):
        def call(*arguments, **named):
            nonlocal count
            count += 1
            if count == at:
                raise KilledError
            return function(*arguments, **named)

        return call

    for name in ("rename", "unlink"):
        monkeypatch.setattr(os, name, counted(getattr(os, name)))
    monkeypatch.setattr(module.disk, "write_image", counted(module.disk.write_image))


@pytest.mark.parametrize("at", range(1, 30))
def test_a_save_that_was_killed_ends_when_it_is_repeated(spool, saved, monkeypatch, at):
    with monkeypatch.context() as patch:
        steps(patch, at)
        with contextlib.suppress(KilledError):
            saved.save(spool)
    saved.save(spool)
    assert (inside(spool), kept(saved)) == ([], ALL)


@pytest.mark.parametrize("again", range(1, 12, 3))
@pytest.mark.parametrize("at", range(1, 30))
def test_a_save_that_was_killed_can_be_undone_and_that_may_be_killed_too(spool, saved, monkeypatch, at, again):
    for act, count in ((lambda: saved.save(spool), at), (lambda: saved.give_back(spool), again)):
        with monkeypatch.context() as patch:
            steps(patch, count)
            with contextlib.suppress(KilledError):
                act()
    saved.give_back(spool)
    assert sorted(inside(spool) + kept(saved)) == ALL


def test_a_disk_that_is_full_loses_nothing(spool, saved, monkeypatch):
    def no_room(*_arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(module.disk, "write_image", no_room)
        with pytest.raises(OSError, match="No space"):
            saved.save(spool)
    saved.give_back(spool)
    assert (inside(spool), kept(saved)) == (ALL, [])


@given(st.binary(max_size=100), st.text(st.characters(codec="utf-8"), max_size=20), st.binary(max_size=9))
def test_a_file_says_what_the_message_said(content, sender, odd):
    queued = Queued("m", "i", sender, (odd.decode("utf-8", "surrogateescape"),), content)
    entry = dump(queued)
    assert b"\n" not in entry[: len(entry) - len(content) - 1]
    assert entry.endswith(b"\n" + content)


def test_a_message_is_known_by_its_key_alone(tmp_path):
    entry = Entry("q1", str(tmp_path / "q1"))
    (tmp_path / "q1").write_text("x")
    entry.take()
    entry.take()
    assert os.path.basename(entry.path) == "taken.q1"
    entry.give_back()
    entry.give_back()
    assert os.path.basename(entry.path) == "q1"


def test_what_was_submitted_while_smtpd_did_not_run_is_kept_and_comes_back(saved, tmp_path):
    queue, offline = tmp_path / "queue", tmp_path / "offline"
    queue.mkdir()
    offline.mkdir()
    (offline / "1700000000.AbCdEfGhIj").write_text("sendmail|-t\nTo: a@b.example\n\n")
    (offline / "1700000000.empty00000").write_text("")
    spool = replace(opensmtpd.SPOOL, folders=(str(queue), str(offline)))
    ((archive, why),) = saved.save(spool).items()
    assert "only smtpd" in why
    shutil.rmtree(offline)
    saved.give_back_unread(spool)
    assert (os.listdir(offline), os.path.exists(archive)) == (["1700000000.AbCdEfGhIj"], False)


class NoEximHost(Host):
    """Exim's package is removed."""

    def run(self, argv, **given):
        return Completed(tuple(argv), 127, "", "not found") if argv[0] == "exim4" else super().run(argv, **given)


def test_exim_that_is_gone_leaves_nobody_to_ask_who_an_alias_is(tmp_path):
    (tmp_path / "1xVUwJ-0000Ko-2A-H").write_text(
        "1xVUwJ-0000Ko-2A-H\nexim 1 1\n<>\n1 0\nNN one@b.example\n1\nall@b.example\n\n013  Subject: x\n\n"
    )
    (tmp_path / "1xVUwJ-0000Ko-2A-D").write_text("1xVUwJ-0000Ko-2A-D\nbody\n")
    unread = Saved(NoEximHost(), str(tmp_path / "saved")).save(replace(exim.SPOOL, folders=(str(tmp_path),)))
    assert [os.path.basename(path) for path in unread] == ["exim.1xVUwJ-0000Ko-2A.tar"]
