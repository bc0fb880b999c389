# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What comes into the stage of a directory that another account may own, and what does not."""

from __future__ import annotations

import os
import socket
import time
import tracemalloc

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system import stage as staging
from ansible_collections.mailops.postmaster.plugins.module_utils._system.image import Image
from ansible_collections.mailops.postmaster.plugins.module_utils._system.stage import Stage

SECRET = "root:$6$secret"
END = ", and is not among the files that are checked"


@pytest.fixture
def live(tmp_path):
    folder = tmp_path / "etc"
    folder.mkdir()
    (tmp_path / "secret").write_text(SECRET)
    (folder / "good").write_text("good\n")
    return folder


@pytest.fixture
def stage(live, tmp_path):
    return Stage(str(tmp_path / "stage"), str(live))


def contents(folder):
    """What each file below a directory says; where a link leads."""
    return {
        str(path.relative_to(folder)): str(path.readlink()) if path.is_symlink() else path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or not path.is_dir()
    }


def test_files_directories_and_links_are_copied_with_mode_and_time(live, stage, tmp_path):
    (live / "below").mkdir(mode=0o750)
    (live / "below" / "deep").write_text("deep\n")
    (live / "below" / "deep").chmod(0o640)
    os.utime(live / "below" / "deep", (100, 200))
    (live / "link").symlink_to("below/deep")
    assert stage.copy() == []
    assert contents(tmp_path / "stage") == {"good": "good\n", "below/deep": "deep\n", "link": "below/deep"}
    found = (tmp_path / "stage" / "below" / "deep").stat()
    assert (found.st_mode & 0o777, found.st_mtime) == (0o640, 200)
    assert (tmp_path / "stage" / "below").stat().st_mode & 0o777 == 0o750


def test_a_setuid_file_of_somebody_else_is_no_setuid_file_of_root_s(live, stage, tmp_path):
    (live / "good").chmod(0o6755)
    assert stage.copy() == []
    assert (tmp_path / "stage" / "good").stat().st_mode & 0o7777 == 0o755


def fifo(path):
    os.mkfifo(path)


def unix_socket(path):
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(str(path))


def sparse(path):
    with path.open("wb") as file:
        file.truncate(1 << 42)


def deep(path):
    path.joinpath(*["d"] * staging.DEPTH).mkdir(parents=True)


# What somebody else has put there, and what is said of it.
HOSTILE = {
    "a FIFO": (fifo, "{path} is a FIFO, not a regular file"),
    "a socket": (unix_socket, "{path} is a socket, not a regular file"),
    "a file of 4 TiB": (sparse, "{path} is 4398046511104 octets long, and 1073741824 of its owner are copied"),
    "directories without end": (deep, "{path}" + "/d" * staging.DEPTH + f" is deeper than {staging.DEPTH} directories"),
}


@pytest.mark.parametrize(("make", "said"), HOSTILE.values(), ids=HOSTILE)
def test_what_is_no_good_file_is_left_out_and_named(live, stage, tmp_path, make, said):
    make(live / "bad")
    assert stage.copy() == [said.format(path=live / "bad") + END]
    assert contents(tmp_path / "stage") == {"good": "good\n"}


def test_a_file_that_becomes_a_link_when_it_was_looked_at_is_not_followed(live, stage, tmp_path, monkeypatch):
    look = os.stat

    def exchange(name, **how):
        found = look(name, **how)
        if name == "good":
            (live / "good").unlink()
            (live / "good").symlink_to(tmp_path / "secret")
        return found

    monkeypatch.setattr(staging.os, "stat", exchange)
    assert stage.copy() == [f"{live}/good is a link, which is not followed{END}"]
    assert contents(tmp_path / "stage") == {}


def test_a_directory_that_becomes_a_link_when_it_was_looked_at_is_not_followed(live, stage, tmp_path, monkeypatch):
    (live / "below").mkdir()
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "secret").write_text(SECRET)
    look = os.stat

    def exchange(name, **how):
        found = look(name, **how)
        if name == "below":
            (live / "below").rmdir()
            (live / "below").symlink_to(tmp_path / "secrets")
        return found

    monkeypatch.setattr(staging.os, "stat", exchange)
    [said] = stage.copy()
    assert said.startswith(f"{live}/below ")
    assert contents(tmp_path / "stage") == {"good": "good\n"}


def test_in_a_directory_of_another_account_a_second_name_of_a_file_is_left_out(live, stage, tmp_path):
    live.chmod(0o777)
    (live / "name").hardlink_to(tmp_path / "secret")
    assert stage.copy() == [f"{live}/name has 2 names{END}"]
    assert contents(tmp_path / "stage") == {"good": "good\n"}


@pytest.mark.parametrize(("name", "limit"), [("FILES", 3), ("OCTETS", 29)])
def test_what_is_over_a_limit_is_counted_and_the_first_of_it_named(live, stage, tmp_path, monkeypatch, name, limit):
    monkeypatch.setattr(staging, name, limit)
    for number in range(20):
        (live / f"{number:010}").write_text("0123456789")
    said = stage.copy()
    copied = len(contents(tmp_path / "stage"))
    assert copied == 3
    assert len(said) == staging.NAMED + 1
    assert said[-1] == f"{21 - copied - staging.NAMED} more files are not among those that are checked"


def test_names_without_end_cost_little_time_and_no_memory(live, stage, tmp_path, monkeypatch):
    """Whose share is used up has his files counted, and they are neither opened nor remembered."""
    monkeypatch.setattr(staging, "FILES", 10)
    for number in range(50_000):
        (live / f"access.{number}.x").touch()
    begun = time.process_time()
    tracemalloc.start()
    said = stage.copy()
    made = staging.products(str(live / "access"), None)
    _now, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert time.process_time() - begun < 5
    assert (len(contents(tmp_path / "stage")), made) == (10, [])
    assert said[-1] == f"{50_001 - 10 - staging.NAMED} more files are not among those that are checked"
    assert most < 1 << 20


def test_the_listing_ends_where_nobody_could_wait_for_it(live, stage, monkeypatch):
    monkeypatch.setattr(staging, "FILES", 3)
    monkeypatch.setattr(staging, "PASSED_OVER", 15)
    (live / "below").mkdir()
    for number in range(30):
        (live / f"{number}").touch()
        (live / "below" / f"{number}").touch()
    said = stage.copy()
    assert said[-1] == "the listing ended there: more than 15 files are too many"
    assert said[-2] == f"{16 - staging.NAMED} more files are not among those that are checked"


def test_another_owner_has_a_share_of_its_own(live, stage, tmp_path, monkeypatch):
    """What it takes is not taken from root's."""
    monkeypatch.setattr(staging, "trusted", lambda: frozenset((0,)))
    copied = staging.Copy(shares={12345: staging.Share(10, 0, 0)})
    source = os.open(live, os.O_RDONLY)
    (tmp_path / "stage").mkdir()
    copied.folder(source, stage.path, str(live), 1)
    os.close(source)
    assert copied.left_out() == []
    assert contents(tmp_path / "stage") == {"good": "good\n"}


def test_no_file_is_written_through_a_link_that_was_copied(live, stage, tmp_path):
    (live / "table").symlink_to(tmp_path / "secret")
    (live / "table.db").symlink_to(tmp_path / "secret")
    stage.copy()
    stage.write(str(live / "table"), Image(b"new", os.getuid(), os.getgid(), 0o644), None)
    assert contents(tmp_path / "stage") == {"good": "good\n", "table": "new"}
    assert (tmp_path / "secret").read_text() == SECRET


def test_of_no_directory_nothing_is_copied(tmp_path):
    assert Stage(str(tmp_path / "stage"), str(tmp_path / "not-there")).copy() == []
    assert Stage(str(tmp_path / "stage"), "").copy() == []
