# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks for texts on a host, which it reads from its input so that it does not itself show them to anybody.

The input is a line of JSON: ``secrets``, each a list of its forms, and the time in seconds ``since`` which there can be
any. ``watch`` looks at what all processes are called with until the input ends, and prints the names of those that show
a secret. ``find`` looks once at all files and the journal. For each secret it prints whether it is in the ``journal``,
and the ``files`` that it is in, each with its path, whether others can read it, and its owner's name.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import pwd
import select
import stat
import subprocess
import sys

ELSEWHERE = {"/proc", "/sys", "/dev"}
INTERVAL = 0.05  # seconds between two looks


def watch(secrets, _since):
    texts, seen = [text for forms in secrets for text in forms], set()
    while not select.select([sys.stdin], [], [], INTERVAL)[0]:
        seen.update(name for process in pathlib.Path("/proc").glob("[0-9]*") for name in shows(process, texts))
    return sorted(seen)


def shows(process, texts):
    """The name of a process, where what it is called with, or its environment, has one of the texts."""
    with contextlib.suppress(OSError):  # it has ended
        called = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        if any(text in called for text in texts):
            yield (process / "comm").read_text().strip()


def find(secrets, since):
    journal = subprocess.run(["journalctl", "--output=export", "--no-pager"], capture_output=True, check=True).stdout
    found = [{"journal": any(text in journal for text in forms), "files": []} for forms in secrets]
    for folder, inner, names in os.walk("/"):
        inner[:] = [name for name in inner if os.path.join(folder, name) not in ELSEWHERE]
        for name in names:
            path = os.path.join(folder, name)
            there = os.lstat(path) if os.path.lexists(path) else None
            if there and stat.S_ISREG(there.st_mode) and there.st_ctime >= since:  # nobody can set that (inode(7))
                content = pathlib.Path(path).read_bytes()
                for secret, forms in zip(found, secrets):
                    if any(text in content for text in forms):
                        secret["files"].append(described(path, there))
    return found


def described(path, there):
    return {"path": path, "open": open_to_others(path), "owner": pwd.getpwuid(there.st_uid).pw_name}


def open_to_others(path):
    """Whether somebody who neither owns a file nor is in its group can read it."""
    above = [os.stat(folder).st_mode & stat.S_IXOTH for folder in pathlib.Path(path).parents]
    return bool(os.stat(path).st_mode & stat.S_IROTH and all(above))


if __name__ == "__main__":
    asked = json.loads(input())
    encoded = [[text.encode() for text in forms] for forms in asked["secrets"]]
    print(json.dumps({"watch": watch, "find": find}[sys.argv[1]](encoded, asked["since"])))
