# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages of Debian: what an installation would change, that change, and the way back from it without a network."""

from __future__ import annotations

import errno
import os
import re
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from .._system import debs
from .._system.files import make_folder, sync_folder
from .._system.names import is_folder, listed, remove, remove_empty
from ..errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .._system.host import Completed, Host

TIMEOUT = 900.0  # seconds for one run of apt or dpkg
LOCKED = 300.0  # seconds to wait for another one to end
QUIETLY = ("env", "DEBIAN_FRONTEND=noninteractive", "NEEDRESTART_SUSPEND=1")
KEEP_FILES = ("--force-confdef", "--force-confold")
APT = ("lock", "partial")  # what apt-get makes beside the packages
THERE = ("installed", "half-installed", "unpacked", "half-configured", "triggers-awaited", "triggers-pending")


@dataclass(frozen=True)
class Plan:
    """What an installation changes: the packages asked for; those that come; those that go or are replaced, with the
    versions that they have; and which of these the user asked for once."""

    wanted: tuple[str, ...]
    added: tuple[str, ...]
    before: dict[str, str]
    manual: tuple[str, ...]

    def dump(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def load(found: Mapping[str, Any]) -> Plan:
        return Plan(tuple(found["wanted"]), tuple(found["added"]), dict(found["before"]), tuple(found["manual"]))


def simulated(text: str) -> tuple[list[str], dict[str, str]]:
    """The packages that come, and those that go or are replaced, from what ``apt-get --simulate`` prints."""
    lines = re.findall(r"^(Inst|Remv) (\S+)(?: \[([^]]+)\])?", text, re.MULTILINE)
    added = [name for what, name, version in lines if what == "Inst" and not version]
    return added, {name: version for what, name, version in lines if version}


class Packages:
    """The packages of a host; ``folder`` keeps what was fetched."""

    def __init__(self, host: Host, folder: str) -> None:
        self._host, self._folder = host, folder

    def plan(self, wanted: Sequence[str]) -> Plan:
        done = self._fresh("install", "--simulate", "--no-install-recommends", *wanted)
        added, before = simulated(done.out)
        manual = self._host.ask(["apt-mark", "showmanual"]).out.split()
        return Plan(tuple(wanted), tuple(added), before, tuple(name for name in before if name in manual))

    def fetch(self, plan: Plan) -> None:
        """Fetch what is to come, and what is there now; nothing is changed."""
        make_folder(os.path.join(self._folder, "partial"))
        debs.copy_cached({*plan.added, *plan.before}, self._folder)
        self._fresh("install", "--download-only", "--yes", "--no-install-recommends", *plan.wanted)
        missing = [f"{name}={version}" for name, version in plan.before.items() if not self._debs({name: version})]
        if missing:
            self._fetch_old(missing)
        sync_folder(self._folder)

    def _fetch_old(self, missing: Sequence[str]) -> None:
        try:
            self._fresh("download", *missing)
        except UserError as error:
            raise UserError(
                f"{error}\nWithout {', '.join(missing)} the change could not be taken back: bring these up to date"
                f" first (apt-get upgrade), or put their .deb files into {debs.CACHE}"
            ) from error

    def install(self, plan: Plan) -> None:
        done = self._apt("install", "--yes", "--no-download", "--no-install-recommends", *plan.wanted)
        if done.rc:
            raise UserError(_failed(done))

    def restore(self, plan: Plan) -> None:
        """Bring back what was there before, whatever state the packages are in. May be done again."""
        with debs.locked(LOCKED):
            added = [name for name, state in self._states(plan.added).items() if state[0] in THERE]
            if added:
                self._dpkg("--remove", "--force-depends", "--force-remove-reinstreq", *added)
            if not self._back(plan):
                self._dpkg("--install", "--force-depends", *KEEP_FILES, *self._debs(plan.before))
                self._dpkg("--configure", "--pending", *KEEP_FILES)
            if not self._back(plan):
                why = f"{', '.join(plan.before)} could not be brought back; see dpkg --audit"
                raise OSError(errno.EIO, why, debs.STATUS)
        for mark in ("auto", "manual"):
            names = [name for name in plan.before if (name in plan.manual) == (mark == "manual")]
            if names:
                self._host.run(["apt-mark", mark, *names])

    def forget(self) -> None:
        """Remove what was fetched, and the directory where nothing else is in it."""
        for name in listed(self._folder):
            if name in APT or name.endswith(".deb"):
                with suppress(OSError):
                    remove(os.path.join(self._folder, name))
        with suppress(OSError):
            remove_empty(self._folder)

    def as_before(self, plan: Plan) -> bool:
        """Whether nothing has come and nothing has gone."""
        added = self._states(plan.added).values() if plan.added else ()
        return self._back(plan) and not any(state in THERE for state, _version in added)

    def _back(self, plan: Plan) -> bool:
        there = {name: version for name, (state, version) in self._states(plan.before).items() if state == "installed"}
        return there == plan.before

    def _states(self, names: Iterable[str]) -> dict[str, tuple[str, str]]:
        form = "${Package} ${db:Status-Status} ${Version}\n"
        done = self._host.ask(["dpkg-query", "--show", f"--showformat={form}", *names])
        fields = [(line + "  ").split(" ") for line in done.out.splitlines()]
        return {field[0]: (field[1], field[2]) for field in fields}

    def _debs(self, versions: Mapping[str, str]) -> list[str]:
        return [path for name, version in versions.items() for path in debs.kept(self._folder, name, version)]

    def _fresh(self, *words: str) -> Completed:
        """Run apt-get, and once more with new lists where that fails; raises UserError."""
        done = self._apt(*words)
        if done.rc:
            self._apt("update")
            done = self._apt(*words)
        if done.rc:
            raise UserError(f"{_failed(done)}; nothing was changed")
        return done

    def _apt(self, *words: str) -> Completed:
        options = {
            "Dir::Cache::archives": self._folder + "/",
            "APT::Sandbox::User": "root",
            "DPkg::Lock::Timeout": f"{LOCKED:g}",
        }
        given = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        given += [word for option in KEEP_FILES for word in ("-o", f"Dpkg::Options::={option}")]
        where = [f"--chdir={self._folder}"] if is_folder(self._folder) else []
        return self._host.run([QUIETLY[0], *where, *QUIETLY[1:], "apt-get", "-q", *given, *words], timeout=TIMEOUT)

    def _dpkg(self, *words: str) -> None:
        """Run dpkg, which says by itself what it could not do; what counts is the state after it."""
        self._host.run([*QUIETLY, "DPKG_FRONTEND_LOCKED=1", "dpkg", *words], timeout=TIMEOUT)


def _failed(done: Completed) -> str:
    if done.timed_out:
        return done.why
    lines = [line for line in (done.err or done.out).splitlines() if line[:2] in ("E:", "W:")] or [str(done.rc)]
    return f"`{done.command.partition('apt-get')[1]} {done.argv[-1]}` failed: {' '.join(lines)}"
