# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A transaction on a mail host: stage, check, swap, activate; and the old files back where that fails."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
import uuid
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from . import files as disk
from .journal import CONFIRMED, PENDING, ROLLED_BACK, UNCHANGED, Journal
from .plan import Change, Image, activation, filled
from .service import Service

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ..mta.evidence import Host

KEPT = 5  # journals
WORDS = 20  # lines of the log that a failure shows


class Transaction:
    """One change of the configuration, by the options of the module config_transaction."""

    def __init__(self, host: Host, params: Mapping[str, Any]) -> None:
        self._host, self._params = host, params
        self._service = Service(host, params["service"] or {}, params["answers"], params["timeout"])
        self._changes = [disk.change(file) for file in params["files"]]
        self._id = f"{int(time.time())}-{uuid.uuid4().hex[:8]}"

    def run(self, check_mode: bool) -> dict[str, Any]:
        """The result of the module; raises UserError where the old configuration stayed, or came back."""
        pending = [change.path for change in self._changes if change.changed or self._uncompiled(change)]
        if not pending and self._service.enabled and self._service.active:
            return self._result(UNCHANGED, "none")
        how = activation(self._changes, self._params["service"] or {})
        if check_mode:
            with self._staged() as stage:
                self._check(stage, lenient=True)
            return self._result(PENDING, how)
        os.makedirs(self._params["state_dir"], mode=0o700, exist_ok=True)
        with disk.lock(os.path.join(self._params["state_dir"], "lock")), self._staged() as stage:
            products = self._compile(stage)
            self._check(stage)
            self._commit([*self._changes, *products], how)
        return self._result(CONFIRMED, how)

    def _uncompiled(self, change: Change) -> bool:
        """Whether a table has nothing compiled from it that is as new as it is."""
        file = self._file(change.path)
        if not file["compile"] or not change.before:
            return False
        path = os.path.realpath(change.path)
        source = os.stat(path).st_mtime_ns
        return not any(os.stat(product).st_mtime_ns >= source for product in _products(path, file["product"]))

    def _file(self, path: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = next(file for file in self._params["files"] if file["path"] == path)
        return found

    @contextlib.contextmanager
    def _staged(self) -> Iterator[str]:
        """A copy of the directory that is staged, with the new files in it; removed at the end."""
        with tempfile.TemporaryDirectory(prefix="transaction-", dir=self._home()) as folder:
            stage, live = os.path.join(folder, "stage"), self._params["stage"]
            if live and os.path.isdir(live):
                shutil.copytree(live, stage, symlinks=True)
            for change in self._changes:
                path = self._in_stage(stage, change.path)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                disk.write_image(path, change.after)
            yield stage

    def _home(self) -> str | None:
        """Where to stage: a directory of root's own, or that of temporary files where there is none yet."""
        return self._params["state_dir"] if os.path.isdir(self._params["state_dir"]) else None

    def _in_stage(self, stage: str, path: str) -> str:
        live = (self._params["stage"] or "/").rstrip("/") + "/"
        return os.path.join(stage, path[len(live) :] if path.startswith(live) else path.lstrip("/"))

    def _compile(self, stage: str) -> list[Change]:
        """Compile every table in the stage; the products, as they have to be in place."""
        products = []
        for change in self._changes:
            file = self._file(change.path)
            if file["compile"] and (change.changed or self._uncompiled(change)):
                path, place = self._in_stage(stage, change.path), file["product"] or ""
                staged = place and self._in_stage(stage, place)
                for old in _products(path, staged):
                    os.unlink(old)
                self._must(file["compile"], stage, path, staged)
                for product in _products(path, staged):
                    live = place or change.path + product[len(path) :]
                    image = disk.read_image(product)
                    if image:
                        products.append(Change(live, disk.read_image(live), image))
        return products

    def _check(self, stage: str, lenient: bool = False) -> None:
        """Let the MTA check what is staged; ``lenient`` where the MTA may not be there yet."""
        for argv in self._params["check"]:
            if not (lenient and not self._host.which(argv[0])):
                self._must(argv, stage)

    def _must(self, argv: Sequence[str], stage: str, path: str = "", product: str = "") -> None:
        since = int(time.time())
        done = self._host.run(filled(argv, stage=stage, path=path, product=product), timeout=self._params["timeout"])
        if done.rc:
            live = (self._params["stage"] or "").rstrip("/")
            said = (done.out.strip(), done.err.strip(), self._reason(since))
            words = "\n".join(filter(None, said)).replace(stage, live)
            raise UserError(
                f"the new configuration is wrong, and nothing was changed: "
                f"`{done.command.replace(stage, live)}` says:\n{words or done.rc}"
            )

    def _commit(self, changes: Sequence[Change], how: str) -> None:
        """Swap and activate; whatever goes wrong, the files come back as they were."""
        journal = Journal(self._id, PENDING, {change.path: change.before for change in changes if change.changed})
        self._record(journal)
        since = int(time.time())
        try:
            for change in changes:
                if change.changed:
                    os.makedirs(os.path.dirname(change.path), exist_ok=True)
                    disk.write_image(change.path, change.after)
            wrong = self._service.activate(how)
        except OSError as error:
            wrong = f"{error.filename or 'the disk'}: {error.strerror or error}"
        if not wrong:
            self._record(journal.ended(CONFIRMED))
            return
        reason = self._reason(since)
        for path, image in journal.images.items():
            disk.restore(path, image)
        still = self._service.activate(how) and self._service.activate("restart")
        self._record(journal.ended(ROLLED_BACK))
        back = f"the old one is back, and does not answer either: {still}" if still else "the old one is back"
        raise UserError(
            "\n".join(filter(None, (f"the new configuration did not hold: {wrong}; {back}.", reason))),
            **self._result(ROLLED_BACK, how, changed=False),
        )

    def _reason(self, since: int) -> str:
        """What the log says since the activation, its last lines."""
        argv = self._params["reason"]
        lines = self._host.run(filled(argv, since=str(since))).out.splitlines() if argv else []
        return "\n".join(lines[-WORDS:])

    def _record(self, journal: Journal) -> None:
        """Keep the journal on disk, and only the last few of them."""
        folder = os.path.join(self._params["state_dir"], "transactions")
        os.makedirs(folder, mode=0o700, exist_ok=True)
        disk.write_image(os.path.join(folder, journal.transaction + ".json"), Image(journal.dump(), 0, 0, 0o600))
        for old in sorted(os.listdir(folder))[:-KEPT]:
            os.unlink(os.path.join(folder, old))

    def _result(self, state: str, how: str, changed: bool | None = None) -> dict[str, Any]:
        return {
            "changed": state != UNCHANGED if changed is None else changed,
            "state": state,
            "transaction": "" if state == UNCHANGED else self._id,
            "activation": how,
            "files": [{"path": change.path, "changed": change.changed} for change in self._changes],
            "diff": [change.diff() for change in self._changes if change.changed],
        }


def _products(path: str, product: str | None) -> list[str]:
    """What is compiled from a file: ``product``, or its name with one more ending."""
    if product:
        return [product] if os.path.isfile(product) else []
    folder, name = os.path.split(path)
    found = [
        entry for entry in os.listdir(folder) if entry.startswith(name + ".") and "." not in entry[len(name) + 1 :]
    ]
    return [os.path.join(folder, entry) for entry in sorted(found) if os.path.isfile(os.path.join(folder, entry))]
