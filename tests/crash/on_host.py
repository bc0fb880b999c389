# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a mail host: transactions that are killed, or whose disk fails, at one step, and what is there afterwards.

Reads JSON of ``params`` (the options of config_transaction, the contents of the files as they are), ``edits`` (path to
a line that means nothing there), ``recipient``, and ``at`` (how many steps to choose; 0 for all). Writes one of
``sizes`` (trial to how many steps or files there are) and ``cells``. With ``hang`` it stops at that step for good.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import secrets
import signal
import smtplib
import subprocess
import sys
import time
import traceback

from ansible_collections.mailops.postmaster.plugins.module_utils._system.files import read_image
from ansible_collections.mailops.postmaster.plugins.module_utils._system.host import Host
from ansible_collections.mailops.postmaster.plugins.module_utils._system.private import PREFIX
from ansible_collections.mailops.postmaster.plugins.module_utils.errors import UserError
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction import service
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction import transaction as transactions
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction.end import end
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction.store import Store
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction.timer import UNIT
from steps import Steps

KILLED, FAILED = 9, 1
ASIDE = "/" + PREFIX  # where nothing is in use yet
HANGING = "/run/hanging"
TIMEOUT = 600  # seconds in which a change has to be confirmed
SHORT = 1  # the same, where nobody does
PATIENCE = 60  # seconds after which a host that was not healed never will be
# A directory on a small file system of its own, and as it was.
SMALL = """
set -eu
used=$(du --summarize --block-size=1K /etc | cut --fields=1)
mkdir -p /run/small
mount -t tmpfs -o size=$((used * 2 + 4096))k tmpfs /run/small
cp --archive /etc/. /run/small
mount --bind /run/small /etc
"""
# with the restart of the backend, which interrupts no delivery
AS_BEFORE = 'umount --lazy /etc && "$@" && umount /run/small'


class Trial:
    """The transactions of one host: each gives every file one more line than it had."""

    def __init__(self, work):
        self.work, self.paths = work, [file["path"] for file in work["params"]["files"]]
        self.paths.append(work["params"]["aliases"]["path"])

    def params(self):
        """A change of all files and of the aliases."""
        word = secrets.token_hex(4)
        files = []
        for file in self.work["params"]["files"]:
            text = read_image(file["path"]).content.decode()
            files.append({**file, "content": "{}{} {}\n".format(text, self.work["edits"][file["path"]], word)})
        aliases = {**self.work["params"]["aliases"], "entries": {"crash-" + word: "alice"}}
        return {**self.work["params"], "files": files, "aliases": aliases, "confirm_timeout": TIMEOUT}

    def images(self):
        return [read_image(path) for path in self.paths]

    def steps(self):
        """How many steps a transaction has: one is made to be counted, after one that leaves nothing to be healed."""
        host = Host()
        transactions.Transaction(host, {**self.params(), "confirm_timeout": 0}).run(False)
        with patched() as replace:
            steps = Steps(replace, host, aside=ASIDE)
            transactions.Transaction(host, self.params()).run(False)
        keep(self.work["params"])
        return steps.number

    def cell(self, name, step):
        """One transaction, and what is found after it."""
        params, before, begun = self.params(), self.images(), time.monotonic()
        said = TRIALS[name](params, step)
        after = self.images()
        made = [old != new for old, new in zip(before, after, strict=True)]
        left = [path for path in self.paths for kind in ("before", "next") if os.path.exists(_beside(path, kind))]
        left += glob.glob(os.path.join(params["state_dir"], "*in-force*"))
        found = "old" if not any(made) else "new" if all(made) else f"a mixture: {made}"
        return {
            "trial": name,
            "step": step,
            "said": said,
            "found": found,
            "left": left,
            "seconds": time.monotonic() - begun,
            "token": self.send(),
        }

    def send(self):
        """A message for postmaster; its token."""
        token = secrets.token_hex(12)
        with smtplib.SMTP("127.0.0.1", 25, timeout=30) as connection:
            text = f"X-Token: {token}\n\nA test.\n"
            connection.sendmail("sender@stranger.example", self.work["recipient"], text)
        return token


@contextlib.contextmanager
def patched():
    """Gives what sets an attribute until the end."""
    replaced = []

    def replace(place, name, value):
        replaced.append((place, name, getattr(place, name)))
        setattr(place, name, value)

    try:
        yield replace
    finally:
        for place, name, value in replaced:
            setattr(place, name, value)


def keep(params):
    """Confirm what is pending."""
    end(Host(), {**params, "state": "confirm", "transaction": ""}, False)


def _beside(path, kind):
    return os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.{kind}")


def killed(params, step):
    """The transaction, in a process that is gone at that step; its status."""
    child = os.fork()
    if not child:
        status = FAILED
        try:
            host = Host()
            Steps(setattr, host, step, lambda *_step: os._exit(KILLED), ASIDE)
            transactions.Transaction(host, params).run(False)
            status = 0
        except (OSError, UserError):
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def heal_by_timer(params, step):
    """The host heals itself."""
    status = killed({**params, "confirm_timeout": SHORT}, step)
    late = time.monotonic() + PATIENCE
    store = Store(params["state_dir"])
    while store.pending():
        if time.monotonic() > late:
            raise RuntimeError("not healed: " + subprocess.getoutput("systemctl status " + UNIT))
        time.sleep(0.1)
    with store.lock(wait=True):
        return status


def heal_by_run(params, step):
    """The next run does what this one was to do."""
    status = killed(params, step)
    transactions.Transaction(Host(), {**params, "confirm_timeout": 0}).run(False)
    return status


def full(params, step):
    """No room is left on the file system of /etc from that step on, until the transaction has ended."""

    def fill(*_step):
        subprocess.run("cat /dev/zero >>/etc/filler", shell=True, stderr=subprocess.DEVNULL, check=False)

    return on_small(params, step, fill, lambda: os.path.exists("/etc/filler") and os.unlink("/etc/filler"))


def read_only(params, step):
    """Nothing can be written to /etc from that step on, until the transaction has ended; the next run heals it."""

    def remount(how):
        # while a file is being written that is refused, and done at the next step
        subprocess.run(["mount", "-o", "remount," + how, "/etc"], stderr=subprocess.DEVNULL, check=False)

    said = on_small(params, step, lambda *_step: remount("ro"), lambda: remount("rw"))
    transactions.Transaction(Host(), {**params, "confirm_timeout": 0}).run(False)
    return said


def on_small(params, step, happens, undo):
    """What the transaction says of it."""
    try:
        with patched() as replace:
            host = Host()
            Steps(replace, host, step, happens, ASIDE)
            said = refusal(host, params)
    finally:
        undo()
    if not said:
        keep(params)
    return said


def refusal(host, params, check_mode=False):
    """What the transaction says where it fails; empty where it does not."""
    try:
        transactions.Transaction(host, params).run(check_mode)
    except (UserError, OSError) as error:
        return str(error)
    return ""


def pinned(params, number):
    """One of the files cannot be replaced; check mode says the same as the transaction, or both are told."""
    path = [*(file["path"] for file in params["files"]), params["aliases"]["path"]][number - 1]
    subprocess.run(["mount", "--bind", path, path], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", path], check=True)
        foreseen, said = refusal(Host(), params, check_mode=True), refusal(Host(), params)
        return said if said == foreseen else f"{said}, and in check mode: {foreseen}"
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)  # somebody may be reading it


TRIALS = {"timer": heal_by_timer, "run": heal_by_run, "full": full, "read_only": read_only, "pinned": pinned}


def serving():
    """Wait until the service takes mail that was just started."""
    late = time.monotonic() + PATIENCE
    while not greets() and time.monotonic() < late:
        time.sleep(0.1)


def greets():
    try:
        smtplib.SMTP("127.0.0.1", 25, timeout=30).quit()
    except OSError:
        return False
    return True


def hang(params, step):
    """Stops for good at that step, and says so; what comes then is the end of the host."""
    host = Host()
    Steps(setattr, host, step, lambda *_step: (open(HANGING, "x").close(), signal.pause()), ASIDE)
    transactions.Transaction(host, params).run(False)


def main():
    work = json.load(sys.stdin)
    # how long a service has to hold is not what is tried here
    service.HELD = 0.1
    trial = Trial(work)
    if work.get("hang"):
        hang(trial.params(), work["hang"])
    number = trial.steps()
    chosen = work["at"] or number
    steps = [1 + (2 * place + 1) * number // (2 * chosen) for place in range(chosen)]
    cells = [trial.cell(name, step) for name in ("timer", "run") for step in steps]
    subprocess.run(["sh", "-c", SMALL], check=True)
    try:
        cells += [trial.cell(name, step) for name in ("full", "read_only") for step in steps]
    finally:
        restart = ["sh", "-c", AS_BEFORE, "sh", *work["params"]["service"]["restart"]]
        subprocess.run(restart, check=True, stdout=subprocess.DEVNULL)
    serving()
    cells += [trial.cell("pinned", file) for file in range(1, len(trial.paths) + 1)]
    sizes = {**dict.fromkeys(TRIALS, f"{number} steps"), "pinned": f"{len(trial.paths)} files"}
    json.dump({"sizes": sizes, "cells": cells}, sys.stdout)


main()
