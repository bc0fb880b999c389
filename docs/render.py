# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes docs/catalogue.md from the catalogue in the code."""

from __future__ import annotations

import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / ".build"))

from ansible_collections.mailops.postmaster.plugins.module_utils.mta.registry import KNOWN, adapter_class
from ansible_collections.mailops.postmaster.plugins.module_utils.requirements import REQUIREMENTS

HEAD = """\
# The catalogue

Every finding carries the id of one of these rows. A broken MUST or policy fails its domain; anything weaker warns.
What every run shows has a check, and each check has a mutant that shows that it can fail. What the tests show is held
by them on every MTA and release, with real mail and mailboxes that are read.

| id | layer | what is asked for | source | level | a failure means | shown by |
|---|---|---|---|---|---|---|
"""


LIMITS = """
## What no setting can mend

Where an MTA cannot keep a row whatever its configuration, the check says `fail` all the same, and says that nothing on
the host can mend it. It does not count, unless `verify_strict: true` is set: nobody could do anything about it.

| MTA | id | command | answer | why |
|---|---|---|---|---|
"""


def catalogue() -> str:
    """The page, as Markdown."""
    rows = [
        f"| {row.id} | {row.layer} | {row.title} | {row.source} | {row.level} | {row.weight} | {row.shown} |"
        for row in REQUIREMENTS.values()
    ]
    limits = [
        f"| {name} | {limit.id} | `{limit.command}` | `{limit.reply}` | {limit.reason} |"
        for name in KNOWN
        for limit in adapter_class(name).limits
    ]
    return HEAD + "\n".join(rows) + "\n" + LIMITS + "\n".join(limits) + "\n"


if __name__ == "__main__":
    (ROOT / "docs" / "catalogue.md").write_text(catalogue(), encoding="utf-8")
