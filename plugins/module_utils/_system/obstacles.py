# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in the way of replacing a file, said before anything is changed.

A file is replaced by a rename (rename(2)): the directory must take new names and let old ones go, and the name must not
be a mount point. Whether it will work is only known when it is done; this finds what can be seen before.
"""

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import os
import platform
import stat
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..errors import UserError
from .beside import before_of, next_of
from .lease import open_free
from .mounts import mount_points
from .reader import kind
from .trust import way
from .walk import lstat

if TYPE_CHECKING:
    from collections.abc import Iterable

BESIDE = len(b"..before")  # what the names of the copies have more than that of the file
LONGEST = 4000  # octets of a path; the kernel allows 4096 with what is added to the name
# FS_IOC_GETFLAGS, ioctl_iflags(2): _IOR('f', 1, long), which some processors write in another way
OTHERWISE = ("ppc", "mips", "sparc", "alpha")
READS = 0x40000000 if platform.machine().startswith(OTHERWISE) else 0x80000000
GETFLAGS = READS | struct.calcsize("l") << 16 | 0x6601

OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
FLAGS = {0x10: "immutable (chattr +i)", 0x20: "append-only (chattr +a)"}


@dataclass(frozen=True)
class Wanted:
    """A file that is to be replaced: the octets that this writes beside it, and whether its directory may be made.

    ``itself``: a link is replaced, and not what it leads to.
    """

    path: str
    octets: int = 0
    parents: bool = False
    itself: bool = False

    @property
    def target(self) -> str:
        """What is replaced; raises OSError where links go round in a circle."""
        return way(self.path, through=not self.itself).target


@dataclass(frozen=True)
class Place:
    """What was seen of a file and its directory. ``folder`` is the nearest directory that is there, ``missing`` the one
    that is not; ``lease`` says who holds one on the file; ``beside`` is a mount point that has the name of one of the
    copies; the flags are those of chattr(1); ``writable`` is what the kernel says of the directory (access(2))."""

    path: str
    target: str = ""
    doubt: str = ""
    circle: bool = False
    dangling: bool = False
    kind: str = ""
    names: int = 1
    lease: str = ""
    beside: str = ""
    mounted: bool = False
    flags: tuple[str, ...] = ()
    folder: str = "/"
    missing: str = ""
    not_a_folder: str = ""
    folder_flags: tuple[str, ...] = ()
    read_only: bool = False
    writable: bool = True
    longest: int = 255
    device: int = 0
    free: int = field(default=1 << 62)
    files_left: bool = True


def obstacles(wanted: Iterable[Wanted]) -> list[str]:
    """Why these files cannot be replaced, a sentence each; what the disks need is added up."""
    mounts = mount_points()
    seen = [(want, look(want, mounts)) for want in wanted]
    found = [f"{place.path} {why}" for want, place in seen for why in [obstacle(place, want.parents)] if why]
    return list(dict.fromkeys([*found, *no_room((place, want.octets) for want, place in seen)]))


def explain(error: OSError | UserError) -> str:
    """Which file could not be written, and what stands in its way, as far as that is seen."""
    if isinstance(error, UserError):
        return str(error)
    path = error.filename2 or error.filename
    said = f"{path or 'the disk'}: {error.strerror or error}"
    seen = obstacles([Wanted(path, parents=True, itself=True)]) if isinstance(path, str) and path[:1] == "/" else []
    return "; ".join([said, *(why for why in seen if why not in said)])


def obstacle(place: Place, parents: bool) -> str:
    """Why the file cannot be replaced, after its name; empty where nothing is seen. Pure."""
    names = [len(os.fsencode(name)) for name in place.target.split("/")]
    link = f", and leads to {place.target}" if place.target != place.path else ""
    reasons = {
        "is a link in a circle of links: make it a file": place.circle,
        f"is a link to {place.target}, which does not exist: make that file, or remove the link": place.dangling,
        f"has a name that is too long: allowed: {place.longest - BESIDE} octets, {LONGEST} with its directories": (
            names[-1] + BESIDE > place.longest or max(names) > place.longest or sum(names) + len(names) > LONGEST
        ),
        f"is not safe to write{link}: {place.doubt}, who could lead it to another file: use a directory that only root"
        " can write": bool(place.doubt),
        f"is {place.kind}{link}: move it away": bool(place.kind),
        f"has {place.names} names, and another account owns its directory: make it a file with one name": (
            place.names != 1 and not place.kind
        ),
        f"has a directory that is none: {place.not_a_folder} is a file": bool(place.not_a_folder),
        f"has no directory: {place.missing} does not exist, make it first": bool(place.missing and not parents),
        f"is a mount point{link}, which cannot be replaced: change the file that is mounted there, or unmount it": (
            place.mounted
        ),
        f"has {place.beside} beside it, which is a mount point and in the way: unmount it": bool(place.beside),
        f"is on a read-only file system{link}: mount it for writing": place.read_only,
        f"is {' and '.join(place.flags)}{link}: take that away with chattr": bool(place.flags),
        f"is in {place.folder}, which is {' and '.join(place.folder_flags)}: take that away with chattr": (
            bool(place.folder_flags)
        ),
        f"{place.lease}{link}": bool(place.lease),
        f"is in {place.folder}, in which this account may make no file": not place.writable,
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def no_room(places: Iterable[tuple[Place, int]]) -> list[str]:
    """What the disks have not enough room for. Pure."""
    folders: dict[int, Place] = {}
    needed: dict[int, int] = {}
    for place, octets in places:
        folders.setdefault(place.device, place)
        needed[place.device] = needed.get(place.device, 0) + octets
    full = [
        f"{place.folder} has no room: {needed[device]} octets are needed, and {place.free} are free"
        for device, place in folders.items()
        if needed[device] > place.free
    ]
    return full + [f"{place.folder} can take no more files" for place in folders.values() if not place.files_left]


def look(want: Wanted, mounts: frozenset[str]) -> Place:
    """What there is to see. Nothing is changed."""
    path = want.path
    try:
        target, doubt, loose = way(path, through=not want.itself)
    except OSError as error:
        if error.errno == errno.ELOOP:
            return Place(path, path, circle=True)
        raise
    found = lstat(target)
    odd = found and not stat.S_ISREG(found.st_mode) and not (want.itself and stat.S_ISLNK(found.st_mode))
    missing, folder = "", os.path.dirname(target)
    while not os.path.lexists(folder):
        missing, folder = missing or folder, os.path.dirname(folder)
    if not os.path.isdir(folder):
        return Place(path, target, doubt, not_a_folder=folder)
    disk = os.statvfs(folder)
    return Place(
        path,
        target,
        doubt,
        dangling=not found and os.path.islink(path),
        kind=kind(found.st_mode) if found and odd else "",
        names=found.st_nlink if found and loose else 1,
        lease=_lease(target) if found and stat.S_ISREG(found.st_mode) and not doubt else "",
        beside=next((path for path in (next_of(target), before_of(target)) if path in mounts), ""),
        mounted=target in mounts,
        flags=_flags(target) if found and stat.S_ISREG(found.st_mode) else (),
        folder=folder,
        missing=missing,
        folder_flags=_flags(folder),
        read_only=bool(disk.f_flag & os.ST_RDONLY),
        writable=os.access(folder, os.W_OK | os.X_OK, effective_ids=True),
        longest=os.pathconf(folder, "PC_NAME_MAX"),
        device=os.stat(folder).st_dev,
        free=(disk.f_bfree if os.geteuid() == 0 else disk.f_bavail) * disk.f_frsize,
        files_left=bool(disk.f_ffree or not disk.f_files),
    )


def _lease(path: str) -> str:
    """Who holds a lease on a file and does not give it free in time; empty where nobody does, or nobody can open it."""
    try:
        os.close(open_free(path, OPEN, wait=True))
    except BlockingIOError as error:
        return error.strerror or str(error)
    except OSError:
        return ""
    return ""


def _flags(path: str) -> tuple[str, ...]:
    """What chattr(1) has set; nothing where the file system does not say."""
    bits = array.array("l", [0])
    with contextlib.suppress(OSError):
        handle = os.open(path, OPEN)
        try:
            fcntl.ioctl(handle, GETFLAGS, bits)
        finally:
            os.close(handle)
    return tuple(name for bit, name in FLAGS.items() if bits[0] & bit)
