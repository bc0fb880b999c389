# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories that nobody else can enter, in the directory of state, for as long as something is checked or compiled.

A program that is killed leaves its own one behind. The next change removes it: ``sweep``.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from typing import TYPE_CHECKING

from .names import listed, remove

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "stage-"  # what the names of these directories begin with


@contextlib.contextmanager
def private_folder(state: str) -> Iterator[str]:
    """A directory of mode 0700 below ``state``, or that of temporary files where ``state`` is not there yet. It is
    removed at the end."""
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=state if os.path.isdir(state) else None) as folder:
        yield folder


def sweep(state: str) -> None:
    """Remove what was interrupted. Only who holds the lock of the host may do so."""
    for name in listed(state):
        if name.startswith(PREFIX):
            remove(os.path.join(state, name))
