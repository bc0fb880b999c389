# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file that comes back to a place that may not be root's; for a child process with the rights of that place."""

from __future__ import annotations

import os
from contextlib import suppress

BACK = "back."  # before the name of a file that comes back, until it is whole


def write_new(place: str, data: bytes, mode: int, owner: tuple[int, int] | None) -> bytes:
    """Write a new file, whole or not at all; one that is there stays. The answer of a child is empty."""
    folder, name = os.path.split(place)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    beside = os.path.join(folder, BACK + name)
    with suppress(FileNotFoundError):
        os.unlink(beside)
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            if owner:
                os.fchown(file.fileno(), *owner)
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(beside, place)
    finally:
        os.unlink(beside)
    return b""
