# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives of the files of a message, as they are in a spool, and the way back there.

An archive is a tar file that root owns, with the whole paths of the files. What goes into it is read with the rights of
the account that owns the spool, and what comes out of it is written with them: no link is followed to a place where
that account could not write itself. Earlier versions of this collection had tar make archives as root, so that there
may be things in them that the account could not have read. Those do not come back.
"""

from __future__ import annotations

import errno
import io
import json
import os
import stat
import tarfile
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from .._system.mounter import NOBODY
from .._system.names import listed, seen
from .._system.new_file import write_new
from .._system.owner import rights_at
from .._system.reader import RefusedError, Rights, call
from ..shown import line
from .spool import LARGEST, MEMORY, SECONDS

if TYPE_CHECKING:
    from .spool import Entry, Spool

FILES = 10_000  # of one message
BITS = stat.S_IRUSR, stat.S_IRGRP, stat.S_IROTH


def packed(spool: Spool, entry: Entry) -> tuple[bytes, str]:
    """The archive of a message that is in its queue, and what is not in it, with the reason.

    Raises OSError or RefusedError where the key itself cannot be read.
    """
    found = entry
    if entry.rights and _common(spool, entry.key, entry.rights):
        # its files are of those who wrote them, and only they may read them
        owner = json.loads(entry.with_rights(lambda: json.dumps(seen(entry.key).st_uid).encode()))
        found = replace(entry, rights=Rights(owner, entry.rights.gid))
    head, _newline, content = found.with_rights(partial(_pack, spool, found)).partition(b"\n")
    return content, json.loads(head)


def _common(spool: Spool, path: str, rights: Rights) -> bool:
    """Whether a file is in a folder of a directory of root's, and in no directory that somebody else could exchange,
    but that folder is nobody's: a group may write there."""
    folder = os.path.dirname(path)
    return rights.uid == NOBODY and folder in spool.trees and rights_at(os.path.dirname(folder)) is None


def _pack(spool: Spool, entry: Entry) -> bytes:
    """By a child with the rights of the place: a line of JSON, and the archive."""
    paths, without = _files(spool, entry), []
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path in paths:
            why = _add(archive, entry, path)
            without += [f"{line(path)}: {line(why)}"] if why else []
    return json.dumps("; ".join(without[:3])).encode() + b"\n" + content.getvalue()


def _add(archive: tarfile.TarFile, entry: Entry, path: str) -> str:
    """An empty string, or why a file cannot be read; that of the key raises it."""
    try:
        data, found = entry.file(path)
    except (OSError, RefusedError) as error:
        if path == entry.key:
            raise
        return str(error)
    member = tarfile.TarInfo(path)
    member.size, member.mode, member.mtime = len(data), stat.S_IMODE(found.st_mode), int(found.st_mtime)
    member.uid, member.gid = found.st_uid, found.st_gid
    archive.addfile(member, io.BytesIO(data))
    return ""


def _files(spool: Spool, entry: Entry) -> list[str]:
    paths = [entry.key]
    if stat.S_ISDIR(seen(entry.key).st_mode):
        paths = [os.path.join(entry.key, name) for name in listed(entry.key)]
    paths += spool.others(entry)
    if len(paths) > FILES:
        raise RefusedError(f"it has more than {FILES} files")
    return paths


def put_back(spool: Spool, path: str) -> list[str]:
    """Write the files of an archive of root's to where they were, but for those that are there; what does not come
    back, with the reason. Raises OSError where the archive cannot be read."""
    try:
        with tarfile.open(path, mode="r:") as archive:
            return list(filter(None, (_put_back(spool, archive, member) for member in archive)))
    except tarfile.TarError as error:
        raise OSError(errno.EIO, str(error), path) from error


def _put_back(spool: Spool, archive: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    """An empty string, or which file does not come back, and why."""
    try:
        _put(spool, archive, member)
    except (OSError, RefusedError) as error:
        return f"{line(member.name)}: {line(str(error))}"
    return ""


def _put(spool: Spool, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
    place = member.name if member.name.startswith("/") else "/" + member.name
    inside = place == os.path.normpath(place) and "\0" not in place
    if not inside or not any(place.startswith(tree + "/") for tree in spool.trees):
        raise RefusedError("is no place in the spool")
    if member.isdir():
        return
    if not member.isreg():
        raise RefusedError("is not a regular file")
    if member.size > LARGEST:
        raise RefusedError(f"is larger than {LARGEST} octets")
    rights, owner = rights_at(place), None
    if not rights or _common(spool, place, rights):
        rights, owner = None, (member.uid, member.gid)
    elif not readable(rights, member):
        raise RefusedError(f"belongs to uid {member.uid}, and the owner of the spool may not read it")
    file = archive.extractfile(member)
    data = file.read() if file else b""
    call(rights, partial(write_new, place, data, member.mode & 0o777, owner), seconds=SECONDS, memory=MEMORY)


def readable(rights: Rights, member: tarfile.TarInfo) -> bool:
    """Whether an account could have read a file, by the owner and the mode that it had."""
    kind = 0 if member.uid == rights.uid else 1 if member.gid in (rights.gid, *rights.groups) else 2
    return bool(member.mode & BITS[kind])
