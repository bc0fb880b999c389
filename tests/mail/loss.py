# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A mail host that is treated badly: its service is killed, its file systems are small and get full."""

from __future__ import annotations

import contextlib

from conftest import wait_until

# Kills every process of a unit, until there is none.
KILL = """
import glob, os, re, signal
def processes(unit):
    for path in glob.glob("/proc/[0-9]*/cgroup"):
        try:
            with open(path) as file:
                if re.search(r"/%s(@[^/]*)?[.]service" % unit, file.read()):
                    yield int(path.split("/")[2])
        except OSError:
            pass
def kill(unit, known=()):
    killed = set()
    while True:
        found = set(known) - killed or set(processes(unit))
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        killed.update(found)
        if not found:
            return len(killed)
"""
KILL_NOW = KILL + "import sys; print(kill(sys.argv[1]))"
# A directory on a file system of its own, with what is in it, and 100 MiB free: more than Postfix asks for.
SMALL = """
set -eu
used=$(du --summarize --block-size=1K "$1" | cut --fields=1)
mkdir -p "/run/small$1"
mount -t tmpfs -o size=$((used + 102400))k tmpfs "/run/small$1"
cp --archive "$1/." "/run/small$1"
chown --reference="$1" "/run/small$1"
chmod --reference="$1" "/run/small$1"
mount --bind "/run/small$1" "$1"
"""
# a socket may still be bound there
AS_BEFORE = 'umount --lazy "$1" && umount --lazy "/run/small$1"'
FILL = 'cat /dev/zero >>"/run/small$1/filler" 2>/dev/null || true; truncate --size="-$2K" "/run/small$1/filler"'


class Loss:
    """One mail host that is treated badly. Some of its directories are on small file systems."""

    def __init__(self, lab, *directories):
        self.lab, self.host = lab, lab.runner.get_host(lab.name)
        self.directories = directories

    def sh(self, script, *arguments):
        self.host.check_output("sudo sh -c %s sh" + " %s" * len(arguments), script, *arguments)

    @contextlib.contextmanager
    def small(self):
        """While its directories are on file systems of their own."""
        try:
            self._each(SMALL)
            yield
        finally:
            self._each(AS_BEFORE)

    def _each(self, script):
        """Do that to the directories, while the service is down."""
        self.sh("systemctl stop " + self.lab.service())
        for directory in self.directories:
            self.sh(script, directory)
        # a socket that was there is bound anew
        defences = self.lab.data()["mta_backend_defences"].values()
        for service in [service for defence in defences for service in defence.get("services", [])]:
            self.sh('! systemctl --quiet is-active "$1" || systemctl restart "$1"', service)
        self.lab.restart()

    def fill(self, directory, free):
        """Leave so many KiB free, and no more than there are."""
        self.sh(FILL, directory, str(free))

    @contextlib.contextmanager
    def full(self, directory, free):
        """While a directory has so many KiB free."""
        try:
            self.fill(directory, free)
            yield
        finally:
            self.sh('rm "/run/small$1/filler"', directory)

    def kill(self):
        """Kill every process of the service; how many there were."""
        return int(self.host.check_output("sudo python3 -c %s %s", KILL_NOW, self.lab.service()))

    def forget_locks(self):
        """Take away the locks of deliveries that were killed, which Postfix itself does after 500 s; their paths."""
        return self.host.check_output("sudo find /var/mail -name '*.lock' -print -delete").split()

    def deliver(self):
        """Have what waits tried again, until the queue is empty."""
        wait_until(self._flushed, said=lambda: self.lab.queue(self.lab.name))

    def _flushed(self):
        self.sh(self.lab.facts["lab_flush"] + " || true")
        return not self.lab.queue(self.lab.name)
