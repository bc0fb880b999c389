# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends a module to a host in less time.

Ansible reads all files of a module to find out what they import, and makes very many objects of them. Python's garbage
collector then goes through everything that Ansible holds, again and again: that is two fifths of the time, and once
more as soon as it may. Nothing of what is made is a cycle that has to be collected before the task ends, and with the
task its process ends.
"""

from __future__ import annotations

import contextlib
import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """No collection of garbage until the end; as it was before, then."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.freeze()
            gc.enable()
