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
from .._system.remarks import remarks
from ..errors import UserError
from ..shown import line
from .end import roll_back
from .store import Store
from .switch import Switch
from .timer import Timer

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """The program; its status is 0 where nothing is left to be done."""
    parser = argparse.ArgumentParser(description="Roll back a change of the mail configuration that was not confirmed.")
    parser.add_argument("folder", help="where the journals are")
    parser.add_argument("--transaction", default="", help="the only one that is meant")
    parser.add_argument("--after", type=float, default=0, help="seconds to wait before")
    parser.add_argument("--boot", action="store_true", help="leave it to the boot to start the service")
    meant = parser.parse_args(argv)
    time.sleep(meant.after)
    store = Store(meant.folder)
    try:
        return _undo(store, meant)
    except UserError as error:
        _say(str(error))
        return 1
    finally:
        for text in remarks():
            _say(text)


def _undo(store: Store, meant: argparse.Namespace) -> int:
    with store.lock(wait=True):
        look = store.look()
        for text in store.put_aside(look.bad):
            _say(text)
        journal = look.journal
        if not journal:
            Timer(Host(), store).disarm()
        if not journal or meant.transaction not in ("", journal.transaction):
            return 0
        if meant.boot and journal.switch:
            Switch(Host(), store.folder, journal.switch).hold()
            Timer(Host(), store).watch(journal.transaction)
            return 0
        try:
            ended = roll_back(Host(), store, journal, serve=not meant.boot)
        except (OSError, UserError) as error:
            _say(f"transaction {journal.transaction} was not confirmed, and cannot be rolled back: {error}")
            return 1
    words = "; ".join(["the old configuration is back", *filter(None, [ended.still]), *ended.warnings])
    _say(f"transaction {journal.transaction} was not confirmed: {words}")
    return 0


def _say(text: str) -> None:
    syslog.openlog("mailops-postmaster", facility=syslog.LOG_MAIL)
    syslog.syslog(syslog.LOG_WARNING, line(text))
