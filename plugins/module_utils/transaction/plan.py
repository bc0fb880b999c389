# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a transaction changes: the files as they are wanted against the files as they are. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .._system.image import Change, Image


def activation(changes: Iterable[Change], service: Mapping[str, Any]) -> str:
    """``none`` where nothing changed; ``restart`` where lines that match a pattern differ, or where the service has no
    other way; else ``reload``. ``service`` is the option of config_transaction."""
    changed = {change.path: change for change in changes if change.changed}
    if changed and not service.get("reload"):
        return "restart"
    for rule in service.get("restart_on") or []:
        change = changed.get(rule["path"])
        if change and _lines(change.before, rule["pattern"]) != _lines(change.after, rule["pattern"]):
            return "restart"
    return "reload" if changed else "none"


def _lines(image: Image | None, pattern: str) -> list[str]:
    text = image.content.decode("utf-8", "replace") if image else ""
    return [line for line in text.splitlines() if re.search(pattern, line)]


def filled(argv: Sequence[str], **values: str) -> list[str]:
    """A command with its placeholders (``{stage}``, ``{path}``, ``{product}``, ``{since}``) filled in."""
    words = list(argv)
    for name, value in values.items():
        words = [word.replace("{" + name + "}", value) for word in words]
    return words
