# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints the proof of every host as a table when a play has ended."""

from __future__ import annotations

DOCUMENTATION = r"""
name: report
type: aggregate
short_description: A table of what was proven, at the end of a play
version_added: 0.1.0
author: The mailops.postmaster contributors (@mailops)
description:
  - Prints, for every host on which M(mailops.postmaster.postmaster_check) ran, a line for each domain; what
    resolves, is accepted and lands, in which mailbox, and after how long.
options:
  directory:
    description:
      - Where the whole result of each host is kept, as C(<host>.json). Nowhere by default.
      - The files are readable by their owner alone (0600). A directory that is made is 0700.
    type: path
    env:
      - name: MAILOPS_REPORT_DIRECTORY
    ini:
      - section: callback_report
        key: directory
requirements:
  - Enable it in C(callbacks_enabled).
"""

import json
import os
import tempfile
from typing import Any

from ansible.plugins.callback import CallbackBase
from ansible.utils.color import stringc
from ansible_collections.mailops.postmaster.plugins.module_utils.report import table

COLOURS = {"pass": "green", "fail": "red", "warn": "yellow", "inconclusive": "yellow"}


def keep(directory: str, host: str, result: Any) -> None:
    """Write a result whole to a file that its owner alone can read (mkstemp). No link is followed."""
    os.makedirs(directory, mode=0o700, exist_ok=True)
    handle, new = tempfile.mkstemp(dir=directory, prefix=".report-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=1)
        os.replace(new, os.path.join(directory, f"{host.replace(os.sep, '_')}.json"))
    except BaseException:
        os.unlink(new)
        raise


def paint(text: str, verdict: str) -> str:
    """Colour where the terminal has it."""
    return stringc(text, COLOURS[verdict]) if verdict in COLOURS else text


class CallbackModule(CallbackBase):
    """Collects the proofs as they come, and prints them last."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "mailops.postmaster.report"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self.results: dict[str, Any] = {}

    def _collect(self, result: Any, **_dummy: Any) -> None:
        if "domains" in result.result and "summary" in result.result:
            self.results[result.host.get_name()] = result.result

    v2_runner_on_ok = _collect
    v2_runner_on_failed = _collect

    def v2_playbook_on_stats(self, stats: Any) -> None:
        del stats
        directory = self.get_option("directory")
        for host, result in self.results.items() if directory else ():
            keep(directory, host, result)
        for line in table(self.results, paint):
            self._display.display(line)
