# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two ends of a transaction: it is confirmed, or what it changed comes back as it was.

Either may be interrupted at any point, and begun again.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .._system import files as disk
from .._system.obstacles import explain
from ..errors import UserError
from ..secrecy import contents, hide
from .again import AGAIN, bring_in_force
from .journal import CONFIRMED, PENDING, ROLLED_BACK, UNCHANGED, Journal
from .service import Service
from .store import Store
from .switch import Switch
from .timer import Timer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._system.host import Host
    from .._system.image import Image

WAS = {
    CONFIRMED: "was confirmed",
    ROLLED_BACK: "was rolled back, by its timer or by another run",
    "": "is not known on this host",
}


@dataclass(frozen=True)
class Ended:
    """Why the service does not answer all the same, empty where it does; and the mail of another MTA that nobody took,
    and that which could not be read, by file; and what else is to be known of the service."""

    still: str = ""
    kept: dict[str, str] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def warnings(self) -> list[str]:
        found = {"handed over": self.kept, "read": self.unread}
        return self.notes + [
            f"mail that could not be {what} is kept in {path}: {why}"
            for what, paths in found.items()
            for path, why in paths.items()
        ]


def confirm(host: Host, store: Store, journal: Journal) -> Ended:
    """What was changed stays."""
    switch = Switch(host, store.folder, journal.switch)
    ended = Ended(kept=switch.settle(journal.answers))
    store.mark.clear()
    store.end(journal, CONFIRMED)
    Timer(host, store).disarm()
    switch.forget()
    return ended


def roll_back(host: Host, store: Store, journal: Journal, serve: bool = True) -> Ended:
    """Bring the old files back, and ``serve`` with them.

    Raises OSError where something does not come back, when all else is back: the transaction is then pending still.
    An MTA that was replaced, and is there, serves until the next try.
    Where the service does not answer the transaction has ended; its mark and its timer stay.
    """
    switch = Switch(host, store.folder, journal.switch)
    service = Service(host, journal.service, journal.answered, journal.timeout)
    try:
        store.begin_undo()
        store.mark.lose(journal)
        store.note_undone(journal)
        unread = _bring_back(switch, journal.images)
    except OSError:
        if switch.data:
            switch.release()
            if serve:
                service.activate("restart")
        raise
    still = (service.activate(journal.activation) and service.activate("restart")) if serve else ""
    closed = [image for image in journal.images.values() if image and not image.mode & stat.S_IROTH]
    still = hide(still, contents(image.content for image in closed))
    ended = Ended(still, switch.settle(journal.answered), unread, service.warnings)
    if not still:
        store.mark.clear()
    store.end(journal, ROLLED_BACK)
    if not still:
        Timer(host, store).disarm()
    switch.forget()
    return ended


def roll_back_as_told(host: Host, store: Store, journal: Journal) -> Ended:
    """As ``roll_back`` for somebody who waits for it; UserError where something does not come back."""
    try:
        return roll_back(host, store, journal)
    except OSError as error:
        raise UserError(
            f"transaction {journal.transaction} cannot be rolled back: {explain(error)}. The next run tries again"
        ) from error


def _bring_back(switch: Switch, images: Mapping[str, Image | None]) -> dict[str, str]:
    """Bring back the MTA and its files, the one also where the other is not; what ``Switch.back`` returns."""
    unread: dict[str, str] = {}
    try:
        unread = switch.back()
    finally:
        _restore(images)
    return unread


def _restore(images: Mapping[str, Image | None]) -> None:
    """Bring back each file that can be; raises one OSError that names those that cannot."""
    tried = {path: _failure(path, image) for path, image in images.items()}
    wrong = [(path, error) for path, error in tried.items() if error]
    if wrong:
        (path, first), *others = wrong
        words = [first.strerror or str(first), *(f"{other}: {error.strerror or error}" for other, error in others)]
        raise OSError(first.errno, "; ".join(words), path)


def _failure(path: str, image: Image | None) -> OSError | None:
    """Why a file does not come back; None where it does."""
    try:
        disk.restore(path, image)
    except OSError as error:
        return error
    return None


def end(host: Host, params: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    """Bring ``transaction``, or the one that is pending, to ``state``; the result of the module config_transaction."""
    host.begin_change()
    wanted = {"confirm": CONFIRMED, "rollback": ROLLED_BACK}[params["state"]]
    store, named = Store(params["state_dir"]), params["transaction"]
    with store.lock():
        look = store.look()
        Timer(host, store).refuse_another(pending=bool(look.journal or look.bad))
        warnings = look.warnings if check_mode else store.put_aside(look.bad)
        journal = look.journal
        if look.bad and not journal and not check_mode:
            Timer(host, store).disarm()
        owed = None if journal or wanted == CONFIRMED else store.owed(named)
        if owed:
            return {**_once_more(host, store, owed, check_mode), **({"warnings": warnings} if warnings else {})}
        if not journal or named not in ("", journal.transaction):
            found = store.state(named)
            if named and found != wanted:
                raise UserError(
                    f"transaction {named} cannot be {wanted.replace('_', ' ')} any more: it {WAS[found]}",
                    warnings=warnings,
                )
            return {**_result(named, found or UNCHANGED), **({"warnings": warnings} if warnings else {})}
        if wanted == CONFIRMED and store.undoing:
            raise UserError(f"transaction {journal.transaction} cannot be confirmed any more: it is being rolled back")
        if wanted == CONFIRMED and store.mark.is_of(journal):
            raise UserError(
                f"transaction {journal.transaction} cannot be confirmed: it was interrupted before the service had the"
                " new configuration. Roll it back, or start a new run, which does so first"
            )
        if check_mode:
            return {**_result(journal.transaction, PENDING, changed=True), "warnings": warnings}
        ended = (confirm if wanted == CONFIRMED else roll_back_as_told)(host, store, journal)
        if ended.still:
            Timer(host, store).again(journal.transaction)
    mail = {"kept": ended.kept, "warnings": [*warnings, *ended.warnings]}
    if ended.still:
        raise UserError(f"the old configuration is back, and does not answer: {ended.still}; {AGAIN}", **mail)
    return {**_result(journal.transaction, wanted, changed=wanted == ROLLED_BACK), **mail}


def _once_more(host: Host, store: Store, owed: Journal, check_mode: bool) -> dict[str, Any]:
    """Bring in force what was rolled back before; the result."""
    wrong = "" if check_mode else bring_in_force(host, store, owed)
    if wrong:
        raise UserError(f"the old configuration is back, and does not answer: {wrong}; the next run tries again")
    if not check_mode:
        Timer(host, store).disarm()
    return _result(owed.transaction, ROLLED_BACK, changed=True)


def _result(transaction: str, state: str, changed: bool = False) -> dict[str, Any]:
    return {"changed": changed, "state": state, "transaction": transaction}
