# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages that belong to no MTA for now: one file each.

A file is named by the MTA that had the message and its id there. It begins with one line of JSON: ``mta``, ``id``,
``sender`` (empty for the null sender), ``recipients`` who had not got it there, and ``got``, which has a sign for each
of these, ``+`` for who has got it since; the message follows, to the byte, with its lines ended by LF.

A message is in its queue, or taken out of it by a rename beside it, or saved and gone from there. What is taken and has
its file here is saved, for that comes by a rename: all that is left to do is to remove the rest of it from the queue.
Whatever was interrupted is begun again and finds each message once.
"""

from __future__ import annotations

import errno
import json
import os
from contextlib import suppress
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Callable

from .._system import files as disk
from .._system.deadline import Deadline
from .._system.image import Image
from .._system.names import listed, remove, there, unlink, walked
from .._system.reader import RefusedError, call
from ..shown import line
from .archive import packed, put_back
from .spool import MOST, GoneError, Queued, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from .._system.host import Host
    from .spool import Entry, Spool

TIME = 900.0  # seconds for the messages of one queue
REMOVAL = 300.0  # seconds to remove them
SAID = 1 << 20  # octets of what is said of that
SHOWN = 100  # messages that are named one by one
NOT_YET, GOT = "-", "+"
TAR = ".tar"  # what the names of archives end with
END = b'"}\n'  # what comes after the signs in the first line of a file


class Saved:
    """The directory of the saved messages; archives of what cannot be read lie beside it, by the change of the MTA."""

    def __init__(self, host: Host, folder: str, change: str = "") -> None:
        self._host, self._folder = host, folder
        self._archives = folder + ".unread"
        self._unread = os.path.join(self._archives, change)

    def save(self, spool: Spool) -> dict[str, str]:
        """Move a queue, on which nothing works, here; what cannot be read stays, and is kept in an archive, too, where
        that can be done: path to reason. Nothing is removed from the queue before all is saved."""
        disk.make_folder(self._folder, 0o700)
        deadline = Deadline(TIME)
        entries, unread = _listed(spool)
        moved = []
        for number, entry in enumerate(entries):
            if deadline.over:
                late = f"there was no time within {deadline.seconds:g} s for {len(entries) - number} messages"
                unread[" ".join(spool.folders)] = late
                break
            if self._complete(spool, entry) or self._save(spool, entry, unread):
                moved.append(entry)
        unread.update(_worked(moved, partial(_remove, spool), "is saved, but its files are still there"))
        return unread

    def _save(self, spool: Spool, entry: Entry, unread: dict[str, str]) -> bool:
        """Whether a message is saved; where it cannot be read, or would replace one that is saved, that is noted."""
        if not entry.taken and there(self._path(spool.mta, entry.id)):
            unread.update(self._keep(spool, entry, "another message with its id is saved already"))
            return False
        try:
            queued = spool.fetch(self._host, entry)
        except GoneError:
            return False
        except UnreadableError as error:
            unread.update(self._keep(spool, entry, str(error)))
            return False
        if queued:
            self.write(queued)
            return True
        unread.update(_worked([entry], _give_back, "is not in the queue any more"))
        return False

    def _keep(self, spool: Spool, entry: Entry, why: str) -> dict[str, str]:
        """Give a message back to its queue, and keep its files, which may be removed with the package of its MTA."""
        lost = _worked([entry], _give_back, why)
        if lost:
            return lost
        path = os.path.join(self._unread, _archive_name(spool, entry))
        if there(path):
            return {path: why}  # it is whole, which after a removal of the package the message may not be
        try:
            content, without = packed(spool, entry)
        except (OSError, RefusedError) as error:
            return {line(entry.key): why if str(error) in why else f"{why}; {line(str(error))}"}
        disk.make_folder(self._unread, 0o700)
        disk.write_image(path, Image(content, os.geteuid(), os.getegid(), 0o600))
        return {path: f"{why}; it is without {without}" if without else why}

    def _complete(self, spool: Spool, entry: Entry) -> bool:
        """Whether a message is saved, whatever is left of it in the queue."""
        return entry.taken and there(self._path(spool.mta, entry.id))

    def give_back(self, spool: Spool) -> dict[str, str]:
        """Undo what ``save`` has begun, and finish what it has saved; what that cannot be done for, with the reason."""
        entries, wrong = _listed(spool)
        taken = [entry for entry in entries if entry.taken]
        complete = [self._complete(spool, entry) for entry in taken]
        saved = [entry for entry, is_saved in zip(taken, complete) if is_saved]
        wrong.update(_worked(saved, partial(_remove, spool), "is saved, but its files are still there"))
        begun = [entry for entry, is_saved in zip(taken, complete) if not is_saved]
        wrong.update(_worked(begun, _give_back, "is not in the queue any more"))
        return wrong

    def give_back_unread(self, spool: Spool) -> dict[str, str]:
        """Bring back to its MTA what this change has kept of its mail, and it has not any more; what does not come
        back, by archive."""
        kept = {}
        names = [name for name in listed(self._unread) if name.startswith(f"{spool.mta}.") and name.endswith(TAR)]
        for path in (os.path.join(self._unread, name) for name in names):
            try:
                wrong = put_back(spool, path)
            except OSError as error:
                wrong = [error.strerror or str(error)]
            if wrong:
                kept[path] = "; ".join(wrong[:3])
            else:
                unlink(path)
        return kept

    def retire(self, spool: Spool) -> None:
        """Forget the archives of what is in the queue still of an MTA that is to serve again."""
        names = {_archive_name(spool, entry) for entry in _listed(spool)[0]}
        for path in self.archives():
            if os.path.basename(path) in names:
                unlink(path)

    def paths(self) -> list[str]:
        """The files, by name."""
        return [os.path.join(self._folder, name) for name in listed(self._folder) if not name.startswith(".")]

    def archives(self) -> dict[str, str]:
        """What could not be read, by file, and which MTA can read it."""
        found = ((folder, name) for folder, names in walked(self._archives, 1) for name in names)
        paths = sorted(os.path.join(folder, name) for folder, name in found if name.endswith(TAR) and name[0] != ".")
        return {path: os.path.basename(path).partition(".")[0] for path in paths}

    def write(self, queued: Queued) -> None:
        image = Image(dump(queued), os.geteuid(), os.getegid(), 0o600)
        disk.write_image(self._path(queued.mta, queued.id), image)

    def note(self, path: str, got: Collection[str]) -> None:
        """Note in a file who has got the message; in its place, sign for sign, for which a full disk has room."""

        def noted(line: bytes) -> tuple[int, bytes]:
            head = json.loads(line)
            signs = [GOT if to in got else sign for to, sign in zip(head["recipients"], head["got"])]
            return len(line) - len(signs) - len(END), "".join(signs).encode("ascii")

        disk.change_line(path, noted)

    def remove(self, path: str) -> None:
        if there(path):
            unlink(path)
            disk.sync_folder(self._folder)

    def _path(self, mta: str, name: str) -> str:
        return os.path.join(self._folder, f"{mta}.{name}")


def _archive_name(spool: Spool, entry: Entry) -> str:
    return f"{spool.mta}.{entry.id}{TAR}"


def dump(queued: Queued) -> bytes:
    head = {"mta": queued.mta, "id": queued.id, "sender": queued.sender, "recipients": queued.recipients}
    return json.dumps({**head, "got": NOT_YET * len(queued.recipients)}).encode("ascii") + b"\n" + queued.content


def load(path: str) -> Queued:
    image = disk.read_image(path)
    if not image:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    head, _newline, content = image.content.partition(b"\n")
    found = json.loads(head)
    left = tuple(to for to, sign in zip(found["recipients"], found["got"]) if sign == NOT_YET)
    return Queued(found["mta"], found["id"], found["sender"], left, content)


def _listed(spool: Spool) -> tuple[list[Entry], dict[str, str]]:
    """The messages of a queue, and where there are more, with the reason why these stay there."""
    entries: list[Entry] = []
    try:
        entries.extend(spool.entries())
    except (OSError, RefusedError) as error:
        return entries, {" ".join(spool.folders): f"the queue cannot be listed: {line(str(error))}"}
    rest = {" ".join(spool.folders): f"there may be more than {MOST} messages"} if len(entries) >= MOST else {}
    return entries, rest


def _worked(entries: Iterable[Entry], work: Callable[[Entry], None], otherwise: str) -> dict[str, str]:
    """Do something with messages, with the rights of their places; for which it failed, and what that means."""
    wrong: dict[str, str] = {}
    for rights, group in groupby(entries, key=lambda entry: entry.rights):
        some = list(group)
        try:
            said = call(rights, partial(_each, some, work), seconds=REMOVAL, limit=SAID)
            wrong.update({key: f"{otherwise}: {why}" for key, why in json.loads(said).items()})
        except (OSError, RefusedError) as error:
            wrong[line(os.path.dirname(some[0].key))] = f"{otherwise}: {line(str(error))}"
    return wrong


def _each(entries: Iterable[Entry], work: Callable[[Entry], None]) -> bytes:
    """By a child with the rights of the place: what failed."""
    wrong: dict[str, str] = {}
    for entry in entries:
        why = _tried(entry, work)
        if why and len(wrong) < SHOWN:
            wrong[line(entry.key)] = why
    return json.dumps(wrong).encode()


def _tried(entry: Entry, work: Callable[[Entry], None]) -> str:
    try:
        work(entry)
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _give_back(entry: Entry) -> None:
    entry.give_back()


def _remove(spool: Spool, entry: Entry) -> None:
    """Remove a message from where it was; its key, by which it would be found again, last."""
    for path in spool.others(entry):
        unlink(path)
    with suppress(FileNotFoundError):
        remove(entry.aside)
