# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an edit means, said by reading the whole table: slow, and simple enough to be believed."""

from __future__ import annotations

import re

from ansible_collections.mailops.postmaster.plugins.module_utils.aliases.table import (
    Entry,
    comments,
    fold,
    new_entry,
    parse,
    rewritten,
)


def entries(table):
    """The entry that counts for each name."""
    return {part.name: part for part in reversed(table.parts) if isinstance(part, Entry)}


def edit(table, wanted, exact=False):
    """The table with these targets for these names, where no targets stand for no entry."""
    missing = {fold(name): tuple(dict.fromkeys(targets)) for name, targets in wanted.items()}
    managed = set(missing)
    end = "\r\n" if re.match(r"[^\n]*\r\n", str(table)) else "\n"
    parts = []
    for part in table.parts:
        if isinstance(part, str) or not (exact or part.name in managed):
            parts.append(str(part))
            continue
        targets = missing.pop(part.name, ())
        if targets and targets == part.targets:
            parts.append(part.text)
            continue
        parts.append((rewritten(part, targets, end) if targets else "") + comments(part.text))
    parts = [part for part in parts if part]
    new = [new_entry(name, targets) + end for name, targets in missing.items() if targets]
    if new and parts and not parts[-1].endswith("\n"):
        parts.append(end)
    return parse("".join(parts + new))


def states(before, after, names):
    """What becomes of each of ``names``, and of any name removed: present, absent, changed, added or removed."""
    old, new = _texts(before), _texts(after)

    def state(name):
        if name not in old:
            return "added" if name in new else "absent"
        if name not in new:
            return "removed"
        return "present" if old[name] == new[name] else "changed"

    return {name: state(name) for name in dict.fromkeys([*names, *(name for name in old if name not in new)])}


def _texts(table):
    """All that a table says of each name; whether its last line has an end makes no difference."""
    found = {}
    for part in table.parts:
        if isinstance(part, Entry):
            found[part.name] = found.get(part.name, "") + part.text.rstrip("\r\n") + "\n"
    return found
