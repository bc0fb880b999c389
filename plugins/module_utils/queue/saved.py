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
import glob
import json
import os
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

from .._system import files as disk
from .._system.image import Image
from .spool import Queued, UnreadableError, read_bytes

if TYPE_CHECKING:
    from collections.abc import Collection

    from .._system.host import Host
    from .spool import Entry, Spool

NOT_YET, GOT = "-", "+"
END = b'"}\n'  # what comes after the signs in the first line of a file


class Saved:
    """The directory of the saved messages; archives of what cannot be read lie beside it, by the change of the MTA."""

    def __init__(self, host: Host, folder: str, change: str = "") -> None:
        self._host, self._folder = host, folder
        self._archives = folder + ".unread"
        self._unread = os.path.join(self._archives, change)

    def save(self, spool: Spool) -> dict[str, str]:
        """Move a queue, on which nothing works, here; what cannot be read is kept as it is, in an archive: path to
        reason. Nothing is removed from the queue before all is saved."""
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        moved, unread = [], {}
        for entry in list(spool.entries()):
            if self._complete(spool, entry):
                moved.append(entry)
                continue
            with suppress(FileNotFoundError):
                entry.take()
            if not entry.taken:
                continue  # its MTA was quicker
            try:
                queued = spool.read(self._host, entry)
            except UnreadableError as error:
                entry.give_back()
                unread[self._archive(spool, entry)] = str(error)
                continue
            if queued:
                self.write(queued)
                moved.append(entry)
            else:
                entry.give_back()
        for entry in moved:
            _remove(spool, entry)
        return unread

    def _archive(self, spool: Spool, entry: Entry) -> str:
        """Keep the files of a message that only its own MTA can read, which may be removed with its package."""
        os.makedirs(self._unread, mode=0o700, exist_ok=True)
        path = os.path.join(self._unread, _archive_name(spool, entry))
        if os.path.exists(path):
            return path  # it is whole, which after a removal of the package the message may not be
        partial = path + ".partial"
        try:
            self._tar("--create", partial, entry.key, *spool.others(entry))
            with open(partial, "rb") as file:
                os.fsync(file.fileno())
            os.rename(partial, path)
        except OSError:
            with suppress(FileNotFoundError):
                os.unlink(partial)
            raise
        disk.sync_folder(self._unread)
        return path

    def _tar(self, action: str, path: str, *more: str) -> None:
        done = self._host.run(["tar", action, f"--file={path}", "--absolute-names", *more], timeout=300)
        if done.rc:
            raise OSError(errno.EIO, done.why, path)

    def _complete(self, spool: Spool, entry: Entry) -> bool:
        """Whether a message is saved, whatever is left of it in the queue."""
        return entry.taken and os.path.exists(self._path(spool.mta, entry.id))

    def give_back(self, spool: Spool) -> None:
        """Undo what ``save`` has begun, and finish what it has saved."""
        for entry in list(spool.entries()):
            if self._complete(spool, entry):
                _remove(spool, entry)
            else:
                entry.give_back()

    def give_back_unread(self, spool: Spool) -> None:
        """Bring back to its MTA what this change has kept of its mail, and it has not any more."""
        for path in glob.glob(os.path.join(self._unread, f"{spool.mta}.*.tar")):
            with suppress(OSError):
                self._tar("--extract", path, "--same-owner", "--skip-old-files")
                os.unlink(path)

    def retire(self, spool: Spool) -> None:
        """Forget the archives of what is in the queue still of an MTA that is to serve again."""
        there = {_archive_name(spool, entry) for entry in spool.entries()}
        for path in self.archives():
            if os.path.basename(path) in there:
                os.unlink(path)

    def paths(self) -> list[str]:
        """The files, by name."""
        if not os.path.isdir(self._folder):
            return []
        names = sorted(name for name in os.listdir(self._folder) if not name.startswith("."))
        return [os.path.join(self._folder, name) for name in names]

    def archives(self) -> dict[str, str]:
        """What could not be read, by file, and which MTA can read it."""
        paths = sorted(glob.glob(os.path.join(self._archives, "**", "*.tar"), recursive=True))
        return {path: os.path.basename(path).partition(".")[0] for path in paths}

    def write(self, queued: Queued) -> None:
        image = Image(dump(queued), os.geteuid(), os.getegid(), 0o600)
        disk.write_image(self._path(queued.mta, queued.id), image)

    def note(self, path: str, got: Collection[str]) -> None:
        """Note in a file who has got the message; in its place, sign for sign, for which a full disk has room."""
        with open(path, "r+b") as file:
            line = file.readline()
            head = json.loads(line)
            signs = [GOT if to in got else sign for to, sign in zip(head["recipients"], head["got"])]
            file.seek(len(line) - len(signs) - len(END))
            file.write("".join(signs).encode("ascii"))
            file.flush()
            os.fsync(file.fileno())

    def remove(self, path: str) -> None:
        if os.path.exists(path):
            os.unlink(path)
            disk.sync_folder(self._folder)

    def _path(self, mta: str, name: str) -> str:
        return os.path.join(self._folder, f"{mta}.{name}")


def _archive_name(spool: Spool, entry: Entry) -> str:
    return f"{spool.mta}.{entry.id}.tar"


def dump(queued: Queued) -> bytes:
    head = {"mta": queued.mta, "id": queued.id, "sender": queued.sender, "recipients": queued.recipients}
    return json.dumps({**head, "got": NOT_YET * len(queued.recipients)}).encode("ascii") + b"\n" + queued.content


def load(path: str) -> Queued:
    head, _newline, content = read_bytes(path).partition(b"\n")
    found = json.loads(head)
    left = tuple(to for to, sign in zip(found["recipients"], found["got"]) if sign == NOT_YET)
    return Queued(found["mta"], found["id"], found["sender"], left, content)


def _remove(spool: Spool, entry: Entry) -> None:
    """Remove a message from where it was; its key, by which it would be found again, last."""
    for path in spool.others(entry):
        with suppress(FileNotFoundError):
            os.unlink(path)
    if os.path.isdir(entry.aside):
        shutil.rmtree(entry.aside)
    else:
        os.unlink(entry.aside)
