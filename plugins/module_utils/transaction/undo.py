# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the host runs by itself: the rollback of a transaction whose time is up, or that a boot has found."""

from __future__ import annotations

import argparse
import syslog
import time
from typing import TYPE_CHECKING

from .._system.host import Host
from .._system.obstacles import explain
from .._system.remarks import remarks
from ..errors import UserError
from ..shown import line
from .again import bring_in_force, gives_up
from .end import roll_back
from .store import Store
from .switch import Switch
from .timer import Timer

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST = 1800.0  # seconds between two tries to roll back


def main(argv: Sequence[str] | None = None) -> int:
    """The program; its status is 0 where nothing is left that it can do. Else systemd starts it again."""
    parser = argparse.ArgumentParser(description="Roll back a change of the mail configuration that was not confirmed.")
    parser.add_argument("folder", help="where the journals are")
    parser.add_argument("--transaction", default="", help="the only one that is meant")
    parser.add_argument("--after", type=float, default=0, help="seconds to wait before")
    parser.add_argument("--boot", action="store_true", help="leave it to the boot to start the service")
    meant = parser.parse_args(argv)
    time.sleep(meant.after)
    store = Store(meant.folder)
    try:
        status = _undo(store, meant)
    except (OSError, UserError) as error:
        _say(explain(error))
        status = 1
    finally:
        for text in remarks():
            _say(text)
    if status and not meant.boot:  # nobody waits for it but systemd, to start it again
        time.sleep(pause(time.time() - store.begun_at()))
    return status


def pause(passed: float) -> float:
    """The seconds until the next try, ``passed`` seconds after the first one: what does not come back soon is tried
    more and more rarely, for each try stops the MTA for some seconds."""
    return min(abs(passed) / 2, LONGEST)


def _undo(store: Store, meant: argparse.Namespace) -> int:
    with store.lock(wait=True):
        look = store.look()
        for text in store.put_aside(look.bad):
            _say(text)
        journal = look.journal
        if not journal:
            return _once_more(store, meant)
        if meant.transaction not in ("", journal.transaction):
            return 0
        if meant.boot and journal.switch:
            Switch(Host(), store.folder, journal.switch).hold()
            Timer(Host(), store).watch(journal.transaction)
            return 0
        try:
            ended = roll_back(Host(), store, journal, serve=not meant.boot)
        except (OSError, UserError) as error:
            _say(f"transaction {journal.transaction} was not confirmed, and cannot be rolled back: {explain(error)}")
            return 1
    words = "; ".join(["the old configuration is back", *filter(None, [ended.still]), *ended.warnings])
    _say(f"transaction {journal.transaction} was not confirmed: {words}")
    return 1 if ended.still else 0


def _once_more(store: Store, meant: argparse.Namespace) -> int:
    """What there is to be done where no transaction is pending."""
    owed = None if meant.boot else store.owed(meant.transaction)
    wrong = bring_in_force(Host(), store, owed) if owed else ""
    if owed and wrong and not gives_up(store, owed):
        _say(f"the configuration of before transaction {owed.transaction} is still not in force: {wrong}")
        return 1
    Timer(Host(), store).disarm()
    if owed and wrong:
        _say(
            f"the configuration of before transaction {owed.transaction} is not in force: {wrong}. This host does not"
            " try again; the next run does"
        )
    elif owed:
        _say(f"the configuration of before transaction {owed.transaction} is in force")
    return 0


def _say(text: str) -> None:
    syslog.openlog("mailops-postmaster", facility=syslog.LOG_MAIL)
    syslog.syslog(syslog.LOG_WARNING, line(text))
