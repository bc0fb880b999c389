# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""policy-rc.d: what is there is kept, comes back, and is not touched where it cannot be replaced."""

from __future__ import annotations

import errno
import os

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system import policy
from in_the_way import pin

THEIRS = "#!/bin/sh\nexit 0\n"
UNITS = ["old", "new"]


@pytest.fixture
def paths(tmp_path, monkeypatch):
    """Where the policy is, and where that of before is kept."""
    monkeypatch.setattr(os, "fchown", lambda *_given: None)
    (tmp_path / "sbin").mkdir()
    (tmp_path / "state").mkdir()
    return tmp_path / "sbin" / "policy-rc.d", tmp_path / "state" / "policy-rc.d"


def deny(paths, units=UNITS):
    policy.deny(str(paths[0]), units, str(paths[1]))


def allow(paths):
    policy.allow(str(paths[0]), str(paths[1]))


BEFORE = {
    "a file": lambda path: path.write_text(THEIRS),
    "a link": lambda path: path.symlink_to("other"),
    "nothing": lambda _path: None,
}


def seen(path):
    return os.readlink(path) if path.is_symlink() else path.read_text() if path.exists() else None


@pytest.mark.parametrize("make", BEFORE.values(), ids=BEFORE)
def test_what_was_there_is_there_again(paths, make):
    make(paths[0])
    before = seen(paths[0])
    deny(paths)
    assert policy.is_ours(str(paths[0]))
    deny(paths, ["other"])
    allow(paths)
    allow(paths)
    assert os.path.basename(seen(paths[0]) or "") == os.path.basename(before or "")
    assert [os.listdir(path.parent) for path in paths] == [[] if before is None else ["policy-rc.d"], []]


@pytest.mark.parametrize("make", [BEFORE["a file"], BEFORE["a link"]], ids=["a file", "a link"])
def test_one_that_cannot_be_replaced_stays_and_nothing_is_left_beside_it(paths, monkeypatch, make):
    make(paths[0])
    before = seen(paths[0])
    with monkeypatch.context() as patched:
        pin(patched, paths[0])
        with pytest.raises(OSError, match="busy"):
            deny(paths)
        allow(paths)
    assert (seen(paths[0]), [os.listdir(path.parent) for path in paths]) == (before, [["policy-rc.d"], []])


def test_one_that_is_ours_is_not_written_again(paths, monkeypatch):
    deny(paths)
    pin(monkeypatch, paths[0])
    deny(paths)
    assert policy.is_ours(str(paths[0]))


def test_one_that_somebody_has_made_meanwhile_stays(paths):
    paths[0].write_text(THEIRS)
    deny(paths)
    paths[0].write_text("#!/bin/sh\nexit 104\n")
    allow(paths)
    assert (seen(paths[0]), paths[1].exists()) == ("#!/bin/sh\nexit 104\n", False)


def test_a_directory_in_its_place_is_refused_and_stays(paths):
    paths[0].mkdir()
    with pytest.raises(OSError, match="is a directory"):
        deny(paths)
    allow(paths)
    assert (paths[0].is_dir(), os.listdir(paths[0].parent)) == (True, ["policy-rc.d"])


def test_nothing_is_removed_where_nothing_is_and_the_disk_is_read_only(paths, monkeypatch):
    def read_only(path, **_more):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)

    monkeypatch.setattr(os, "unlink", read_only)
    allow(paths)
