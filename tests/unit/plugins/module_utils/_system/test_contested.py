# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whoever owns the directory of a file, and works against its rollback without a pause, does not stop it."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import time

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system import contested, files
from ansible_collections.mailops.postmaster.plugins.module_utils._system.image import Image
from ansible_collections.mailops.postmaster.plugins.module_utils._system.remarks import remarks

OLD = Image(b"old configuration\n", os.geteuid(), os.getegid(), 0o640)
TIMES = 20


def make_folders(folder, _number):
    os.mkdir("sendmail.cf", dir_fd=folder)


def take_away(folder, number):
    os.rename(".sendmail.cf.next", f".gone{number}", src_dir_fd=folder, dst_dir_fd=folder)


def both(folder, number):
    (make_folders if number % 2 else take_away)(folder, number)


def come_and_go(folder, number):
    (make_folders if number % 2 else lambda *_given: os.rmdir("sendmail.cf", dir_fd=folder))(folder, number)


@contextlib.contextmanager
def attacked(path, attack):
    """Another process does its worst in a directory, without a pause."""
    ready, said = os.pipe()
    child = os.fork()
    if not child:
        folder = os.open(path, os.O_RDONLY)
        for number in itertools.count():
            with contextlib.suppress(OSError):
                attack(folder, number)
            if number == 10:
                os.write(said, b"!")
    try:
        os.read(ready, 1)
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(ready)
        os.close(said)


@pytest.mark.parametrize("attack", [make_folders, take_away, both, come_and_go])
def test_a_rollback_wins_against_whoever_works_against_it(tmp_path, attack):
    target = tmp_path / "sendmail.cf"
    with attacked(tmp_path, attack):
        for number in range(TIMES):
            files.restore(str(target), Image(b"%d\n" % number, OLD.uid, OLD.gid, OLD.mode))
            files.restore(str(target), None)
    assert len(remarks()) <= 2 * TIMES * (files.RACES + 1)


def test_what_was_in_the_way_of_a_contested_file_is_kept_in_one_directory_that_only_root_enters(tmp_path):
    target = tmp_path / "sendmail.cf"
    (target / "inside").mkdir(parents=True)
    contested.put(str(target), OLD)
    assert files.read_image(str(target)) == OLD
    (aside,) = (path for path in tmp_path.iterdir() if path != target)
    assert (aside.stat().st_mode & 0o7777, [path.name for path in aside.glob("*/*")]) == (0o700, ["inside"])
    assert [str(aside) in told for told in remarks()] == [True]


def test_what_was_not_there_before_goes_aside(tmp_path):
    (tmp_path / "sendmail.cf" / "inside").mkdir(parents=True)
    contested.put(str(tmp_path / "sendmail.cf"), None)
    assert [path.name for path in tmp_path.glob("*/*/*")] == ["inside"]
    contested.put(str(tmp_path / "other"), None)
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("before", ["", "new\n"])
def test_a_contested_file_leaves_nothing_beside_it_where_nothing_was_in_the_way(tmp_path, before):
    target = tmp_path / "sendmail.cf"
    if before:
        target.write_text(before)
    contested.put(str(target), OLD)
    assert (list(tmp_path.iterdir()), files.read_image(str(target)), remarks()) == ([target], OLD, [])


def test_a_file_that_stays_contested_is_an_error_after_some_seconds(tmp_path, monkeypatch):
    target, rename = tmp_path / "sendmail.cf", os.rename

    def again(source, place, **more):
        rename(source, place, **more)
        if source == target.name:
            target.mkdir()

    target.mkdir()
    monkeypatch.setattr(os, "rename", again)
    monkeypatch.setattr(contested, "CONTEST", 0.1)
    begun = time.monotonic()
    with pytest.raises(IsADirectoryError):
        contested.put(str(target), OLD)
    assert time.monotonic() - begun < 5


def test_a_disk_that_is_full_leaves_nothing(tmp_path, monkeypatch):
    def full(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        contested.put(str(tmp_path / "sendmail.cf"), OLD)
    assert list(tmp_path.iterdir()) == []
