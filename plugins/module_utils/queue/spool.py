# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a queue is made of: messages, and the places where an MTA keeps them.

A spool belongs to the MTA's account, which can put anything there, and exchange it between two looks. So whatever is
done in a spool is done by a child process that has the rights of the account which owns that place, and no others, and
that ends when its time or its memory is used up. What is to be read has to be a regular file with one name, of that
account or of root. What is not, or says nothing that can be understood, is an UnreadableError: the message stays.
"""

from __future__ import annotations

import json
import os
import re
import stat
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Callable

from .._system.names import mode_of, move, there, walked
from .._system.owner import rights_at
from .._system.reader import RefusedError, Rights, call, open_plain, read_up_to

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from .._system.host import Host

LARGEST = 256 << 20  # octets of a file: five times the largest message that mta_message_size takes by default
MEMORY = 3 * LARGEST  # octets that the look at one message may need: its file, its text, and both together
SECONDS = 60.0  # for the look at one message
MOST = 1_000_000  # messages of a queue
LISTING = 256 << 20  # octets of the list of so many
DEPTH = 6  # of directories in directories: of those that MTAs make by themselves, Postfix has the most, 4
HEADER = re.compile(rb"(?:[^\s:]+[ \t]*:.*\n(?:[ \t].*\n)*)*")
BLIND = re.compile(rb"^(?:resent-)?bcc[ \t]*:.*\n(?:[ \t].*\n)*", re.IGNORECASE | re.MULTILINE)
TAKEN = "taken."  # before the name of what an MTA is not to find any more


class UnreadableError(RefusedError):
    """A message of which is not known what it says, or to whom it goes; its text says why."""


class GoneError(Exception):
    """A message that is not in its queue any more: its MTA was quicker."""


@dataclass(frozen=True)
class Queued:
    """One message of a queue. ``sender`` is empty for the null sender, and ``recipients`` are those who have not got
    it; an address without a domain belongs to the host. Lines of ``content`` end with LF, as MTAs keep them. ``done``
    are those who have got it, where the MTA has still to say who of the recipients that is."""

    mta: str
    id: str
    sender: str
    recipients: tuple[str, ...]
    content: bytes
    done: tuple[str, ...] = ()


@dataclass(frozen=True)
class Entry:
    """A message in a queue: its id, and the file or directory without which the MTA does not know of it. ``taken`` is
    whether it was taken out of the queue when it was found there, and ``rights`` are those that count at its place.
    In a place that is ``shared`` others may write, through a program of the MTA, and what they write is theirs.

    A message is taken out of a queue by a rename of that key, beside which it stays until it is removed. All that is
    done with it is done in ``with_rights``.
    """

    id: str
    key: str
    rights: Rights | None = None
    taken: bool = False
    shared: bool = True

    @property
    def aside(self) -> str:
        folder, name = os.path.split(self.key)
        return os.path.join(folder, TAKEN + name)

    @property
    def path(self) -> str:
        """Where the key is now."""
        return self.aside if there(self.aside) else self.key

    def take(self) -> None:
        if not there(self.aside):
            move(self.key, self.aside)

    def give_back(self) -> None:
        if there(self.aside):
            move(self.aside, self.key)

    def file(self, path: str) -> tuple[bytes, os.stat_result]:
        """One of its files, and what fstat(2) says of it; where nobody else may write it is the account's or root's."""
        return read_file(path, {0, self.rights.uid} if self.rights and not self.shared else None)

    def data(self, path: str) -> bytes:
        return self.file(path)[0]

    def with_rights(self, work: Callable[[], bytes]) -> bytes:
        """What ``work`` returns; raises what ``reader.call`` raises."""
        return call(self.rights, work, seconds=SECONDS, limit=LARGEST, memory=MEMORY)


@dataclass(frozen=True)
class Spool:
    """How an MTA keeps its queue. ``folders`` are searched for names that match ``key``, whose first group is the id.

    ``read`` makes a message of an entry: none where the MTA never took it, or everybody has got it. ``others`` are the
    files beside the key; some lie in folders of the names ``logs``, beside the others. ``flush`` has the queue tried at
    once; ``units`` are the services and ``programs`` the beginnings of the paths of the programs that work on it.
    ``drain``, where a stop of the service interrupts deliveries, lets those end that have begun, and none begin: the
    beginning of the backend's restart. ``left`` asks the MTA who of the recipients has not got a message.
    """

    mta: str
    folders: tuple[str, ...]
    key: str
    read: Callable[[Entry], Queued | None]
    others: Callable[[Entry], list[str]]
    flush: tuple[str, ...]
    units: tuple[str, ...]
    programs: tuple[str, ...]
    drain: tuple[str, ...] = ()
    logs: tuple[str, ...] = ()
    left: Callable[[Host, Queued], tuple[str, ...]] = lambda _host, queued: queued.recipients

    @property
    def trees(self) -> tuple[str, ...]:
        """The directories below which all files of this queue are."""
        beside = {os.path.join(os.path.dirname(folder), name) for folder in self.folders for name in self.logs}
        return (*self.folders, *sorted(beside))

    def entries(self) -> Iterator[Entry]:
        """All messages, whether they are taken or not; raises OSError or RefusedError where they cannot be listed."""
        for top in self.folders:
            try:
                rights = rights_at(top)
                raw = call(rights, partial(self._list, top), seconds=SECONDS, limit=LISTING)
            except FileNotFoundError:
                continue
            for line in raw.splitlines():
                name, key, taken, shared = json.loads(line)
                yield Entry(name, key, rights, taken, shared)

    def _list(self, top: str) -> bytes:
        shared = bool(mode_of(top) & (stat.S_IWGRP | stat.S_IWOTH))
        lines = (json.dumps([entry.id, entry.key, entry.taken, shared]).encode() for entry in self._found(top))
        return b"\n".join(islice(lines, MOST))

    def _found(self, top: str) -> Iterator[Entry]:
        for folder, names in walked(top, DEPTH):
            for name in sorted({name.removeprefix(TAKEN) for name in names}):
                found = re.fullmatch(self.key, name)
                if found:
                    yield Entry(found.group(1), os.path.join(folder, name), taken=TAKEN + name in names)

    def fetch(self, host: Host, entry: Entry) -> Queued | None:
        """Take a message out of the queue, and read it. Raises GoneError, and UnreadableError where it stays."""
        try:
            head, _newline, content = entry.with_rights(partial(self._fetch, entry)).partition(b"\n")
        except RefusedError as error:
            raise UnreadableError(str(error)) from error
        except OSError as error:
            raise UnreadableError(f"{error.filename or 'its place'}: {error.strerror or error}") from error
        found = json.loads(head)
        if found is None:
            return None
        if found == GONE:
            raise GoneError
        sender, recipients, done = found
        queued = Queued(self.mta, entry.id, sender, tuple(recipients), content, tuple(done))
        left = self.left(host, queued)
        return replace(queued, recipients=left, done=()) if left else None

    def _fetch(self, entry: Entry) -> bytes:
        """A line of JSON and the text; by a child with the rights of the place."""
        try:
            entry.take()
        except FileNotFoundError:
            return json.dumps(GONE).encode()
        queued = self.read(entry)
        if not queued:
            return json.dumps(None).encode()
        return json.dumps([queued.sender, queued.recipients, queued.done]).encode() + b"\n" + queued.content


GONE = "gone"


def read_file(path: str, owners: Collection[int] | None = None) -> tuple[bytes, os.stat_result]:
    """A file of a spool; ``owners`` are the uids of which one must own it, or anybody may."""
    try:
        handle = open_plain(path, owners=owners, single=True)
    except RefusedError as error:
        raise UnreadableError(f"{os.path.basename(path)} {error}") from error
    try:
        found = os.fstat(handle)
        # of a file that says that it is too large nothing is read, so that one without blocks costs nothing
        data = read_up_to(handle, LARGEST + 1) if found.st_size <= LARGEST else None
    finally:
        os.close(handle)
    if data is None or len(data) > LARGEST:
        raise UnreadableError(f"{os.path.basename(path)} is larger than {LARGEST} octets")
    return data, found


def text(raw: bytes) -> str:
    """An address or a name, of which no byte is lost."""
    return raw.decode("utf-8", "surrogateescape")


def without_blind(message: bytes) -> bytes:
    """A message, or its header alone, without the fields that name whom nobody else is to know of."""
    return HEADER.sub(lambda header: BLIND.sub(b"", header[0]), message, count=1)
