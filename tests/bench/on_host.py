# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""On a mail host: one address resolved in 100,000 aliases, and `postalias` compiling them, in alternation.

The address is three aliases away from its mailbox. Prints a JSON object with the seconds of each run. Works in a
configuration directory of its own.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
COUNT, RUNS = 100_000, 5

RESOLVE = """
from ansible_collections.mailops.postmaster.plugins.module_utils._system.host import Host
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.registry import adapter
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.resolve import resolve
host = Host()
found = resolve(host, adapter(host), "name99999")
assert [end.kind for end in found.destinations] == ["mailbox"], found
"""


def seconds(argv, **options):
    start = time.monotonic()
    subprocess.run(argv, check=True, **options)
    return time.monotonic() - start


def main():
    config = HERE / "etc"
    config.mkdir(exist_ok=True)
    aliases = HERE / "aliases"
    chain = "".join(f"name{number}: name{number // 1000}\n" for number in range(1, COUNT))
    aliases.write_text("name0: alice\n" + chain, encoding="ascii")
    for name in ("main.cf", "master.cf"):
        (config / name).write_bytes(pathlib.Path("/etc/postfix", name).read_bytes())
    with (config / "main.cf").open("a", encoding="ascii") as file:
        file.write(f"\nalias_maps = $default_database_type:{aliases}\n")
    environment = {**os.environ, "MAIL_CONFIG": str(config), "PYTHONPATH": str(HERE)}
    runs = {"compile": [], "resolve": []}
    for _dummy in range(RUNS):
        runs["compile"].append(seconds(["postalias", str(aliases)], env=environment))
        runs["resolve"].append(seconds([sys.executable, "-c", RESOLVE], env=environment))
    print(json.dumps(runs))


if __name__ == "__main__":
    main()
