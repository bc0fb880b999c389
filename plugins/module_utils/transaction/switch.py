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
from typing import TYPE_CHECKING, Any

from .._system import files as disk
from .._system import policy
from .._system.beside import clear
from .._system.names import seen, there
from .._system.reader import RefusedError
from .._system.remarks import remarked
from ..queue.inject import inject
from ..queue.registry import SPOOLS
from ..queue.saved import Saved
from .daemons import DAEMONS
from .packages import Packages, Plan
from .service import Service
from .written import written

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .._system.host import Host
    from .._system.obstacles import Wanted
    from ..queue.spool import Spool

POLICY = "/usr/sbin/policy-rc.d"  # which a package asks before it starts a service
FLUSH = 15.0  # seconds for the old MTA to deliver what waits
DRAIN = 20.0  # seconds at the most for deliveries that have begun
STILL = 3.0  # seconds without any change of the queue after which no more of it is expected
ENDING = 10.0  # seconds for processes to end by themselves, and then to end when told so
INTERVAL = 0.1
START = 20.0  # seconds for the one that is to take it to answer
SETTLE = 600.0  # seconds to hand over what is saved
LOOPBACK: Mapping[str, Any] = {
    "address": "127.0.0.1",
    "port": 25,
    "greeting": "^220",
}  # where any MTA takes mail of its host


class Switch:
    """One change of the MTA; ``data`` is plain, as a journal keeps it."""

    def __init__(self, host: Host, state_dir: str, data: Mapping[str, Any]) -> None:
        self._host = host
        self.data = dict(data)
        self._packages = Packages(host, os.path.join(state_dir, "packages"))
        self._saved = Saved(host, os.path.join(state_dir, "queue"), self.data.get("transaction", ""))
        self._policy_before = os.path.join(state_dir, "policy-rc.d")

    @classmethod
    def planned(
        cls, host: Host, state_dir: str, replaces: Mapping[str, Any], aliases: Sequence[str], transaction: str
    ) -> Switch:
        """What is to be done, found out without a change; UserError where it cannot be. ``replaces`` is the option of
        config_transaction; ``aliases`` are the table of aliases and what may be compiled from it."""
        packages = Packages(host, os.path.join(state_dir, "packages")).plan(replaces["packages"])
        data = {"old": replaces["mta"], "new": replaces["by"], "packages": packages.dump(), "aliases": list(aliases)}
        data["transaction"] = transaction
        return cls(host, state_dir, data)

    @property
    def _plan(self) -> Plan:
        return Plan.load(self.data["packages"])

    @property
    def _old(self) -> Spool:
        return SPOOLS[self.data["old"]]

    @property
    def _new(self) -> Spool:
        return SPOOLS[self.data["new"]]

    @property
    def _units(self) -> list[str]:
        return [*self._old.units, *self._new.units]

    @property
    def service(self) -> dict[str, Any]:
        """The service of the old MTA, as the option of config_transaction."""
        unit = self._old.units[0]
        restart = f"systemctl daemon-reload; systemctl reset-failed {unit}; exec systemctl restart {unit}"
        restart_command = ["sh", "-c", restart, f"systemctl restart {unit}"]
        return {"name": unit, "mta": self._old.mta, "reload": [], "restart": restart_command}

    @staticmethod
    def writes(host: Host, replaces: Mapping[str, Any]) -> list[Wanted]:
        """What a change replaces besides the configuration; ``replaces`` is the option of config_transaction."""
        return written(host, POLICY, SPOOLS[replaces["mta"]], SPOOLS[replaces["by"]])

    def fetch(self) -> None:
        """Bring all packages onto the disk, for both ways; nothing else is changed."""
        self._packages.fetch(self._plan)

    def deny_start(self) -> None:
        """Let no package start an MTA: with Debian's configuration it would take mail, and lose it. Raises OSError:
        then nothing was changed. May be done again."""
        policy.deny(POLICY, self._units, self._policy_before)

    def away(self) -> dict[str, str]:
        """Take the old MTA away and install the new one, which does not run yet; the mail that could not be read,
        by file, with the reason."""
        self.deny_start()
        self._flush(self._old)
        self._stop(self._old)
        unread = self._saved.save(self._old)
        self._free_aliases()
        self._packages.install(self._plan)
        for spool in (self._old, self._new):
            self._stop(spool)
        # what the programs of this host have submitted since, for as long as the old MTA's sendmail(1) was there
        unread.update(self._saved.save(self._old))
        self._saved.retire(self._new)
        self._allow_start()
        return unread

    def hold(self) -> None:
        """Let nobody start either of the two until ``release``."""
        self._host.run(["systemctl", "mask", "--runtime", *self._units])

    def release(self) -> None:
        """Let what is there start again, also where ``back`` has not come to its end."""
        self._host.run(["systemctl", "unmask", "--runtime", *self._units])
        self._allow_start()

    def back(self) -> dict[str, str]:
        """Bring the old MTA's packages back; it does not run yet. May be done again. What the new one has taken is
        saved where that can be done; what cannot be, by file, with the reason."""
        if not self.data:
            return {}
        if not self._packages.as_before(self._plan):
            self._keep_stopped()
        for spool in (self._new, self._old):
            self._stop(spool)
        unread = {}
        with suppress(OSError):  # it is tried once more when the old MTA is back
            unread = self._saved.save(self._new)
        unread.update(self._saved.give_back(self._old))
        self._packages.restore(self._plan)
        unread.update(self._saved.give_back_unread(self._old))
        self._stop(self._new)
        try:
            unread.update(self._saved.save(self._new))
        except OSError as error:
            unread.update(self._saved.give_back(self._new))
            unread[self._new.folders[0]] = f"{error.filename or 'the disk'}: {error.strerror or error}"
        self.release()
        return unread

    def _keep_stopped(self) -> None:
        """As ``deny_start``, or by systemd where a file that cannot be replaced is in the way of that."""
        try:
            self.deny_start()
        except OSError:
            self.hold()

    @property
    def waiting(self) -> dict[str, int]:
        """The files of what is saved, and when they were written, which changes with each recipient who gets it."""
        return {path: seen(path).st_mtime_ns for path in self._saved.paths()}

    @property
    def unread(self) -> dict[str, str]:
        """The archives of what could not be read."""
        return {path: f"only {mta} can read it" for path, mta in self._saved.archives().items()}

    def settle(self, answers: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        """Hand over what is saved to the MTA that serves now; what stays, by file."""
        kept: dict[str, str] = {}
        if self._saved.paths():
            listener = answers[0] if answers else LOOPBACK
            Service(self._host, {}, [listener], START).answer()
            kept = inject(self._saved, listener["address"], listener["port"], SETTLE)
        return kept

    def forget(self) -> None:
        """Remove what was kept for both ways, for neither is open any more; and let packages start an MTA again, where
        the end of a change could not."""
        self._packages.forget()
        self._allow_start()

    def _free_aliases(self) -> None:
        """Remove what the old MTA has compiled in its own way. Sendmail's package makes the text its own, too; Postfix
        compiles with the rights of the owner."""
        for path in self.data["aliases"][1:]:
            clear(path)
        for path in self.data["aliases"][:1]:
            disk.give_to_root(path)

    def _flush(self, spool: Spool) -> None:
        """Let the old MTA, which still serves, deliver what it can within a short time."""
        start = seen = time.monotonic()
        left = self._keys(spool)
        if left:
            self._host.run(spool.flush, timeout=FLUSH)
        while left and (now := time.monotonic()) < min(start + FLUSH, seen + STILL):
            time.sleep(INTERVAL)
            found = self._keys(spool)
            seen, left = (seen, left) if found == left else (now, found)

    def _keys(self, spool: Spool) -> set[str]:
        """The messages of a queue; none where it cannot be listed, which ``save`` will say."""
        try:
            return {entry.key for entry in spool.entries()}
        except (OSError, RefusedError):
            return set()

    def _stop(self, spool: Spool) -> None:
        """Stop the services and everything else that works on the queue; no delivery that has begun is cut off and made
        twice, if it ends soon."""
        if spool.drain:
            self._host.run(spool.drain, timeout=DRAIN)
        for unit in spool.units:
            self._host.run(["systemctl", "stop", unit], timeout=60)
        for told in (0, signal.SIGTERM, signal.SIGKILL):
            until = time.monotonic() + ENDING
            for pid in self._processes(spool):
                with suppress(ProcessLookupError):
                    os.kill(pid, told)
            while self._processes(spool) and time.monotonic() < until:
                time.sleep(INTERVAL)

    def _processes(self, spool: Spool) -> list[int]:
        """The processes that work on a queue: by their programs, or where these are not seen, by who started them."""
        daemon = DAEMONS.get(spool.mta)
        everything = self._host.processes(daemon.accounts if daemon else ())
        family = daemon.family(daemon.among(everything), everything) if daemon else []
        unseen = [one for one in family if not one.program]
        return [one.pid for one in everything if one in unseen or one.program.startswith(spool.programs)]

    def _allow_start(self) -> None:
        """Take that back. The MTA serves all the same where that cannot be done: a remark."""
        what = f"copy {self._policy_before} there" if there(self._policy_before) else "remove it"
        with remarked(f"{POLICY} could not be put back: {what}, for until then packages start no MTA"):
            policy.allow(POLICY, self._policy_before)
