# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a change of the MTA replaces besides the files of the configuration: by itself, by systemd and by dpkg.

The programs of the old MTA go, and the new one has some of the same names: sendmail(1), mailq(1). What dpkg keeps in
/etc it does not touch when a package goes, and directories that it cannot remove it leaves.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .._system.debs import DPKG
from .._system.names import is_folder
from .._system.obstacles import Wanted
from .timer import SYSTEMD, UNITS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .._system.host import Host
    from ..queue.spool import Spool

MASKS = SYSTEMD  # where a boot masks the services until the way back is through
WANTS = f"{UNITS}/multi-user.target.wants"  # where a service is enabled
APT = "/var/lib/apt"
PROGRAMS = ("/usr/", "/lib", "/bin/", "/sbin/")  # below these nobody keeps files of his own in those of a package


def written(host: Host, policy: str, old: Spool, new: Spool) -> list[Wanted]:
    """The files, each of which is replaced itself where it is a link. policy is where policy-rc.d(8) is."""
    units = [f"{unit.partition('.service')[0]}.service" for unit in (*old.units, *new.units)]
    packages = _packages(host, old.programs)
    paths = [
        policy,
        *(f"{folder}/{unit}" for folder in (MASKS, WANTS) if is_folder(MASKS) for unit in units),
        f"{DPKG}/status",
        *(f"{DPKG}/info/{package}.list" for package in packages),
        f"{APT}/extended_states",
        *_files(host, packages),
    ]
    return [Wanted(path, parents=True, itself=True) for path in paths]


def _packages(host: Host, programs: Iterable[str]) -> list[str]:
    """The packages that programs are from, which are given by the beginnings of their paths."""
    said = host.run(["dpkg-query", "--search", *(f"{program}*" for program in programs)]).out
    owners = (line.partition(": /")[0] for line in said.splitlines() if not line.startswith("diversion "))
    return sorted({name for names in owners for name in names.split(", ") if name})


def _files(host: Host, packages: Sequence[str]) -> list[str]:
    """The programs and data of packages, without directories."""
    said = host.run(["dpkg-query", "--listfiles", *packages]).out if packages else ""
    paths = (os.path.normpath(path) for path in said.splitlines() if path.startswith(PROGRAMS))
    return [path for path in paths if not is_folder(path)]
