# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What root runs over the queue of Postfix before a stop: with the queue's rights, and past what is no plain file."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils.queue.postfix import DRAIN

AS_POSTFIX = "setpriv --reuid=postfix --regid=postfix --clear-groups"
WAITED = 124  # how timeout(1) ends that has ended something


@pytest.fixture
def look():
    """``look(path)``: how the program ends that is given the names which find(1) has found."""
    (program,) = re.findall(r"-exec (perl .*?) \{\} \+", DRAIN, re.DOTALL)

    def run(path):
        return subprocess.run(["sh", "-c", f'timeout 1 {program} "$1"', "sh", str(path)], check=False).returncode

    return run


def test_every_look_into_the_queue_has_the_rights_of_its_owner():
    looks = [command for command in DRAIN.replace("\\\n", "").splitlines() if "/active" in command]
    assert looks
    assert all(re.fullmatch(rf"timeout --kill-after=\S+ \S+ {AS_POSTFIX} +find .*", command) for command in looks)


def test_a_delivery_that_has_begun_is_waited_for(look, tmp_path):
    (tmp_path / "message").touch()
    assert look(tmp_path / "message") == 0
    with (tmp_path / "message").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert look(tmp_path / "message") == WAITED


def test_a_link_that_has_come_in_place_of_a_message_is_not_followed(look, tmp_path):
    (tmp_path / "message").symlink_to(tmp_path / "other")
    with (tmp_path / "other").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert look(tmp_path / "message") == 0


def test_a_fifo_that_has_come_in_place_of_a_message_is_not_waited_for(look, tmp_path):
    os.mkfifo(tmp_path / "message")
    assert look(tmp_path / "message") == 0
