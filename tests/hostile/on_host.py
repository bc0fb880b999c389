# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a mail host as root: bob sets one trap after the other, and the modules walk into them.

Reads JSON: ``mta``, the ``seconds`` to race for, the ``deadlines`` of the runs, and ``traps``, each with its ``name``,
what bob does to ``make`` it, the ``run`` that walks into it, and the ``verdicts`` that are right, by MTA. Runs are
modules as Ansible has sent them (kept.py). Prints JSON: ``tried``, a line for each trap with the verdict, the seconds
and the size of the largest process; and ``wrong``, what of that is not as it has to be.
"""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).parent
HOME = pathlib.Path("/home/bob")
TOKEN = pathlib.Path("/root/hostile/secret")
VERDICTS = {"fail", "inconclusive", "warn", "pass", "exempt", "skipped"}
BEYOND = 5.0  # seconds that a module may take beyond its deadline
MEGABYTES = 300
LONG = 100.0  # seconds after which a module is killed
LOOK = 0.02  # seconds between two looks whether it has ended
CLEAN = "cd; rm -rf .forward list other Maildir mbox; test ! -f /var/mail/bob || : > /var/mail/bob; umask 022; set -e\n"


def as_bob(*argv):
    return ["runuser", "-u", "bob", "--", "env", f"HOME={HOME}", *argv]


def run(name):
    """What a kept module prints, the seconds that it takes, and the size of its largest process in megabytes."""
    with (HERE / f"{name}.module").open("rb") as module, (HERE / "out").open("w+b") as out:
        begun = time.monotonic()
        pid = subprocess.Popen([sys.executable], stdin=module, stdout=out, stderr=subprocess.DEVNULL, cwd="/").pid
        ended = 0
        while not ended:
            if time.monotonic() > begun + LONG:
                os.kill(pid, signal.SIGKILL)
            time.sleep(LOOK)
            ended, _status, usage = os.wait4(pid, os.WNOHANG)
        seconds = time.monotonic() - begun
        out.seek(0)
        return out.read(), seconds, usage.ru_maxrss / 1024


def verdict_of(text):
    """The verdict of the first domain in what a module has printed, else that of the whole; and what it says."""
    try:
        result = json.loads(text)
    except ValueError:
        return "none", text.decode("utf-8", "replace")[-400:]
    found = (result.get("domains") or [result])[0]
    said = [line for line in result.get("findings", []) if " skipped: " not in line]
    said += [one["reason"] for one in result.get("inconclusive", [])]
    return found.get("verdict", "none"), next(iter(said), "")


class Tried:
    """The lines of the table, and what of it is wrong."""

    def __init__(self, given):
        self.given, self.lines, self.wrong = given, [], []
        self.secret = TOKEN.read_bytes().strip()
        self.start = run("find")[1]  # what a module costs that has nothing to do, which is more on a busy machine

    def walk(self, name, what, right):
        """Run a module, and note what it made of a trap."""
        text, seconds, megabytes = run(what)
        verdict, said = verdict_of(text)
        line = f"{name:52} {what:8} {verdict:12} {seconds:5.1f} s {megabytes:4.0f} MB  {said[:120]}"
        self.lines.append(line)
        print(line, file=sys.stderr, flush=True)
        if verdict not in right or self.secret in text:
            self.wrong.append(f"{line} (wanted: {', '.join(sorted(right))}) {text.decode('utf-8', 'replace')[-3000:]}")
        if seconds - 2 * self.start > self.given["deadlines"][what] + BEYOND or megabytes > MEGABYTES:
            self.wrong.append(line)

    def trap(self, trap):
        made = subprocess.run(
            as_bob("sh", "-s"), input=CLEAN + trap["make"] + "\n", capture_output=True, text=True, check=False
        )
        if made.returncode:
            self.wrong.append(f"{trap['name']}: {made.stderr}")
        right = trap.get("verdicts", {}).get(self.given["mta"])
        for what in trap.get("run", ["resolves"]):
            self.walk(trap["name"], what, set(right.split("|")) if right and what != "find" else VERDICTS)

    def race(self):
        """Walk while files are exchanged; only the slowest runs, and those that are wrong, are shown."""
        before = len(self.lines)
        racing = subprocess.Popen(as_bob("python3", str(HERE / "user.py"), "race", str(self.given["seconds"])))
        while racing.poll() is None:
            for what in ("resolves", "find"):
                self.walk("files that are exchanged all the time", what, VERDICTS)
        count = len(self.lines) - before
        slowest = sorted(self.lines[before:], key=lambda line: float(line.partition(" s ")[0].split()[-1]))[-2:]
        self.lines[before:] = [*slowest, f"... which is {count} runs; these are the slowest"]


def main():
    tried = Tried(json.load(sys.stdin))
    watching = subprocess.Popen(as_bob("python3", str(HERE / "user.py"), "watch"))
    decoy = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()", "pl4nted-decoy"], stdin=subprocess.PIPE
    )
    for trap in tried.given["traps"]:
        tried.trap(trap)
    subprocess.run(as_bob("sh", "-s"), input=CLEAN, text=True, check=False)
    tried.race()
    decoy.communicate(b"\n")
    (HOME / "stop").touch()
    watching.wait()
    print(json.dumps({"tried": tried.lines, "wrong": tried.wrong}))


main()
