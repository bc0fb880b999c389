# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The .forward file of an account, as smtpd reads it."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, NamedTuple

from ..aliases.sources import forward as read
from .opensmtpd_items import items

if TYPE_CHECKING:
    from .._system.host import Account, Host
    from .opensmtpd_items import Item

TOO_LARGE = 4096
STICKY = 0o1000
WRITABLE = 0o022


class Forward(NamedTuple):
    """The values of the file, each with its place; why smtpd refuses the mail because of it; why it was not read.

    smtpd opens the file as root, who sees more than the account.
    """

    path: str
    members: list[tuple[str, Item]]
    refused: str = ""
    unseen: str = ""


def forward(host: Host, account: Account) -> Forward:
    """What a .forward file says; one that is not there, or is empty, says nothing."""
    path = posixpath.join(account.home, ".forward")
    home = host.stat_as(account.home, account)
    if not home:
        return Forward(path, [], unseen=f"cannot be seen by {account.name}" if host.stat(account.home) else "")
    if home.mode & STICKY:
        return Forward(account.home, [], "is sticky, so that smtpd defers the mail")
    found = read(host, path, account, follow=False)
    content = found.content
    if not content:
        open_to_root = found.denied or not found.seen
        return Forward(path, [], "" if open_to_root else found.why, found.why if open_to_root else "")
    refused = (
        "belongs to another account"
        if content.uid != account.uid
        else "can be written by others than its owner"
        if content.mode & WRITABLE
        else f"stands in {account.home}, where others than its owner can write"
        if home.mode & WRITABLE or home.uid not in (0, account.uid)
        else "is larger than 4 KiB"
        if content.size >= TOO_LARGE
        else ""
    )
    members: list[tuple[str, Item]] = []
    if not refused:
        for number, line in enumerate(content.text.split("\n"), 1):
            good, bad = items(line.partition("#")[0].strip())
            members += [(f"{path}:{number}", item) for item in good]
            if bad:
                return Forward(f"{path}:{number}", [], f"says {bad}, which smtpd cannot read")
    return Forward(path, members, refused)
