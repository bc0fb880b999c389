# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that a transaction which has not ended brings back if it is rolled back: an edit of them would be lost.

For whoever edits files outside of transactions, and holds the lock of the host.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from .._system.files import real
from ..errors import UserError
from .elsewhere import owner, unclear
from .store import Store
from .timer import boot_unit

if TYPE_CHECKING:
    from collections.abc import Iterable


def refuse_reserved(folder: str, paths: Iterable[str]) -> None:
    """Raise UserError where a transaction has one of these files that has not ended: in the directory of state
    ``folder``, or in the one that the units of this host belong to. Only root can look there."""
    targets = [real(path) for path in paths]
    for state in dict.fromkeys([folder, *_elsewhere()]):
        store = Store(state)
        journal = store.look().journal
        taken = [path for path in targets if journal and path in journal.images]
        if journal and taken:
            until = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(journal.deadline))
            how = "is being rolled back" if store.undoing else f"can be confirmed until {until}"
            raise UserError(
                f"{taken[0]} is part of transaction {journal.transaction}, which {how}. A rollback would undo this"
                f" edit. Nothing was changed. First confirm that transaction or roll it back, with state_dir: {state},"
                " or wait until the host rolls it back"
            )


def _elsewhere() -> list[str]:
    if os.geteuid():
        return []
    unit = boot_unit()
    try:
        found = owner(unit)
    except OSError as error:
        raise unclear(error, unit) from error
    return [found] if found else []
