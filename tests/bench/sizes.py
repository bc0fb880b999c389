#!/usr/bin/env python3
# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Time and memory against size: what reads texts of any size, at 10,000, 100,000 and 1,000,000. Needs no host.

Each figure is the median of ``RUNS`` processes, in seconds of CPU; the memory is what the process had resident at most,
the text that it works on included. Ends with 1 where ten times as much takes more than ``MOST`` times as long, or where
an edit of a million aliases is above its limits.
"""

from __future__ import annotations

import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any, Callable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / ".build"))

from ansible_collections.mailops.postmaster.plugins.module_utils._system.deadline import Deadline
from ansible_collections.mailops.postmaster.plugins.module_utils._system.host import Host
from ansible_collections.mailops.postmaster.plugins.module_utils.aliases.apply import apply
from ansible_collections.mailops.postmaster.plugins.module_utils.aliases.edit import cycle
from ansible_collections.mailops.postmaster.plugins.module_utils.aliases.expand import Edge, Step, walk
from ansible_collections.mailops.postmaster.plugins.module_utils.aliases.sources import Source
from ansible_collections.mailops.postmaster.plugins.module_utils.aliases.table import NAME, Target, parse
from ansible_collections.mailops.postmaster.plugins.module_utils.mailbox.mbox import Mbox
from ansible_collections.mailops.postmaster.plugins.module_utils.mailbox.message import Tally
from ansible_collections.mailops.postmaster.plugins.module_utils.mta import (
    exim_syntax,
    opensmtpd_syntax,
    postfix_syntax,
    sendmail_syntax,
)
from ansible_collections.mailops.postmaster.plugins.module_utils.queue import exim as exim_queue

SIZES = (10_000, 100_000, 1_000_000)
RUNS, MOST = 3, 25.0
LIMITS = {"aliases: nothing changed": (1.0, 200), "aliases: one entry changed": (2.0, 200)}  # seconds, MB

Work = Callable[[], Any]


def users(size: int) -> Iterator[bytes]:
    """A table with postmaster in front and abuse at the end, in pieces."""
    yield b"postmaster: root\nroot: alice\n"
    for number in range(size):
        yield b"user%d: person%d@example.org\n" % (number, number)
    yield b"abuse: postmaster\n"


def new_file(pieces: Iterable[bytes]) -> pathlib.Path:
    path = pathlib.Path(tempfile.mkdtemp(dir=sys.argv[3])) / "file"
    with path.open("wb") as file:
        file.writelines(pieces)
    return path


def edited(reader: str, strategy: str = "merge") -> Callable[[int], Work]:
    def prepare(size: int) -> Work:
        entries = {"postmaster": reader, "abuse": "postmaster"}
        path = str(new_file(users(size)))
        params = {"path": path, "entries": entries, "strategy": strategy, "compiled": [], "rebuild": []}
        return lambda: apply(Host(), params, False, str(pathlib.Path(path).parent))

    return prepare


def looked_up(size: int) -> Work:
    path = new_file(users(size))
    return lambda: Source("/etc/aliases", path.read_text(encoding="utf-8")).entry("abuse")


def found_in_mbox(size: int) -> Work:
    """A token message that comes when there are so many old ones."""
    path = new_file(
        b"From a@b.example Mon Nov 30 00:00:00 2026\nSubject: %d\n\nbody\n\n" % number for number in range(size)
    )
    file = path.open("r+b")
    mbox = Mbox(Tally(["token"]))
    mbox.mark(file.fileno())
    file.seek(0, 2)
    file.write(b"From a@b.example Mon Nov 30 00:00:00 2026\nX-Postmaster-Token: token\n\nbody\n\n")
    file.flush()
    return lambda: mbox.look(file.fileno(), Deadline(60))


def envelope(size: int) -> bytes:
    """The file of a message of Exim, with so many variables of its access control."""
    head = b"1xVUwJ-000000000JW-1Hrz-H\nroot 0 0\n<a@b.example>\n1790000000 0\n"
    return head + b"-aclm a 1\nx\n" * size + b"XX\n1\nc@d.example\n\n"


def chain(size: int) -> Work:
    targets = {f"n{number}": (Target(NAME, f"n{number + 1}"),) for number in range(size)}
    return lambda: cycle(["n0"], lambda name: targets.get(name, ()))


def leads_back(size: int) -> Work:
    def step(node: int) -> Step:
        return Step((Edge(node, 0, "back"), *([Edge(node, node + 1, "on")] if node + 1 < size else [])))

    return lambda: walk(0, step, limit=size)


def text(make: Callable[[int], Any], work: Callable[[Any], Any]) -> Callable[[int], Work]:
    def prepare(size: int) -> Work:
        given = make(size)
        return lambda: work(given)

    return prepare


FIGURES: dict[str, Callable[[int], Work]] = {
    "aliases: nothing changed": edited("root"),
    "aliases: one entry changed": edited("user7"),
    "aliases: all other entries taken out": edited("alice", "exact"),
    "aliases: one of them looked up": looked_up,
    "aliases: an entry of so many lines": text(lambda size: "a: b\n" + " c,\n" * size, parse),
    "aliases: a chain without a loop": chain,
    "expansion: each of so many nodes leads back": leads_back,
    "Postfix: the members of a list": text(lambda size: "a, " * size, postfix_syntax.addresses),
    "Postfix: one address of so many words": text(lambda size: "a." * size, postfix_syntax.addresses),
    "Sendmail: answers on one line": text(
        lambda size: "map_lookup: a (b) returns c (0) " * size, sendmail_syntax.found_in_map
    ),
    "Sendmail: open quotes": text(lambda size: '"\\' * size, sendmail_syntax.members),
    "OpenSMTPD: a table in the configuration": text(
        lambda size: "table a { " + "b = c, " * size + "}\n",
        lambda given: opensmtpd_syntax.parse("/etc/smtpd.conf", lambda _path: given),
    ),
    "Exim: the options of a queued message": text(envelope, exim_queue.parse),
    "mbox: a new message behind so many old ones": found_in_mbox,
    "Exim: open quotes in a .forward": text(lambda size: '"\\' * size, exim_syntax.redirections),
}


def measure(name: str, size: int) -> dict[str, float]:
    """Seconds of CPU of one run in this process, and the memory that was resident at most, in MB."""
    work = FIGURES[name](size)
    start = time.process_time()
    work()
    seconds = time.process_time() - start
    status = pathlib.Path("/proc/self/status").read_text(encoding="ascii")
    peak = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return {"seconds": seconds, "memory": int(peak) / 1024}


def median(name: str, size: int, folder: str) -> tuple[float, float]:
    runs = []
    for _dummy in range(RUNS):
        argv = [sys.executable, __file__, name, str(size), folder]
        runs.append(json.loads(subprocess.run(argv, stdout=subprocess.PIPE, check=True).stdout))
    return statistics.median(run["seconds"] for run in runs), statistics.median(run["memory"] for run in runs)


def main() -> int:
    print("{:48}{:>10}{:>10}{:>10}{:>7}{:>7}".format("seconds of CPU", *SIZES, "10x", "MB"))
    wrong = []
    for name in FIGURES:
        with tempfile.TemporaryDirectory() as folder:
            rows = [median(name, size, folder) for size in SIZES]
        growth = max(large[0] / max(small[0], 0.01) for small, large in zip(rows, rows[1:]))
        seconds, memory = rows[-1]
        times = [row[0] for row in rows]
        print("{:48}{:10.3f}{:10.3f}{:10.3f}{:7.1f}{:7.0f}".format(name, *times, growth, memory), flush=True)
        most = LIMITS.get(name, (float("inf"), float("inf")))
        if growth > MOST or seconds > most[0] or memory > most[1]:
            wrong.append(name)
    for name in wrong:
        print(f"{name}: above its limit")
    return int(bool(wrong))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
    else:
        sys.exit(main())
