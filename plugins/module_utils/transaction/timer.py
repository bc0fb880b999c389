# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The confirmation timer: the host's own way back, which needs neither a controller nor Ansible.

The program is kept on the host, as one file that Python runs. A timer of systemd starts it when the time is up, and a
service before all others if the host boots before that. Where systemd does not run a process waits in its place.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

from .._system import files as disk
from .._system.image import Image
from .._system.names import is_folder, link, unlink
from ..errors import UserError
from . import quoting
from .elsewhere import owner, unclear, unfinished

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._system.host import Host
    from .store import Store

UNIT = "mailops-postmaster-undo"
WATCH = UNIT + "-watch"
RELOAD = 90.0  # seconds for systemd to read its units again
AGAIN = 10  # seconds until the next try where the way back fails
LONG = 1800  # seconds: a program that waits for its turn can be called off, but not without systemd
UNITS = "/etc/systemd/system"
SYSTEMD = "/run/systemd/system"  # which is there where systemd runs
DETACHED = 'setsid "$@" </dev/null >/dev/null 2>&1 &'
BOOT = """[Unit]
Description=Bring back the mail configuration that was not confirmed
DefaultDependencies=no
RequiresMountsFor={folder}
After=local-fs.target
Before=sysinit.target
ConditionPathExists=|{pending}
ConditionPathExists=|{undoing}

[Service]
Type=oneshot
ExecStart={command} --boot
"""


class Timer:
    """The timer of the one transaction that a host can have."""

    def __init__(self, host: Host, store: Store) -> None:
        self._host, self._store = host, store
        self._program = os.path.join(store.folder, "undo.zip")
        self._service = boot_unit()
        self._wanted = os.path.join(UNITS, "sysinit.target.wants", UNIT + "-at-boot.service")

    def refuse_another(self, pending: bool = False) -> None:
        """Raise UserError where the units of this host are the way back of a change in another directory of state.

        Those of a change that has ended are in nobody's way. ``pending``: a change of this directory has not ended.
        No other was begun meanwhile, so that what cannot be read is its own.
        """
        try:
            other = self._other()
            if other and unfinished(other):
                raise UserError(
                    f"a change in another state directory, {other}, has not ended on this host. Nothing was changed."
                    f" Confirm it or roll it back with state_dir: {other}, or wait until the host rolls it back"
                )
        except OSError as error:
            if not pending:
                raise unclear(error, self._service) from error

    def _other(self) -> str:
        """The other directory of state whose way back the units are; empty where it is this one. Raises OSError."""
        found = owner(self._service)
        return "" if found == disk.real(self._store.folder) else found

    def arm(self, transaction: str, seconds: int, program: bytes) -> None:
        """Let ``program`` roll ``transaction`` back in so many seconds, if it has not ended by then; or UserError."""
        self.refuse_another(pending=True)  # what cannot be read was refused when the run began, or is replaced
        try:
            self._keep(program)
            self._start_in(transaction, seconds)
        except BaseException:
            self.disarm()
            raise

    def again(self, transaction: str) -> None:
        """Let the program that is kept begin soon with what it may do for ``transaction``. Not for that program: it is
        started again where its status says so."""
        with contextlib.suppress(UserError):
            self._start_in(transaction, AGAIN)

    def watch(self, transaction: str) -> None:
        """Let the program that is kept roll ``transaction`` back as soon as nobody works on it any more.

        Nobody waits for its start, which in a boot comes after that of the host's other basic services.
        """
        self._start(WATCH, transaction, ["--no-block"], LONG)

    def unwatch(self) -> None:
        """Call that off: the timer alone is the way back."""
        self._stop(f"{WATCH}.service")

    def _keep(self, program: bytes) -> None:
        """Have what is to be run on disk."""
        disk.write_image(self._program, _own(program))
        if is_folder(SYSTEMD):
            command = " ".join(quoting.word(word) for word in self._arguments())
            undoing, pending = (quoting.path(path) for path in self._store.paths)
            folder = quoting.word(self._store.folder)
            text = BOOT.format(folder=folder, pending=pending, undoing=undoing, command=command)
            disk.write_image(self._service, _own(text.encode(), 0o644))
            disk.make_folder(os.path.dirname(self._wanted))
            link(self._service, self._wanted)

    def _start_in(self, transaction: str, seconds: int) -> None:
        self._start(UNIT, transaction, [f"--on-active={seconds:d}", "--timer-property=AccuracySec=100ms"], seconds)

    def _start(self, unit: str, transaction: str, when: Sequence[str], seconds: int) -> None:
        """Have the program run ``when`` systemd is told to, or where that is not there, after so many seconds."""
        name = f"--transaction={transaction}"
        if is_folder(SYSTEMD):
            self._stop(f"{unit}.timer", f"{unit}.service")
            start = ["systemd-run", "--quiet", "--collect", f"--unit={unit}", *when, "--property=Type=oneshot"]
            start += ["--property=Restart=on-failure", f"--property=RestartSec={AGAIN}", *self._arguments(), name]
        else:
            start = ["sh", "-c", DETACHED, "start the confirmation timer", *self._undo(), name, f"--after={seconds:d}"]
        done = self._host.run(start)
        if done.rc:
            raise UserError(f"no confirmation timer can be set, and nothing was changed: {done.why}")

    def _undo(self) -> list[str]:
        return [sys.executable, self._program, self._store.folder]

    def _arguments(self) -> list[str]:
        """The same, as systemd is to be told it."""
        program, *given = self._undo()
        return [program, *(quoting.argument(word) for word in given)]

    def disarm(self) -> None:
        """Call the way back off. Units that another directory of state has set meanwhile stay."""
        with contextlib.suppress(OSError):
            if self._other():
                unlink(self._program)
                return
        self._stop(f"{UNIT}.timer")
        for path in (self._wanted, self._service, self._program):
            with contextlib.suppress(OSError):
                unlink(path)
        self._unload()

    def _unload(self) -> None:
        """Let systemd forget the service for the boot, which it knows where it has read its units again meanwhile."""
        if is_folder(SYSTEMD):
            name = os.path.basename(self._service)
            known = self._host.run(["systemctl", "show", "--property=LoadState", "--value", name]).out.strip()
            if known == "loaded":
                self._host.run(["systemctl", "daemon-reload"], timeout=RELOAD)

    @property
    def paths(self) -> list[str]:
        """The files that are written to set the timer."""
        return [self._program, *([self._service, self._wanted] if is_folder(SYSTEMD) else [])]

    def _stop(self, *units: str) -> None:
        if is_folder(SYSTEMD):
            self._host.run(["systemctl", "--quiet", "stop", *units])


def boot_unit() -> str:
    """Where the service for the boot is, which says whose way back is set."""
    return os.path.join(UNITS, UNIT + "-at-boot.service")


def _own(content: bytes, mode: int = 0o600) -> Image:
    return Image(content, os.geteuid(), os.getegid(), mode)
