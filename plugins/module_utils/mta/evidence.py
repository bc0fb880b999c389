# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only look at the host: files, accounts, addresses, and what its programs say. Changes nothing."""

from __future__ import annotations

import grp
import os
import pwd
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Dict, List, Optional, Sequence, Tuple

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NOLOGIN = re.compile(r"/(nologin|false|sync|halt|shutdown)$")


@dataclass(frozen=True)
class Completed:
    """What a program said. ``rc`` is 124 where it ran into the time limit and 127 where it does not exist."""

    argv: Tuple[str, ...]
    rc: int
    out: str
    err: str

    @property
    def command(self) -> str:
        return " ".join(self.argv)


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


class Host:
    """The host that the module runs on."""

    def run(self, argv: Sequence[str], stdin: str = "", timeout: float = 30.0) -> Completed:
        """Run a program without a shell, in the C locale, and wait ``timeout`` seconds at most."""
        env = dict(os.environ, LC_ALL="C", PATH=PATH)
        try:
            done = subprocess.run(
                list(argv),
                input=stdin.encode("utf-8", "surrogateescape"),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                timeout=timeout,
                env=env,
                check=False,
            )
        except FileNotFoundError:
            return Completed(tuple(argv), 127, "", "%s: not found" % argv[0])
        except subprocess.TimeoutExpired:
            return Completed(tuple(argv), 124, "", "no answer within %g s" % timeout)
        return Completed(tuple(argv), done.returncode, _text(done.stdout), _text(done.stderr))

    def which(self, program: str) -> Optional[str]:
        return shutil.which(program, path=PATH)

    def read(self, path: str) -> str:
        """The text of a file; bytes that are not UTF-8 survive (surrogateescape). Raises OSError."""
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read()

    def stat(self, path: str) -> Optional[FileStat]:
        try:
            found = os.stat(path)
        except OSError:
            return None
        return FileStat(
            found.st_uid,
            found.st_gid,
            found.st_mode & 0o7777,
            found.st_mtime,
            found.st_size,
            os.path.isdir(path),
            os.path.isfile(path),
        )

    def account(self, name: str) -> Optional[Account]:
        try:
            found = pwd.getpwnam(name)
        except (KeyError, ValueError):
            return None
        why = _not_a_person(name, found.pw_uid, found.pw_shell, self._uid_min(), self._shadow())
        return Account(found.pw_name, found.pw_uid, found.pw_gid, found.pw_dir, found.pw_shell, why)

    def group_name(self, gid: int) -> str:
        try:
            return grp.getgrgid(gid).gr_name
        except KeyError:
            return str(gid)

    def addresses(self) -> List[str]:
        """The global unicast addresses of this host, IPv4 first, without loopback and link-local ones."""
        found = re.findall(r"inet6?\s+([0-9a-f.:]+)/\d+.*?scope global", self.run(["ip", "-o", "addr", "show"]).out)
        return sorted(found, key=lambda address: ":" in address)

    @lru_cache(maxsize=None)
    def _uid_min(self) -> int:
        try:
            found = re.search(r"^\s*UID_MIN\s+(\d+)", self.read("/etc/login.defs"), re.MULTILINE)
        except OSError:
            found = None
        return int(found.group(1)) if found else 1000

    @lru_cache(maxsize=None)
    def _shadow(self) -> Dict[str, Tuple[str, str]]:
        try:
            lines = self.read("/etc/shadow").splitlines()
        except OSError:
            return {}
        fields = [line.split(":") for line in lines]
        return {field[0]: (field[1], field[7]) for field in fields if len(field) > 7}


def _not_a_person(name: str, uid: int, shell: str, uid_min: int, shadow: Dict[str, Tuple[str, str]]) -> str:
    """Why an account is not one that a person reads mail with, or an empty string.

    A password field of ``!`` or ``*`` alone is an account without a password (it may have keys); ``!`` before a
    hash is one that somebody locked.
    """
    password, expires = shadow.get(name, ("", ""))
    if uid and uid < uid_min:
        return "a system account (uid %d)" % uid
    if NOLOGIN.search(shell):
        return "an account that cannot log in (shell %s)" % shell
    if re.match(r"!+[^!*]", password):
        return "a locked account"
    if expires.isdigit() and int(expires) * 86400 <= time.time():
        return "an expired account"
    return ""


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
