# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many mailboxes of one address are looked at: whoever gets its mail cannot use up what others need. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable

from ..shown import line
from .watched import Waiting

if TYPE_CHECKING:
    from collections.abc import Iterable

EACH = 20  # mailboxes of one address
TOO_MANY = f"was not looked at: of one address no more than {EACH} mailboxes are"


class Shares:
    """Mailboxes by the address whose mail they get; ``unread`` says how long mail has waited in one."""

    def __init__(self, unread: Callable[[str], Waiting]) -> None:
        self._unread = unread
        self._of: dict[str, set[str]] = {}
        self._all: set[str] = set()
        self.left_out: dict[str, str] = {}  # by mailbox, that it is one too many

    def of(self, address: str, mailboxes: Iterable[str]) -> list[str]:
        """Those of the mailboxes that are looked at."""
        return [mailbox for mailbox in mailboxes if self._has(address, mailbox)]

    def unread(self, address: str, mailbox: str) -> Waiting:
        """How long mail has waited in a mailbox, where it is looked at."""
        return self._unread(mailbox) if self._has(address, mailbox) else Waiting(None, TOO_MANY)

    def _has(self, address: str, mailbox: str) -> bool:
        mine = self._of.setdefault(address, set())
        if mailbox not in self._all and len(mine) >= EACH:
            self.left_out[mailbox] = f"{line(mailbox)} {TOO_MANY}"
            return False
        mine.add(mailbox)
        self._all.add(mailbox)
        return True
