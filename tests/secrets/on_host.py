# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks for texts on a host, which it reads from its input so that it does not itself show them to anybody.

``watch`` looks at what all processes are called with until its input ends, ``find`` once at all files and the journal.
Prints JSON: the names of processes; or ``journal``, and ``files``, each with its path, whether others can read it, and
its owner's name.
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
INTERVAL = 0.03  # seconds between two looks


def watch(texts):
    seen = set()
    while not select.select([sys.stdin], [], [], INTERVAL)[0]:
        seen.update(name for process in pathlib.Path("/proc").glob("[0-9]*") for name in shows(process, texts))
    return sorted(seen)


def shows(process, texts):
    """The name of a process, where what it is called with, or its environment, has one of the texts."""
    with contextlib.suppress(OSError):  # it has ended
        called = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        if any(text in called for text in texts):
            yield (process / "comm").read_text().strip()


def find(texts):
    journal = subprocess.run(["journalctl", "--output=export", "--no-pager"], capture_output=True, check=True).stdout
    files = []
    for folder, inner, names in os.walk("/"):
        inner[:] = [name for name in inner if os.path.join(folder, name) not in ELSEWHERE]
        for name in names:
            path = os.path.join(folder, name)
            found = os.lstat(path) if os.path.lexists(path) else None
            if not found or not stat.S_ISREG(found.st_mode):
                continue
            content = pathlib.Path(path).read_bytes()
            if any(text in content for text in texts):
                owner = pwd.getpwuid(found.st_uid).pw_name
                files.append({"path": path, "open": open_to_others(path), "owner": owner})
    return {"journal": any(text in journal for text in texts), "files": files}


def open_to_others(path):
    """Whether somebody who neither owns a file nor is in its group can read it."""
    above = [os.stat(folder).st_mode & stat.S_IXOTH for folder in pathlib.Path(path).parents]
    return bool(os.stat(path).st_mode & stat.S_IROTH and all(above))


if __name__ == "__main__":
    print(json.dumps({"watch": watch, "find": find}[sys.argv[1]]([text.encode() for text in json.loads(input())])))
