# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be told of the files on the way, whatever becomes of the work: the runner makes warnings of it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_REMARKS: list[str] = []


def remark(text: str) -> None:
    """Note a sentence for the user, without a full stop."""
    _REMARKS.append(text)


def remarks() -> list[str]:
    """Return what was noted since the last call, each sentence once."""
    found = list(dict.fromkeys(_REMARKS))
    _REMARKS.clear()
    return found


@contextlib.contextmanager
def remarked(what: str) -> Iterator[None]:
    """Make a remark of an OSError. ``what`` says what was not done: "/etc/x could not be removed"."""
    try:
        yield
    except OSError as error:
        remark(f"{what}: {error.strerror or error}")
