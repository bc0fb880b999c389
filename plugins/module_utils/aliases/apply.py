# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings an aliases table and its compiled form to what is wanted, or leaves both as they were."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .._system.files import read_image, restore, write_image
from .._system.image import Image
from .._system.lock import lock, state_folder
from .._system.obstacles import Wanted, obstacles
from ..errors import UserError
from .compile import Compiler
from .edit import edit, hunks
from .table import ParseError, target

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._system.host import Host
    from .edit import Edit
    from .table import Target

NEW_MODE = 0o644

# The options, as a module's argument spec.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "path": {"type": "path", "default": "/etc/aliases"},
    "entries": {"type": "dict", "required": True},
    "strategy": {"type": "str", "choices": ["merge", "exact"], "default": "merge"},
    "compiled": {"type": "list", "elements": "path"},
    "rebuild": {"type": "list", "elements": "str"},
}
ALONE: dict[str, dict[str, Any]] = {**ARGUMENTS, "state_dir": {"type": "path"}}


def apply_alone(host: Host, params: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    """The result of the module mail_aliases; it holds the lock of the host, as a transaction does."""
    if check_mode:
        return apply(host, params, check_mode)
    with lock(params["state_dir"] or state_folder()):
        return apply(host, params, check_mode)


def apply(host: Host, params: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    """Bring the table to what ``params`` want, the options of the module; whoever calls this holds the lock."""
    path = params["path"]
    wanted = _wanted(params["entries"])
    image = read_image(path)
    try:
        found = edit(image.content if image else b"", wanted, params["strategy"] == "exact")
    except ParseError as error:
        raise UserError(f"{path}:{error.line}: {error.reason}; mend this line first, nothing was changed") from error
    except ValueError as error:
        raise UserError(f"entries: {error}") from error
    if found.loop:
        raise UserError(
            f"entries: with {path} as it would then be, mail goes round in a loop: {' -> '.join(found.loop)}; nothing"
            " was changed. Let one of these names lead to a person's mailbox"
        )
    changed = bool(found.changes)
    compiler = Compiler(host, path, params["compiled"], params["rebuild"])
    rebuild = (changed or image is not None) and compiler.due(changed)
    if changed:
        _refuse_obstacles(path, image)
    if (changed or rebuild) and not check_mode:
        host.begin_change()
    if changed and not check_mode:
        _write(path, image, found.after())
    if rebuild and not check_mode:
        _compile(compiler, path, image, changed)
    result: dict[str, Any] = {
        "changed": changed or rebuild,
        "path": path,
        "entries": {_printable(name): {"state": state} for name, state in found.states.items()},
        "removed": found.removed,
        "rebuilt": rebuild,
        "diff": [],
    }
    if changed:
        result["diff"] += _diff(path, found)
    if rebuild:
        result["diff"].append({"prepared": f"{path} compiled anew by {' '.join(compiler.command)}\n"})
    return result


def _wanted(entries: Mapping[str, Any]) -> dict[str, list[Target]]:
    wanted: dict[str, list[Target]] = {}
    mistakes: list[str] = []
    for name, value in entries.items():
        texts = value if isinstance(value, list) else [] if value is None else [value]
        wanted[name] = [found for text in texts for found in _target(name, text, mistakes)]
    if mistakes:
        raise UserError("\n".join(mistakes))
    return wanted


def _target(name: str, text: Any, mistakes: list[str]) -> list[Target]:
    """The target, or none and a mistake noted, so that a user sees all mistakes at once."""
    try:
        if not isinstance(text, str):
            raise ValueError(f"{text!r} is not a target; allowed: a text, a list of texts, or nothing for no entry")
        return [target(text)]
    except ValueError as error:
        mistakes.append(f"entries[{name!r}]: {error}")
        return []


def _diff(path: str, found: Edit) -> list[dict[str, str]]:
    """The lines around the changes, as Ansible shows them."""
    shown, more = hunks(found)
    rows = []
    for hunk in shown:
        header = path if hunk.line == 1 else f"{path} from line {hunk.line} on"
        rows.append({"before_header": header, "after_header": header, "before": hunk.before, "after": hunk.after})
    return [*rows, {"prepared": f"{path} has {more} more changes\n"}] if more else rows


def _refuse_obstacles(path: str, image: Image | None) -> None:
    """Raise UserError where the table cannot be replaced. The new one is taken to be as long as the old one."""
    found = obstacles([Wanted(path, 2 * len(image.content) if image else 0)])
    if found:
        raise UserError(f"{'; '.join(found)}. Nothing was changed")


def _write(path: str, image: Image | None, content: bytes) -> None:
    now = image or Image(b"", os.geteuid(), os.getegid(), NEW_MODE)
    write_image(path, replace(now, content=content))


def _compile(compiler: Compiler, path: str, image: Image | None, changed: bool) -> None:
    """Compile; where that fails, the old text is put back and compiled, for the failure may have cost the old table."""
    try:
        compiler.run()
    except UserError as error:
        if not changed:
            raise
        restore(path, image)
        if image:
            compiler.call()
        raise UserError(f"{error}; the old {path} was put back", **error.result) from error


def _printable(text: str) -> str:
    """Bytes that are not text would not survive the way to the controller."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
