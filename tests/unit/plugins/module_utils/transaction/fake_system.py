# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host whose files are real, and whose programs and service manager are a few lines."""

from __future__ import annotations

import pathlib

from ansible_collections.mailops.postmaster.plugins.module_utils._system.host import Completed, Host


class FakeSystem(Host):
    """A host whose service manager and programs are these few lines; everything else is real."""

    def __init__(self):
        super().__init__()
        self.enabled, self.active, self.ran = True, True, []
        self.broken = lambda _argv: False

    def which(self, program):
        return None if program == "no-such-checker" else program

    def run(self, argv, stdin="", timeout=30.0):
        argv = list(argv)
        assert not stdin
        assert timeout > 0
        self.ran.append(argv)
        if self.broken(argv):
            return Completed(tuple(argv), 1, "", f"{argv[-1]}: line 1: bad")
        if argv[0] == "systemd-run" or argv[2:3] in (["stop"], ["reset-failed"]):
            return Completed(tuple(argv), 0, "", "")
        if argv[:2] == ["systemctl", "--quiet"]:
            state = {"is-enabled": self.enabled, "is-active": self.active}[argv[2]]
            return Completed(tuple(argv), 0 if state else 1, "", "")
        if argv[0] == "compile":
            product = argv[2] if len(argv) > 2 else argv[1] + ".db"
            pathlib.Path(product).write_text("compiled " + pathlib.Path(argv[1]).read_text())
        if argv[0] == "log":
            return Completed(tuple(argv), 0, "fatal: no working restriction\n", "")
        if argv[0] in ("start", "reload"):
            self.active = True
        if argv[1] == "enable":
            self.enabled = True
        return Completed(tuple(argv), 0, "", "")

    @property
    def told(self):
        return [argv[0] for argv in self.ran if argv[0] in ("start", "reload")]
