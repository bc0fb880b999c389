# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a change does to files, as Ansible shows it. Pure.

A setting that is marked as secret moves from a file that all can read to one of its own. The lines that leave the first
one quote it then: they are shown without what they quote.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..secrecy import contents, hide_all

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .._system.image import Change


def diffs(changes: Iterable[Change]) -> list[dict[str, str]]:
    """The diffs of the files that change, in Ansible's form."""
    changed = [change for change in changes if change.changed]
    images = [image for change in changed if change.secret for image in (change.before, change.after) if image]
    secrets = [image.content for image in images]
    return [_shown(change, secrets) for change in changed]


def _shown(change: Change, secrets: Sequence[bytes]) -> dict[str, str]:
    found = change.diff()
    if not secrets or change.secret:
        return found
    before, after = found["before"].splitlines(keepends=True), set(found["after"].splitlines(keepends=True))
    leaving = [line for line in before if line not in after]
    hidden = iter(hide_all(leaving, contents(secrets), limit=max(map(len, leaving), default=0)))
    return {**found, "before": "".join(line if line in after else next(hidden) for line in before)}
