# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A directory of one run stays for as long as that run lives, and goes when it is gone."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

from ansible_collections.mailops.postmaster.plugins.module_utils._system import private
from ansible_collections.mailops.postmaster.plugins.module_utils._system.private import private_folder, sweep

ROOT = Path(__file__).parents[5] / ".build"
KILLED = f"""
import os, signal, sys
sys.path.insert(0, {str(ROOT)!r})
from {private_folder.__module__} import private_folder
with private_folder(sys.argv[1]) as folder:
    open(folder + "/half", "w").close()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_living_process_uses_is_not_swept_away(tmp_path):
    with private_folder(str(tmp_path)) as folder:
        sweep(str(tmp_path))
        assert [str(path) for path in tmp_path.iterdir()] == [folder]
        assert Path(folder).stat().st_mode & 0o777 == 0o700
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_has_left_is_swept_away(tmp_path):
    assert subprocess.run([sys.executable, "-c", KILLED, tmp_path], check=False).returncode == -9
    assert len(list(tmp_path.glob("stage-*/half"))) == 1
    sweep(str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_what_is_swept_away_before_it_is_locked_is_made_anew(tmp_path, monkeypatch):
    lock, locked = fcntl.flock, []

    def flock(handle, how):
        locked.append(how)
        if len(locked) == 1:
            sweep(str(tmp_path))
        lock(handle, how)

    monkeypatch.setattr(private.fcntl, "flock", flock)
    with private_folder(str(tmp_path)) as folder:
        assert [str(path) for path in tmp_path.iterdir()] == [folder]


def test_without_a_directory_of_state_the_place_is_that_of_temporary_files(tmp_path):
    with private_folder(str(tmp_path / "none")) as folder:
        assert Path(folder).is_dir()
    assert not Path(folder).exists()
