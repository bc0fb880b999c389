# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A storm: a steady load on some mail hosts at the same time, while they are changed, killed and short of room."""

from __future__ import annotations

import contextlib
import json
import pathlib
import secrets
import subprocess
import time
from dataclasses import dataclass, field

from conftest import wait_until
from counting import count
from loss import Loss

ROOT = pathlib.Path(__file__).parents[2]
LOAD = ROOT / "tests" / "lab" / "load.py"
CHANGE = ROOT / "molecule" / "loss" / "change.yml"
READERS = {
    "bob@{L}": ["bob"],
    "postmaster@{V}": ["alice"],
    "Carol@{L}": ["carol"],
    "sales@{V}": ["alice", "bob"],
    "postmaster": ["alice"],
}
REFUSED = 10  # at each host, while there is no room for its queue
WAITING = 10  # in each queue, while there is none for its mailboxes
TAKEN = '"stage": "dot", "code": 250'
PUT_OFF = '"code": 4'
# The copies of messages in all mailboxes: account, message, time, and whether it is whole. A message begins with
# a From_ line: one behind half a message without a line's end begins nothing.
READ = """
import json, os, sys, time
folder, run = sys.argv[1:]
copies = []
for account in os.listdir(folder):
    with open(os.path.join(folder, account), encoding="utf-8", errors="replace") as mailbox:
        begun = ""
        for line in mailbox:
            if line.startswith("From "):
                begun = " ".join(line.split()[-5:])
            elif line.startswith("X-Load: " + run) and begun:
                copies.append([account, line.split()[1], time.mktime(time.strptime(begun)), False])
                begun = ""
            elif copies and line == "end %s\\n" % copies[-1][1]:
                copies[-1][3] = True
json.dump(copies, sys.stdout)
"""


@dataclass
class Size:
    """How many messages each host accepts at least, how many are begun in a second, and what happens meanwhile."""

    messages: int
    rate: int
    events: list[str] = field(default_factory=list)

    def __str__(self):
        happened = ", ".join(f"{self.events.count(event)} x {event}" for event in dict.fromkeys(self.events))
        return f"{self.messages} messages, {self.rate} a second; {happened}"


ROUND = ["change"] * 4 + ["kill"]
REDUCED = Size(300, 6, ["change", "change", "kill", "change"])
WHOLE = Size(5000, 8, [*ROUND * 2, "full", *ROUND * 2, "quota", *ROUND])
MAILBOXES = "/var/mail"


class Storm:
    """What is done to the hosts, and what came of it."""

    def __init__(self, labs, inventory, size):
        self.inventory, self.size = inventory, size
        self.hosts = {lab.name: Loss(lab, lab.facts["lab_spool"], MAILBOXES) for lab in labs}
        self.stranger = labs[0].runner.get_host("stranger")
        self.helo = labs[0].helo
        self.run_id = secrets.token_hex(4)
        self.folder, self.unit = f"/run/load-{self.run_id}", f"load-{self.run_id}"
        self.seconds = 60 + 5 * size.messages / size.rate  # after which what is left to do does not come to an end
        self.changes = 0
        self.spans = []  # what happened, from when, until when
        self.copies = {}  # by host, what was found in all mailboxes
        self.kills = {name: [] for name in self.hosts}
        self.locks = {name: [] for name in self.hosts}

    def blow(self):
        """All of it, from the first message to the last one that was accepted, and until all queues are empty."""
        with contextlib.ExitStack() as small:
            for host in self.hosts.values() if "full" in self.size.events else []:
                small.enter_context(host.small())
            self._start()
            small.callback(self.stranger.run, "systemctl stop %s", self.unit)
            for number, event in enumerate(self.size.events, 1):
                self._wait(TAKEN, number * self.size.messages // (len(self.size.events) + 1))
                begin = time.time()
                getattr(self, event)()
                self.spans.append((event, begin, time.time()))
            self.stranger.check_output("touch %s/enough", self.folder)
            wait_until(lambda: self.stranger.run("systemctl is-active %s", self.unit).rc, self.seconds)
            for name, host in self.hosts.items():
                host.deliver()
                found = host.host.check_output("sudo python3 -c %s %s %s", READ, MAILBOXES, self.run_id)
                self.copies[name] = json.loads(found)

    def change(self):
        """Run the play with other settings; its own proof has to pass."""
        self.changes += 1
        limit = ":".join([*self.hosts, "stranger"])
        command = ["ansible-playbook", f"--inventory={self.inventory}", f"--limit={limit}"]
        done = subprocess.run(
            [*command, f"--extra-vars=loss_step={self.changes}", CHANGE], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def kill(self):
        """Kill every process of all services, and start them again."""
        for name, host in self.hosts.items():
            assert host.kill()
            self.kills[name].append(time.time())
        for name, host in self.hosts.items():
            self.locks[name] += host.forget_locks()
            host.lab.restart()

    def full(self):
        """Have no room for queues until some messages were put off everywhere."""
        wanted = max(self._lines(PUT_OFF).values()) + REFUSED
        with self._filled(lambda host: host.lab.facts["lab_spool"]) as filled:
            wait_until(lambda: filled() and min(self._lines(PUT_OFF).values()) >= wanted)

    def quota(self):
        """Have no room in mailboxes until some messages wait everywhere."""
        with self._filled(lambda _host: MAILBOXES) as filled:
            wait_until(lambda: filled() and min(map(_waiting, self.hosts.values())) >= WAITING)

    @contextlib.contextmanager
    def _filled(self, directory):
        """While a directory of each host is full; gives what fills it once more, for what is delivered leaves room."""
        with contextlib.ExitStack() as full:
            for host in self.hosts.values():
                full.enter_context(host.full(directory(host), free=0))
            yield lambda: all(host.fill(directory(host), free=0) is None for host in self.hosts.values())

    def attempts(self, name):
        text = self.stranger.check_output("cat %s/%s", self.folder, name)
        return [json.loads(line) for line in text.splitlines()]

    def count(self, name):
        """What became of the messages to one host."""
        lab = self.hosts[name].lab
        readers = {recipient.format(**lab.names): accounts for recipient, accounts in READERS.items()}
        return count(self.attempts(name), self.copies[name], readers, self.kills[name])

    def _start(self):
        work = {
            "run": self.run_id,
            "helo": self.helo,
            "rate": self.size.rate,
            "count": self.size.messages,
            "seconds": self.seconds,
        }
        work["servers"] = {
            name: {
                "address": host.lab.names["ipv4"],
                "recipients": [recipient.format(**host.lab.names) for recipient in READERS],
            }
            for name, host in self.hosts.items()
        }
        start = "systemd-run --quiet --collect --unit=%s python3 -c %s %s %s"
        self.stranger.check_output(start, self.unit, LOAD.read_text(encoding="utf-8"), json.dumps(work), self.folder)

    def _lines(self, pattern):
        """By host, how many attempts there were of some kind."""
        files = [f"{self.folder}/{name}" for name in self.hosts]
        grep = "grep --with-filename --count --fixed-strings %s" + " %s" * len(files)
        found = self.stranger.run(grep, pattern, *files)
        return {
            path: int(number) for path, _colon, number in (line.partition(":") for line in found.stdout.splitlines())
        }

    def _wait(self, pattern, number):
        """Wait until there were so many of them at each host."""
        wait_until(lambda: min(self._lines(pattern).values(), default=0) >= number, self.seconds)


def _waiting(host):
    """How many lines the queue of a host has: each message has one, or more."""
    return len(host.lab.queue(host.lab.name).splitlines())
