# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a queue is made of: messages, and the places where an MTA keeps them."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .._system.host import Host

HEADER = re.compile(rb"(?:[^\s:]+[ \t]*:.*\n(?:[ \t].*\n)*)*")
BLIND = re.compile(rb"^(?:resent-)?bcc[ \t]*:.*\n(?:[ \t].*\n)*", re.IGNORECASE | re.MULTILINE)
TAKEN = "taken."  # before the name of what an MTA is not to find any more


class UnreadableError(Exception):
    """A message of which is not known what it says, or to whom it goes; its text says why."""


@dataclass(frozen=True)
class Queued:
    """One message of a queue. ``sender`` is empty for the null sender, and ``recipients`` are those who have not got
    it; an address without a domain belongs to the host. Lines of ``content`` end with LF, as MTAs keep them."""

    mta: str
    id: str
    sender: str
    recipients: tuple[str, ...]
    content: bytes


@dataclass(frozen=True)
class Entry:
    """A message in a queue: its id, and the file or directory without which the MTA does not know of it.

    A message is taken out of a queue by a rename of that key, beside which it stays until it is removed.
    """

    id: str
    key: str

    @property
    def aside(self) -> str:
        folder, name = os.path.split(self.key)
        return os.path.join(folder, TAKEN + name)

    @property
    def taken(self) -> bool:
        return os.path.lexists(self.aside)

    @property
    def path(self) -> str:
        """Where the key is now."""
        return self.aside if self.taken else self.key

    def take(self) -> None:
        if not self.taken:
            os.rename(self.key, self.aside)

    def give_back(self) -> None:
        if self.taken:
            os.rename(self.aside, self.key)


@dataclass(frozen=True)
class Spool:
    """How an MTA keeps its queue. ``folders`` are searched for names that match ``key``, whose first group is the id.

    ``read`` makes a message of an entry: none where the MTA never took it, or everybody has got it. ``others`` are the
    files beside the key. ``flush`` has the queue tried at once; ``units`` are the services and ``programs`` the
    beginnings of the paths of the programs that work on it. ``drain``, where a stop of the service interrupts
    deliveries, lets those end that have begun, and none begin: the beginning of the backend's restart.
    """

    mta: str
    folders: tuple[str, ...]
    key: str
    read: Callable[[Host, Entry], Queued | None]
    others: Callable[[Entry], list[str]]
    flush: tuple[str, ...]
    units: tuple[str, ...]
    programs: tuple[str, ...]
    drain: tuple[str, ...] = ()

    def entries(self) -> Iterator[Entry]:
        """All messages, whether they are taken or not."""
        for top in self.folders:
            for folder, folders, files in os.walk(top):
                for name in sorted({name.removeprefix(TAKEN) for name in folders + files}):
                    found = re.fullmatch(self.key, name)
                    if found:
                        yield Entry(found.group(1), os.path.join(folder, name))


def read_bytes(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def text(raw: bytes) -> str:
    """An address or a name, of which no byte is lost."""
    return raw.decode("utf-8", "surrogateescape")


def without_blind(message: bytes) -> bytes:
    """A message, or its header alone, without the fields that name whom nobody else is to know of."""
    return HEADER.sub(lambda header: BLIND.sub(b"", header[0]), message, count=1)
