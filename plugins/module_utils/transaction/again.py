# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rollback of which the files are back and the service does not have them: it is restarted once more.

No file is touched: whoever has repaired one by hand meanwhile keeps that.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .journal import ROLLED_BACK
from .service import Service

if TYPE_CHECKING:
    from .._system.host import Host
    from .journal import Journal
    from .store import Store

TRYING = 300.0  # seconds after a rollback in which the host tries again by itself
AGAIN = f"the host tries again for {TRYING:g} s, and so does the next run"


def bring_in_force(host: Host, store: Store, owed: Journal) -> str:
    """Restart the service that is ``owed``, as ``Store.owed`` says; an empty string, or what went wrong.

    It has all the time in which the host tries again: a service that is slow to start would else be stopped each time
    when it is about to be up. What its programs say is not quoted: they may quote a file that is secret.
    """
    name, seconds = owed.service["name"], max(owed.timeout, TRYING)
    service = Service(host, owed.service, owed.answered, seconds)
    if service.activate("restart"):
        why = f"did not end within {seconds:g} s" if service.late else f"failed; the log of {name} says why"
        return f"the restart of {name} with it {why}"
    store.mark.clear()
    return ""


def gives_up(store: Store, owed: Journal) -> bool:
    """Whether the host leaves it to the next run: a service that cannot start is not restarted for ever."""
    return abs(time.time() - store.ended_at(owed.transaction, ROLLED_BACK)) > TRYING
