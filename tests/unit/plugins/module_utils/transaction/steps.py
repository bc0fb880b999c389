# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of a transaction: each thing that it asks of the disk, and each program that it runs."""

from __future__ import annotations

import os
from functools import partial

# what a disk is asked to do, and whether that needs room
OPERATIONS = {
    "open": True,
    "fsync": True,
    "rename": False,
    "unlink": False,
    "symlink": True,
    "mkdir": True,
    "fchown": False,
    "fchmod": False,
}


class Steps:
    """Counts the steps of a transaction, and lets something happen at one of them, or from one of them on.

    What is done in directories that have ``aside`` in their names is no step.
    """

    def __init__(self, replace, system, at=0, happens=None, aside=None):
        self.number, self.at, self.happens, self.happening = 0, at, happens, False
        for name, room in OPERATIONS.items():
            replace(os, name, partial(self._operation, getattr(os, name), room))
        self.aside, ran, fdopen = aside, system.run, os.fdopen
        replace(os, "fdopen", lambda handle, *given: Written(fdopen(handle, *given), handle, self))
        replace(system, "run", partial(self._program, ran))

    def _operation(self, original, room, *given, **more):
        if not _look(original, given):
            self.step(room and not _directory(given), given[0])
        return original(*given, **more)

    def _program(self, original, *given, **more):
        self.step(False, None)
        return original(*given, **more)

    def step(self, room, path):
        if self.happening or (self.aside and path is not None and self.aside in _name(path)):
            return
        self.number += 1
        if self.at and self.number >= self.at:
            self.happening = True
            try:
                self.happens(room, path)
            finally:
                self.happening = False


class Written:
    """A file whose writing is a step."""

    def __init__(self, file, handle, steps):
        self.file, self.handle, self.steps = file, handle, steps

    def __enter__(self):
        self.file.__enter__()
        return self

    def __exit__(self, *error):
        return self.file.__exit__(*error)

    def __getattr__(self, name):
        return getattr(self.file, name)

    def write(self, content):
        self.steps.step(True, self.handle)
        return self.file.write(content)


def _name(path):
    return os.readlink(f"/proc/self/fd/{path}") if isinstance(path, int) else os.fspath(path)


def _look(original, given):
    """Whether something is only opened to be read."""
    return original.__name__ == "open" and given[1] & (os.O_ACCMODE | os.O_CREAT) == os.O_RDONLY


def _directory(given):
    """Whether a directory is brought to disk."""
    return isinstance(given[0], int) and os.path.isdir(given[0])
