# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fate of a message from those of its recipients: the worst counts. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..proof import HandedOn

if TYPE_CHECKING:
    from collections.abc import Iterable

WORST_FIRST = ("bounced", "deferred", "queued", "sent")


def worst(fates: Iterable[tuple[str, str]], unknown: str) -> HandedOn:
    """The worst state among ``fates`` (state and the MTA's words), with all that is said of it; else ``unknown``."""
    said = list(fates)
    for state in WORST_FIRST:
        words = [text for found, text in said if found == state]
        if words:
            return HandedOn(state, "; ".join(dict.fromkeys(words)))
    return HandedOn("unknown", unknown)
