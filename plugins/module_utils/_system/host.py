# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only look at the host: files, accounts, addresses, sockets, and what its programs say. Changes nothing."""

from __future__ import annotations

import errno
import ipaddress
import json
import os
import pwd
import re
import shutil
import stat
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from . import process, trust
from .holders import holders
from .process import Completed, NoAnswerError
from .processes import Process, processes, unit_of
from .reader import LIMIT, SECONDS, RefusedError, Rights, UnseenError, call, open_owned, open_plain, read_up_to
from .reader import read as read_file
from .tcp_table import LISTENING, entries
from .way import rights_on

__all__ = ["Account", "Completed", "FileStat", "Host", "NoAnswerError", "Socket"]

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from .deadline import Deadline
    from .reader import Content
    from .tcp_table import Entry

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NOLOGIN = re.compile(r"/(nologin|false|sync|halt|shutdown)$")
TAIL = 1 << 20  # octets
TABLE = 16 << 20  # octets of a table that is not in root's hands
REMEMBERED = 16  # files that others own


@dataclass(frozen=True)
class Account:
    """An account of this host. ``human`` is false for a system, locked or nologin account, ``why`` says which."""

    name: str
    uid: int
    gid: int
    home: str
    shell: str
    why: str = ""

    @property
    def human(self) -> bool:
        return not self.why


@dataclass(frozen=True)
class FileStat:
    """Type, owner, mode and time of a file, links followed. ``mtime`` in seconds since the epoch."""

    uid: int
    gid: int
    mode: int
    mtime: float
    size: int
    is_dir: bool
    is_file: bool
    is_link: bool = False


@dataclass(frozen=True)
class Socket:
    """A TCP socket on which something listens; its number in the kernel, which no other one ever has; the programs and
    processes that hold it, as far as they can be seen; and the uid of who has made it."""

    address: str
    port: int
    programs: frozenset[str]
    inode: str = ""
    pids: frozenset[int] = frozenset()
    uid: int = 0


class Host:
    """The host that the module runs on. No program runs longer than to the ``deadline``, where there is one."""

    deadline: Deadline | None = None

    def __init__(self, deadline: Deadline | None = None) -> None:
        self.deadline = deadline
        self._read: dict[tuple[str, Account | None, bool, int], Content | Exception] = {}

    def begin_change(self) -> None:
        """From now on the deadline is not kept: what is half changed is worse than what is late."""
        self.deadline = None

    def run(self, argv: Sequence[str], stdin: str = "", timeout: float = 30.0) -> Completed:
        """Run a program without a shell, in the C locale, and wait ``timeout`` seconds at most.

        Raises OverdueError at the deadline: that the module has no more time is no answer of the program. Who reads
        what it says uses ``ask``: here one that timed out is a result like others.
        """
        env = dict(os.environ, LC_ALL="C", PATH=PATH)
        text = stdin.encode("utf-8", "surrogateescape")
        if not self.deadline:
            return process.run(argv, text, timeout, env)
        asked = f"`{process.readable(argv)}`"
        self.deadline.keep(asked)
        done = process.run(argv, text, self.deadline.within(timeout), env)
        if done.timed_out:
            self.deadline.keep(asked)
        return done

    def ask(self, argv: Sequence[str], **how: Any) -> Completed:
        """The same, for its answer: NoAnswerError where it timed out or was too long. ``how`` as above."""
        return self.run(argv, **how).answered()

    def which(self, program: str) -> str | None:
        return shutil.which(program, path=PATH)

    def read(self, path: str) -> str:
        """The text of a file of root's; bytes that are not UTF-8 survive (surrogateescape). Raises OSError.

        One that others can exchange is read with their rights, and up to a limit; or it is root's own.
        """
        rights = rights_on(path)
        try:
            if rights:
                with suppress(PermissionError):
                    return read_file(path, rights, limit=TABLE, seconds=self._seconds(path), follow=True).text
            with os.fdopen(open_owned(path) if rights else open_plain(path, follow=True), "rb") as file:
                return _text(file.read())
        except RefusedError as error:
            raise OSError(errno.EINVAL, f"it {error}", path) from error

    def read_as(self, path: str, account: Account | None, *, follow: bool = False, limit: int = LIMIT) -> Content:
        """The regular file at ``path``, with the rights of an account; None is root.

        Root reads with lesser rights what others can exchange. Raises OSError and RefusedError. The last few files are
        remembered: the ways of many addresses lead through the same list.
        """
        asked = (path, account, follow, limit)
        if asked not in self._read:
            if len(self._read) >= REMEMBERED:
                self._read.clear()
            try:
                self._read[asked] = self._read_as(path, account, follow, limit)
            except (OSError, RefusedError) as error:
                self._read[asked] = error
        found = self._read[asked]
        if isinstance(found, Exception):
            raise found.with_traceback(None)  # each raise adds to that of the one that is kept
        return found

    def _read_as(self, path: str, account: Account | None, follow: bool, limit: int) -> Content:
        own = account is None or account.uid == 0
        rights = rights_on(path) if own or account is None else Rights.of(account)
        try:
            return read_file(path, rights, limit=limit, seconds=self._seconds(path), follow=follow)
        except PermissionError as error:
            if not own or rights is None:
                raise
            holder = self.account_of(rights.uid)
            name = holder.name if holder else f"uid {rights.uid}"
            raise UnseenError(f"lies in the hands of {name}, who may not read it, so that root does not") from error

    def stat_as(self, path: str, account: Account | None, *, follow: bool = True) -> FileStat | None:
        """What an account sees of a path (None: root): nothing where it may not look."""

        def work() -> bytes:
            found = _stat(path, follow)
            return json.dumps(asdict(found)).encode() if found else b""

        try:
            said = call(_rights(account), work, seconds=self._seconds(path))
        except (OSError, RefusedError):
            return None
        return FileStat(**json.loads(said)) if said else None

    def may(self, account: Account | None, path: str, right: int) -> bool:
        """Whether an account (None: root) may use a path: ``os.R_OK``, ``os.W_OK`` or ``os.X_OK``."""
        rights = _rights(account)

        def work() -> bytes:
            found = _stat(path, True)
            by_mode = bool(rights and found and granted(found, rights, right))
            # Some containers know no faccessat2(2), and then it says no to everything.
            allowed = by_mode or os.access(path, right, effective_ids=os.access in os.supports_effective_ids)
            return b"yes" if found and allowed else b""

        try:
            return bool(call(rights, work, seconds=self._seconds(path)))
        except (OSError, RefusedError):
            return False

    def tail(self, path: str, owners: Collection[int] | None = None) -> str:
        """The last ``TAIL`` octets of a file as text.

        Empty where there is no such file, or where it is not one that belongs to one of the uids ``owners`` and that
        nobody else can write to.
        """

        def work() -> bytes:
            handle = open_plain(path, owners=owners)
            found = os.fstat(handle)
            if owners is not None and found.st_mode & stat.S_IWOTH:
                raise RefusedError("can be written by everybody")
            os.lseek(handle, max(0, found.st_size - TAIL), os.SEEK_SET)
            return read_up_to(handle, TAIL)

        try:
            return _text(call(rights_on(path), work, seconds=self._seconds(path), limit=TAIL))
        except (OSError, RefusedError):
            return ""

    def _seconds(self, path: str) -> float:
        """How long one look at a file may take; OverdueError where there is no time left."""
        if not self.deadline:
            return SECONDS
        self.deadline.keep(f"the look at {path}")
        return self.deadline.within(SECONDS)

    def stat(self, path: str) -> FileStat | None:
        return _stat(path, True)

    def real_path(self, path: str) -> str:
        """The path with all links followed."""
        return os.path.realpath(path)

    def account(self, name: str) -> Account | None:
        try:
            return self._account(pwd.getpwnam(name))
        except (KeyError, ValueError):
            return None

    def account_of(self, uid: int) -> Account | None:
        try:
            return self._account(pwd.getpwuid(uid))
        except KeyError:
            return None

    def _account(self, found: pwd.struct_passwd) -> Account:
        why = not_a_person(found.pw_name, found.pw_uid, found.pw_shell, self._uid_min, self._shadow)
        return Account(found.pw_name, found.pw_uid, found.pw_gid, found.pw_dir, found.pw_shell, why)

    def addresses(self) -> list[str]:
        """The global unicast addresses of this host, IPv4 first, without loopback and link-local ones."""
        return local_ipv4(self._lines("/proc/net/fib_trie")) + local_ipv6(self._lines("/proc/net/if_inet6"))

    def listeners(self) -> list[Socket]:
        """All TCP sockets of this host on which something listens."""
        sockets = self.tcp(LISTENING)
        held_by = holders({found.inode for found in sockets}, self._uid_min)
        return [
            Socket(found.address, found.port, frozenset(held.values()), found.inode, frozenset(held), found.uid)
            for found in sockets
            for held in [held_by[found.inode]]
        ]

    def tcp(self, *states: str) -> list[Entry]:
        """The TCP sockets of this host that are in one of some states."""
        return [found for table in ("tcp", "tcp6") for found in entries(self._lines(f"/proc/net/{table}"), states)]

    def account_name(self, uid: int) -> str:
        """The name of an account, or its number."""
        return trust.account(uid)

    def processes(self, accounts: Collection[str] = ()) -> list[Process]:
        """All processes of this host, with the command lines of root's and of the ``accounts``'."""
        return processes(accounts)

    def unit_of(self, pid: int) -> str:
        """The service of systemd that a process belongs to, empty where there is none."""
        return unit_of(pid)

    def _lines(self, path: str) -> list[str]:
        try:
            return self.read(path).splitlines()
        except OSError:
            return []

    @cached_property
    def _uid_min(self) -> int:
        found = re.search(r"^\s*UID_MIN\s+(\d+)", "\n".join(self._lines("/etc/login.defs")), re.MULTILINE)
        return int(found.group(1)) if found else 1000

    @cached_property
    def _shadow(self) -> dict[str, tuple[str, str]]:
        fields = [line.split(":") for line in self._lines("/etc/shadow")]
        return {field[0]: (field[1], field[7]) for field in fields if len(field) > 7}


def _rights(account: Account | None) -> Rights | None:
    return Rights.of(account) if account and account.uid else None


def _stat(path: str, follow: bool) -> FileStat | None:
    try:
        found = os.stat(path) if follow else os.lstat(path)
        is_link = stat.S_ISLNK(os.lstat(path).st_mode)
    except (OSError, ValueError):  # no such file, and no name that one can have
        return None
    return FileStat(
        found.st_uid,
        found.st_gid,
        found.st_mode & 0o7777,
        found.st_mtime,
        found.st_size,
        stat.S_ISDIR(found.st_mode),
        stat.S_ISREG(found.st_mode),
        is_link,
    )


def granted(found: FileStat, rights: Rights, right: int) -> bool:
    """Whether the mode of a file gives a right; what lies above it is not looked at."""
    groups = (rights.gid, *rights.groups)
    shift = 6 if found.uid == rights.uid else 3 if found.gid in groups else 0
    return bool(found.mode >> shift & right)


def local_ipv4(fib_trie: Sequence[str]) -> list[str]:
    """The kernel's own IPv4 addresses: in its trie the line below an address says that it is local."""
    found = (
        above.split()[-1] for above, line in zip(fib_trie, fib_trie[1:]) if line.split() == ["/32", "host", "LOCAL"]
    )
    return [address for address in dict.fromkeys(found) if _is_global(address)]


def local_ipv6(if_inet6: Sequence[str]) -> list[str]:
    found = (str(ipaddress.IPv6Address(bytes.fromhex(line.split()[0]))) for line in if_inet6)
    return [address for address in found if _is_global(address)]


def _is_global(address: str) -> bool:
    ip = ipaddress.ip_address(address)
    return not (ip.is_loopback or ip.is_link_local or ip.is_multicast or ip.is_unspecified)


def not_a_person(name: str, uid: int, shell: str, uid_min: int, shadow: dict[str, tuple[str, str]]) -> str:
    """Why an account is not one that a person reads mail with, or an empty string.

    A password field of ``!`` or ``*`` alone is an account without a password (it may have keys); ``!`` before a
    hash is one that somebody locked.
    """
    password, expires = shadow.get(name, ("", ""))
    if uid and uid < uid_min:
        return f"a system account (uid {uid})"
    if NOLOGIN.search(shell):
        return f"an account that cannot log in (shell {shell})"
    if re.match(r"!+[^!*]", password):
        return "a locked account"
    if expires.isdigit() and int(expires) * 86400 <= time.time():
        return "an expired account"
    return ""


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
