# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user has mounted is the user's, whatever it says of itself."""

from __future__ import annotations

import os

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system import mounter, mounts, walk, way

ALICE = 12345
MOUNTS = """\
22 1 0:21 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
30 22 0:40 / /home/alice/mnt rw,nosuid,nodev shared:9 - fuse x rw,user_id=12345,group_id=12345,allow_other
31 22 0:41 / /srv/a\\040b rw,nosuid - fuse.sshfs host: rw,user_id=0,group_id=0
32 22 0:42 / /media/stick rw - fuseblk /dev/sdb1 rw,blksize=4096,user_id=12345,group_id=0
33 22 0:43 / /data rw - nfs4 host:/user_id=12345 rw,vers=4.2
"""


@pytest.mark.parametrize(
    ("number", "uid"),
    [("22", 0), ("30", ALICE), ("31", 0), ("32", ALICE), ("33", 0), ("3", mounter.NOBODY), ("", mounter.NOBODY)],
)
def test_a_file_system_of_fuse_is_its_mounter_s_and_one_that_is_gone_nobody_s(tmp_path, monkeypatch, number, uid):
    (tmp_path / "mountinfo").write_text(MOUNTS)
    monkeypatch.setattr(mounts, "MOUNTS", str(tmp_path / "mountinfo"))
    assert mounter.mounter(number) == uid


def test_what_is_on_a_device_of_its_own_is_looked_at_with_its_mounts(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("text")
    there = os.lstat(tmp_path / "file")
    assert walk.seen(str(tmp_path / "file")).st_uid == there.st_uid
    assert walk.seen(str(tmp_path / "missing")) is None
    # to the kernel it is on the mount of /tmp, or of /; it says of no other that it is one of FUSE
    monkeypatch.setattr(mounter, "mounter", lambda _number: ALICE)
    found = walk.seen("/proc/self/status")
    assert (found.st_uid, found.st_mode) == (ALICE, os.lstat("/proc/self/status").st_mode)
    assert way.holder("/proc/self/status").st_uid == ALICE


def test_the_kernel_says_what_is_mounted_at_a_place():
    """procfs is mounted by root, wherever the tests run."""
    assert walk.seen("/proc/version").st_uid == os.lstat("/proc/version").st_uid
