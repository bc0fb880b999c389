# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two ends of a transaction: it is confirmed, or what it changed comes back as it was.

Either may be interrupted at any point, and begun again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import UserError
from . import files as disk
from .journal import CONFIRMED, PENDING, ROLLED_BACK, UNCHANGED, Journal
from .service import Service
from .store import Store
from .timer import Timer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..mta.evidence import Host

WAS = {
    CONFIRMED: "was confirmed",
    ROLLED_BACK: "was rolled back, by its timer or by another run",
    "": "is not known on this host",
}


def confirm(host: Host, store: Store, journal: Journal) -> None:
    """What was changed stays."""
    store.end(journal, CONFIRMED)
    Timer(host, store).disarm()


def roll_back(host: Host, store: Store, journal: Journal, serve: bool = True) -> str:
    """Bring the old files back, and ``serve`` with them; empty, or why the service does not answer all the same.

    Raises OSError where a file does not come back: the transaction is then pending still.
    """
    store.note_undone(journal)
    for path, image in journal.images.items():
        disk.restore(path, image)
    service = Service(host, journal.service, journal.answers, journal.timeout)
    still = (service.activate(journal.activation) and service.activate("restart")) if serve else ""
    store.end(journal, ROLLED_BACK)
    Timer(host, store).disarm()
    return still


def end(host: Host, params: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    """Bring ``transaction``, or the one that is pending, to ``state``; the result of the module config_transaction."""
    wanted = {"confirm": CONFIRMED, "rollback": ROLLED_BACK}[params["state"]]
    store, named = Store(params["state_dir"]), params["transaction"]
    with store.lock():
        journal = store.pending()
        if not journal or named not in ("", journal.transaction):
            found = store.state(named)
            if named and found != wanted:
                raise UserError(f"transaction {named} cannot be {wanted.replace('_', ' ')} any more: it {WAS[found]}")
            return _result(named, found or UNCHANGED)
        if check_mode:
            return _result(journal.transaction, PENDING, changed=True)
        still = ""
        if wanted == CONFIRMED:
            confirm(host, store, journal)
        else:
            still = roll_back(host, store, journal)
    if still:
        raise UserError(f"the old configuration is back, and does not answer: {still}")
    return _result(journal.transaction, wanted, changed=wanted == ROLLED_BACK)


def _result(transaction: str, state: str, changed: bool = False) -> dict[str, Any]:
    return {"changed": changed, "state": state, "transaction": transaction}
