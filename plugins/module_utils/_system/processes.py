# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The processes of this host, by what /proc says of them to anybody.

Without CAP_SYS_PTRACE, as in most containers, root sees neither the program of a daemon that runs as somebody else nor
its files. Its command line, its parent and its namespace are seen all the same (proc(5)).

A command line lies in the memory of its process, so who reads it waits for the lock of that memory (mmap_lock). Anybody
can hold that lock of a process of his for ever, by a page of a file system in user space. ``status`` and ``stat`` are
the kernel's own, and read at once. So they are read first, and command lines only where the process is root's or of an
account that was asked for; of all others the name in ``status`` is known. And a process can change hands between two
looks, and a service's account can be hostile, too. So a child process reads the command lines, all of one look, and is
killed after some seconds: what it has not got by then is known by its name as well.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
import time
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from . import trust
from .reader import RefusedError, call

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

PROC = "/proc"
LONGEST = 65536  # octets of a file about a process, which the kernel writes
UNIT = re.compile(r"[A-Za-z0-9:_.@\\][A-Za-z0-9:_.@\\-]*\.service")  # systemd.unit(5)
COMMAND = 4096  # octets of its command line: a process can make that any part of its memory (PR_SET_MM, prctl(2))
BLANK = "\0"  # in a word, where no word can have one
SECONDS = 5.0  # for all command lines of one look; a busy machine needs more than a moment
HANDS = 8  # threads that read them: so many may hang before the others wait


@dataclass(frozen=True)
class Process:
    """A process: ``name`` is the kernel's, ``command`` the words as they are now, with one blank between them and a NUL
    for each in them, empty where they were not read, and ``program`` the path of what runs, empty where that is not
    seen. One that is ``stopped`` does nothing until somebody lets it go on (signal(7), SIGSTOP); one that is traced is
    not, for its tracer does so (ptrace(2)). ``account`` is whose it is by its real uid, which a setuid program of
    somebody else's keeps: anybody can give a process of his any words. What this account itself runs counts as root's.
    Exim sets all its uids, whoever has started it: who did so at a ``terminal`` can stop it there. ``session`` is the
    pid of the process that has begun its session (setsid(2)), which may have ended; 0 for one of another namespace."""

    pid: int
    parent: int
    name: str
    command: str
    program: str = ""
    stopped: bool = False
    account: str = "root"
    terminal: bool = False
    session: int = 0

    def __str__(self) -> str:
        return f"process {self.pid} ({' '.join(self.command.replace(BLANK, ' ').split()) or self.name})"


def processes(accounts: Collection[str] = (), proc: str = PROC) -> list[Process]:
    """All processes of this host that live; those in containers of this host are not its own.

    Command lines are those of root's processes and of the ``accounts``'.
    """
    trusted = {"root", *accounts}
    found, asked = [], []
    for pid in map(int, filter(str.isdigit, os.listdir(proc))):
        with contextlib.suppress(OSError):
            status, stat = (_read(f"{proc}/{pid}/{file}") for file in ("status", "stat"))
            one = process(pid, status, stat)
            if one:
                found.append(replace(one, program=_program(f"{proc}/{pid}/exe")))
                asked += [pid] if owners(status) <= trusted else []
    said = _commands(asked, proc)
    return [replace(one, command=said.get(one.pid, "")) for one in found]


def process(pid: int, status: str, stat: str = "") -> Process | None:
    """One process by its files, without its command line; None for one that has ended, or is of another namespace."""
    fields = _fields(status)
    inside, state = len(fields.get("NSpid", "").split()) > 1, fields.get("State", "X")[:1]
    if inside or state in "ZX":
        return None
    account = whose(int((fields.get("Uid") or "0").split()[0]))
    parent = int(fields.get("PPid", "0"))
    numbers = stat.rpartition(")")[2].split()[3:5]  # behind a name of any signs: session, tty_nr
    session, terminal = map(int, numbers or ("0", "0"))
    return Process(pid, parent, fields.get("Name", ""), "", "", state == "T", account, terminal != 0, session)


def owners(status: str) -> set[str]:
    """Whose a process is, by its real and by its effective uid."""
    return {whose(int(uid)) for uid in (_fields(status).get("Uid") or "0").split()[:2]}


def _fields(status: str) -> dict[str, str]:
    return dict(re.findall(r"^(\w+):[ \t]*(.*)$", status, re.MULTILINE))


def _commands(pids: Collection[int], proc: str) -> dict[int, str]:
    """The command lines of some processes, as far as they can be read in time."""
    try:
        said = call(None, lambda: _read_commands(pids, proc), seconds=2 * SECONDS, limit=(len(pids) + 1) * 8 * COMMAND)
    except (OSError, RefusedError):
        return {}
    return {int(pid): command for pid, command in json.loads(said).items()}


def _read_commands(pids: Collection[int], proc: str) -> bytes:
    """The work of the child: it says what it has got after ``SECONDS``, whatever hangs."""
    found: dict[int, str] = {}
    waiting, until = iter(pids), time.monotonic() + SECONDS

    def read() -> None:
        for pid in waiting:
            with contextlib.suppress(OSError):
                found[pid] = command(_read(f"{proc}/{pid}/cmdline", COMMAND))

    hands = [threading.Thread(target=read, daemon=True) for _hand in range(HANDS)]
    for hand in hands:
        hand.start()
    for hand in hands:
        hand.join(max(0.0, until - time.monotonic()))
    return json.dumps(found.copy()).encode()


def command(cmdline: str) -> str:
    """The words of a file ``cmdline``, as ``Process`` has them: whoever starts a program gives it any words, and what
    he writes in one of them must not be taken for another one. A title (setproctitle(3)) is one word."""
    words = cmdline.rstrip("\0")
    return " ".join(re.sub(r"\s", BLANK, word) or BLANK for word in words.split("\0")) if words else ""


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
