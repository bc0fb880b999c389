# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens a mailbox so that its time of access stays: by it, shells and mail readers know that there is new mail."""

from __future__ import annotations

import os
from typing import BinaryIO


def open_quietly(path: str) -> BinaryIO:
    return open(path, "rb", opener=_opener)


def _opener(path: str, flags: int) -> int:
    try:
        return os.open(path, flags | getattr(os, "O_NOATIME", 0))
    except PermissionError:  # only the owner of a file, and root, may ask for that
        return os.open(path, flags)
