# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stage: a copy of a directory, in which programs check and compile what is not in place yet.

Whoever owns the directory, as Sendmail's account does with /etc/mail, can put anything there, and exchange it between
two looks. So everything is opened once, by its name in a directory that is open, and no link is followed. A link is
copied as a link. A file is copied only as far as it was long when it was opened. What a transaction keeps beside a file
is no configuration, and is not copied.

Each owner has its own share of files and octets. So nobody can use up what root's own files need.
"""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .beside import is_beside
from .files import copy_attributes, make_folder, real, write_image
from .inside import FOLDER, entries, seen_in
from .reader import RefusedError, kind, open_plain
from .trust import trusted, writers

if TYPE_CHECKING:
    from .image import Image

FILES = 10_000  # of root's
OTHER_FILES = 1000  # files of each other owner
OCTETS = 1 << 30  # of root's files
OTHERS = 64 << 20  # octets of the files of each other owner
PASSED_OVER = 500_000  # files beyond their owners' shares; who makes more of them ends the listing
DEPTH = 16  # of directories in directories
NAMED = 10  # files that are named because they were not copied
PIECE = 1 << 20
PERMISSIONS = 0o777  # of a file, without setuid and setgid


class Stage:
    """The stage of the directory ``live``, at ``path``, which nobody else can enter. An empty ``live`` stands for /, of
    which nothing is copied."""

    def __init__(self, path: str, live: str) -> None:
        self.path, self._live = path, live

    def copy(self) -> list[str]:
        """Copy the directory, where there is one; what was not copied, a sentence each."""
        copied = Copy()
        if self._live:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                source = os.open(real(self._live), FOLDER)
                try:
                    make_folder(self.path)
                    copied.folder(source, self.path, self._live, DEPTH)
                finally:
                    os.close(source)
        return copied.left_out()

    def place(self, path: str) -> str:
        """Where a file of the host is in the stage."""
        live = self._live.rstrip("/") + "/"
        return os.path.join(self.path, path[len(live) :] if path.startswith(live) else path.lstrip("/"))

    def write(self, path: str, image: Image, product: str | None) -> None:
        """Write a file of the host here, and have no link in the way of that or of what is compiled from it."""
        for written in (path, product):
            if written:
                self._unlink_links(self.place(written))
        place = self.place(path)
        make_folder(os.path.dirname(place))
        write_image(place, image)

    def _unlink_links(self, path: str) -> None:
        """Remove the links to which a file here, or what is compiled from it, would be written. They lead out of the
        stage, and whoever owns the directory that was copied may have made them."""
        place = self.path
        for name in os.path.relpath(path, self.path).split("/"):
            place = os.path.join(place, name)
            if os.path.islink(place):
                os.unlink(place)
        folder, name = os.path.split(path)
        for entry in os.listdir(folder) if os.path.isdir(folder) else []:  # no more than was copied
            beside = os.path.join(folder, entry)
            if entry.startswith(name + ".") and os.path.islink(beside):
                os.unlink(beside)


def products(path: str, product: str | None) -> list[str]:
    """What is compiled from a file: ``product``, or its name with one more ending."""
    if product:
        return [product] if os.path.isfile(product) else []
    folder, name = os.path.split(path)
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as listed:
        made = (entry.name for entry in listed if entry.name.startswith(name + "."))
        found = [entry for entry in made if "." not in entry[len(name) + 1 :]]
        return [os.path.join(folder, entry) for entry in sorted(found) if os.path.isfile(os.path.join(folder, entry))]
    return []


def remove_products(path: str, product: str | None) -> None:
    """Remove what was compiled from a file."""
    for made in products(path, product):
        os.unlink(made)


def _most(uid: int) -> tuple[int, int]:
    """How many octets, and how many files, of an owner are copied."""
    return (OCTETS, FILES) if uid in trusted() else (OTHERS, OTHER_FILES)


@dataclass
class Share:
    """What is left of the share of one owner, and of how many octets."""

    whole: int
    octets: int
    files: int


@dataclass
class Copy:
    """A copy of a directory, and what was not copied: the first few files, with the reason, and how many there were."""

    shares: dict[int, Share] = field(default_factory=dict)
    named: list[str] = field(default_factory=list)
    count: int = 0
    passed_over: int = 0

    def folder(self, source: int, target: str, path: str, depth: int) -> None:
        """Copy what is in a directory that is open; ``path`` is its name, and ``depth`` how much deeper it may go."""
        found = os.fstat(source)
        loose = found.st_uid not in trusted() or bool(writers(source, found))
        with entries(source) as listed:
            for entry in listed:
                if self._ended:
                    break
                if is_beside(entry.name):
                    continue
                try:
                    self._entry(source, entry.name, target, path, depth, loose)
                except FileNotFoundError:  # it has gone meanwhile
                    continue
                except (OSError, RefusedError) as error:
                    why = str(error) if isinstance(error, RefusedError) else error.strerror or ""
                    self._leave_out(path, entry.name, why)
        with contextlib.suppress(OSError):
            copy_attributes(source, target)
        os.chmod(target, stat.S_IMODE(found.st_mode) | stat.S_IRWXU)

    def _entry(self, source: int, name: str, above: str, path: str, depth: int, loose: bool) -> None:
        found = seen_in(source, name)
        if not self._counted(found.st_uid):
            if len(self.named) < NAMED:
                most = _most(found.st_uid)[1]
                raise RefusedError(f"is one file too many, and {most} of its owner are copied")
            self.count += 1
            return
        target = os.path.join(above, name)
        if stat.S_ISLNK(found.st_mode):
            os.symlink(os.readlink(name, dir_fd=source), target)
        elif stat.S_ISDIR(found.st_mode):
            if not depth:
                raise RefusedError(f"is deeper than {DEPTH} directories")
            opened = os.open(name, FOLDER, dir_fd=source)
            try:
                os.mkdir(target, 0o700)
                self.folder(opened, target, os.path.join(path, name), depth - 1)
            finally:
                os.close(opened)
        elif stat.S_ISREG(found.st_mode):
            handle = open_plain(name, folder=source, single=loose)
            try:
                self._file(handle, target)
            finally:
                os.close(handle)
        else:
            raise RefusedError(f"is {kind(found.st_mode)}, not a regular file")

    def _file(self, handle: int, target: str) -> None:
        """Copy a file with its permissions, its times and its attributes; the copy is root's, and never setuid."""
        found = os.fstat(handle)
        share = self._share(found.st_uid)
        if found.st_size > share.octets:
            raise RefusedError(f"is {found.st_size} octets long, and {share.whole} of its owner are copied")
        share.octets -= found.st_size
        with open(handle, "rb", closefd=False) as source, open(target, "xb") as file:
            left = found.st_size
            while left > 0 and (piece := source.read(min(left, PIECE))):
                file.write(piece)
                left -= len(piece)
            file.flush()
            copy_attributes(handle, file.fileno())
            os.fchmod(file.fileno(), found.st_mode & PERMISSIONS)
            os.utime(file.fileno(), ns=(found.st_atime_ns, found.st_mtime_ns))

    @property
    def _ended(self) -> bool:
        return self.passed_over > PASSED_OVER

    def _counted(self, uid: int) -> bool:
        """Whether a file is within the share of its owner."""
        share = self._share(uid)
        if share.files:
            share.files -= 1
            return True
        self.passed_over += 1
        return False

    def _share(self, uid: int) -> Share:
        if uid not in self.shares:
            octets, files = _most(uid)
            self.shares[uid] = Share(octets, octets, files)
        return self.shares[uid]

    def _leave_out(self, path: str, name: str, why: str) -> None:
        self.count += 1
        if len(self.named) < NAMED:
            self.named.append(f"{os.path.join(path, name)} {why}")

    def left_out(self) -> list[str]:
        """What was not copied, a sentence each."""
        found = [f"{text}, and is not among the files that are checked" for text in self.named]
        more = self.count - len(self.named)
        if more:
            found.append(f"{more} more files are not among those that are checked")
        if self._ended:
            found.append(f"the listing ended there: more than {PASSED_OVER} files are too many")
        return found
