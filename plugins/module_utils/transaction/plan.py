# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a transaction changes: the files as they are wanted against the files as they are. Pure."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .._system.image import READABLE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from .._system.image import Change, Image

OCTAL = re.compile(r"[0-7]{1,4}$")
SECRET_MODE = 0o640  # the most that the mode of a secret file allows


def activation(changes: Iterable[Change], stale: Collection[str], service: Mapping[str, Any]) -> str:
    """``none`` where nothing changed, and nothing is compiled anew from files that are ``stale``; ``restart`` where
    lines that match a pattern differ, or where the service has no other way; else ``reload``. ``service`` is the option
    of config_transaction."""
    changed = {change.path: change for change in changes if change.changed}
    due = bool(changed or stale)
    if due and not service.get("reload"):
        return "restart"
    for rule in service.get("restart_on") or []:
        change = changed.get(rule["path"])
        if change and _lines(change.before, rule["pattern"]) != _lines(change.after, rule["pattern"]):
            return "restart"
    return "reload" if due else "none"


def mistakes(files: Iterable[Mapping[str, Any]]) -> list[str]:
    """A sentence for each mode that is none, and for each that would let others read a secret file."""
    found = []
    for file in files:
        allowed = "0640 or stricter, as the file is secret" if file.get("secret") else "an octal number, as '0644'"
        for name in ("mode", "product_mode"):
            mode = file.get(name) or "0"
            if not OCTAL.match(mode) or (file.get("secret") and int(mode, 8) & ~SECRET_MODE):
                found.append(f"files: {file['path']}: the {name} {mode!r} is not allowed; allowed: {allowed}")
    return found


def compiled(image: Image, source: Image, file: Mapping[str, Any]) -> Image:
    """What was compiled from an entry of ``files``, as it has to be in place: whoever may read the source may read it,
    and nobody else, unless ``product_mode`` says more and the source is not secret. What mode the command gave it
    depends on the umask."""
    mode = asked_mode(file)
    return replace(image, uid=source.uid, gid=source.gid, mode=source.mode & READABLE if mode is None else mode)


def asked_mode(file: Mapping[str, Any]) -> int | None:
    """The mode that ``product_mode`` of an entry of ``files`` asks for; None where it asks for none."""
    if not file.get("product_mode"):
        return None
    return int(file["product_mode"], 8) & (int(file["mode"], 8) if file.get("secret") else 0o7777)


def _lines(image: Image | None, pattern: str) -> list[str]:
    text = image.content.decode("utf-8", "replace") if image else ""
    return [line for line in text.splitlines() if re.search(pattern, line)]
