# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The processes of this host, by what /proc says of them to anybody.

Without CAP_SYS_PTRACE, as in most containers, root sees neither the program of a daemon that runs as somebody else nor
its files. Its command line, its parent and its namespace are seen all the same (proc(5)).
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from . import trust

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PROC = "/proc"
LONGEST = 65536  # octets of a file about a process, which the kernel writes
UNIT = re.compile(r"[A-Za-z0-9:_.@\\][A-Za-z0-9:_.@\\-]*\.service")  # systemd.unit(5)
COMMAND = 4096  # octets of its command line: a process can make that any part of its memory (PR_SET_MM, prctl(2))

FILES = {"status": LONGEST, "cmdline": COMMAND, "stat": LONGEST}


@dataclass(frozen=True)
class Process:
    """A process: ``name`` is the kernel's, ``command`` the words as they are now, with one blank between them, and
    ``program`` the path of what runs, empty where that is not seen. One that is ``stopped`` does nothing until somebody
    lets it go on (signal(7), SIGSTOP); one that is traced is not, for its tracer does so (ptrace(2)). ``account`` is
    whose it is by its real uid, which a setuid program of somebody else's keeps: anybody can give a process of his any
    words. What this account itself runs counts as root's. Exim sets all its uids, whoever has started it: who did so at
    a ``terminal`` can stop it there."""

    pid: int
    parent: int
    name: str
    command: str
    program: str = ""
    stopped: bool = False
    account: str = "root"
    terminal: bool = False

    def __str__(self) -> str:
        return f"process {self.pid} ({self.command or self.name})"


def processes(proc: str = PROC) -> list[Process]:
    """All processes of this host that live; those in containers of this host are not its own."""
    return list(_processes(proc))


def _processes(proc: str) -> Iterator[Process]:
    for pid in filter(str.isdigit, os.listdir(proc)):
        with contextlib.suppress(OSError):
            said = (_read(f"{proc}/{pid}/{file}", most) for file, most in FILES.items())
            found = process(int(pid), *said)
            if found:
                yield replace(found, program=_program(f"{proc}/{pid}/exe"))


def process(pid: int, status: str, cmdline: str, stat: str = "") -> Process | None:
    """One process by its files; None for one that has ended, and for one of another namespace."""
    fields = dict(re.findall(r"^(\w+):[ \t]*(.*)$", status, re.MULTILINE))
    inside, state = len(fields.get("NSpid", "").split()) > 1, fields.get("State", "X")[:1]
    if inside or state in "ZX":
        return None
    command = " ".join(cmdline.replace("\0", " ").split())
    account = whose(int((fields.get("Uid") or "0").split()[0]))
    parent = int(fields.get("PPid", "0"))
    terminal = stat.rpartition(")")[2].split()[4:5] not in ([], ["0"])  # tty_nr, behind a name of any signs
    return Process(pid, parent, fields.get("Name", ""), command, "", state == "T", account, terminal)


@lru_cache(maxsize=256)
def whose(uid: int) -> str:
    """The name of an account; what this one itself runs counts as root's."""
    return "root" if uid in trust.trusted() else trust.account(uid)


def unit(cgroup: str, init: str = "") -> str:
    """The service of systemd that a process belongs to, by its file ``cgroup`` (cgroups(7)) and that of the first
    process; empty for one that belongs to none, as what a login has started.

    It is the outermost one: whoever may have groups of his own below a service, as every user below that of his
    manager, gives them any name. In a container the way to its first process comes before.
    """
    tops = {name: path.rpartition("/init.scope")[0] for name, path in _groups(init)}
    for name, path in _groups(cgroup):
        for part in path.removeprefix(tops.get(name, "")).split("/"):
            if part.endswith(".service"):
                return part if UNIT.fullmatch(part) else ""
    return ""


def _groups(cgroup: str) -> list[tuple[str, str]]:
    """The control groups of a process: the hierarchy, and the path in it."""
    fields = (line.split(":", 2) for line in cgroup.splitlines())
    return [(found[1], found[2]) for found in fields if len(found) == 3]


def unit_of(pid: int, proc: str = PROC) -> str:
    """The unit of a process that lives, as above."""
    groups = {}
    for one in (1, pid):
        with contextlib.suppress(OSError):
            groups[one] = _read(f"{proc}/{one}/cgroup")
    return unit(groups.get(pid, ""), groups.get(1, ""))


def leaders(found: Iterable[Process]) -> list[Process]:
    """Those that no other one of them has started."""
    by_pid = {one.pid: one for one in found}
    return [one for one in by_pid.values() if one.parent not in by_pid]


def with_children(found: Iterable[Process], everything: Iterable[Process]) -> list[Process]:
    """Some processes, and all that these have started."""
    of_parent: dict[int, list[Process]] = {}
    for one in everything:
        of_parent.setdefault(one.parent, []).append(one)
    reached, waiting = {}, list(found)
    while waiting:
        one = waiting.pop()
        if one.pid not in reached:
            reached[one.pid] = one
            waiting += of_parent.get(one.pid, [])
    return list(reached.values())


def _program(link: str) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""


def _read(path: str, most: int = LONGEST) -> str:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(handle, most).decode("utf-8", "replace")
    finally:
        os.close(handle)
