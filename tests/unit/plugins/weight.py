# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much memory a program and all its children have together, while it runs."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from pathlib import Path

EVERY = 0.1  # seconds between two looks


class Weight:
    """``with Weight() as weight``: all that this process starts; afterwards ``megabytes`` is the most of it at once.

    What several processes share counts once (Pss, proc(5)).
    """

    def __init__(self):
        self.megabytes, self.processes = 0.0, 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_error):
        self._ended.set()
        self._thread.join()

    def _watch(self):
        while not self._ended.wait(EVERY):
            sizes = [size for size in map(_size, _below(os.getpid())) if size]
            self.megabytes = max(self.megabytes, sum(sizes) / 1024)
            self.processes = max(self.processes, len(sizes))


def _below(pid):
    """The processes that a process has started, and those that they have."""
    found = []
    with contextlib.suppress(OSError):
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in children.read_text().split():
                found += [int(child), *_below(int(child))]
    return found


def _size(pid):
    """In KiB; 0 where the process has ended."""
    try:
        return int(re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)[1])
    except (OSError, TypeError):
        return 0
