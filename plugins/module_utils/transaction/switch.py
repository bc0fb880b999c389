# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Another MTA in place of the one that serves: its packages, and the mail that waits in the queue of the old one.

Debian's packages of MTAs exclude each other, so that for the time that apt takes there is none. Whatever is needed on
the way there and back is on the disk before anything changes.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..queue.inject import inject
from ..queue.registry import SPOOLS
from ..queue.saved import Saved
from . import files as disk
from .packages import Packages, Plan
from .plan import Image

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ..mta.evidence import Host
    from ..queue.spool import Spool

POLICY = "/usr/sbin/policy-rc.d"  # which a package asks before it starts a service
POLICY_TEXT = """#!/bin/sh
# mailops.postmaster changes the MTA of this host, and starts it when it is configured.
for word; do
    case " {units} " in *" ${{word%%[@.]*}} "*) exit 101 ;; esac
done
[ ! -x {before} ] || exec {before} "$@"
"""
FLUSH = 15.0  # seconds for the old MTA to deliver what waits
STILL = 3.0  # seconds without any change of the queue after which no more of it is expected
ENDING = 10.0  # seconds for processes to end by themselves, and then to end when told so
INTERVAL = 0.1
SETTLE = 600.0  # seconds to hand over what is saved


class Switch:
    """One change of the MTA; ``data`` is plain, as a journal keeps it."""

    def __init__(self, host: Host, data: Mapping[str, Any], state_dir: str) -> None:
        self._host = host
        self.data = dict(data)
        self._plan = Plan.load(data["packages"])
        self._packages = Packages(host, os.path.join(state_dir, "packages"))
        self._saved = Saved(os.path.join(state_dir, "queue"))
        self._policy_before = os.path.join(state_dir, "policy-rc.d")

    @classmethod
    def planned(cls, host: Host, old: str, new: str, wanted: Sequence[str], state_dir: str) -> Switch:
        """What is to be done, found out without a change; UserError where it cannot be."""
        packages = Packages(host, os.path.join(state_dir, "packages")).plan(wanted)
        return cls(host, {"old": old, "new": new, "packages": packages.dump()}, state_dir)

    def fetch(self) -> None:
        """Bring all packages onto the disk, for both ways; nothing else is changed."""
        self._packages.fetch(self._plan)

    def away(self) -> dict[str, str]:
        """Take the old MTA away and install the new one, which does not run yet; what stays in the old queue."""
        old = SPOOLS[self.data["old"]]
        self._deny_start()
        self._flush(old)
        self._stop(old)
        stay = self._saved.save(self._host, old)
        self._packages.install(self._plan)
        self._stop(SPOOLS[self.data["new"]])
        self._allow_start()
        return stay

    def back(self) -> None:
        """Bring the old MTA's packages back; it does not run yet. May be done again."""
        old, new = SPOOLS[self.data["old"]], SPOOLS[self.data["new"]]
        self._deny_start()
        for spool in (new, old):
            self._stop(spool)
        self._saved.save(self._host, new)
        self._saved.give_back(old)
        self._packages.restore(self._plan)
        self._allow_start()

    def settle(self, address: str, port: int) -> dict[str, Any]:
        """Hand over what is saved to the MTA that serves now, and forget the packages; what stays, and why."""
        before = len(self._saved.paths())
        kept = inject(self._saved, address, port, SETTLE)
        self._packages.forget()
        return {"handed_over": before - len(kept), "kept": [asdict(found) for found in kept]}

    def _flush(self, spool: Spool) -> None:
        """Let the old MTA, which still serves, deliver what it can within a short time."""
        start = seen = time.monotonic()
        left = {entry.key for entry in spool.entries()}
        if left:
            self._host.run(spool.flush, timeout=FLUSH)
        while left and (now := time.monotonic()) < min(start + FLUSH, seen + STILL):
            time.sleep(INTERVAL)
            found = {entry.key for entry in spool.entries()}
            seen, left = (seen, left) if found == left else (now, found)

    def _stop(self, spool: Spool) -> None:
        """Stop the services and everything else that works on the queue."""
        for unit in spool.units:
            self._host.run(["systemctl", "stop", unit], timeout=60)
        for told in (0, signal.SIGTERM, signal.SIGKILL):
            until = time.monotonic() + ENDING
            for pid in _processes(spool.programs):
                with suppress(ProcessLookupError):
                    os.kill(pid, told)
            while any(_processes(spool.programs)) and time.monotonic() < until:
                time.sleep(INTERVAL)

    def _deny_start(self) -> None:
        """Let no package start an MTA: with Debian's configuration it would take mail, and lose it."""
        units = " ".join(unit for mta in ("old", "new") for unit in SPOOLS[self.data[mta]].units)
        text = POLICY_TEXT.format(units=units, before=self._policy_before).encode()
        before = disk.read_image(POLICY)
        if before and before.content != text:
            disk.write_image(self._policy_before, before)
        disk.write_image(POLICY, Image(text, 0, 0, 0o755))

    def _allow_start(self) -> None:
        disk.restore(POLICY, disk.read_image(self._policy_before))
        disk.restore(self._policy_before, None)


def _processes(programs: Sequence[str]) -> Iterator[int]:
    """The processes of some programs; those in containers of this host are not its own."""
    own = os.readlink("/proc/self/ns/pid")
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            program, space = (os.readlink(f"/proc/{pid}/{name}") for name in ("exe", "ns/pid"))
            if program.startswith(tuple(programs)) and space == own:
                yield int(pid)
