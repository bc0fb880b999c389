# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings an aliases table and its compiled form to what is wanted, or leaves both as they were."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from .._system.files import freshen, read_image, real, restore, size, write_copy, write_image
from .._system.image import Image
from .._system.lock import lock, state_folder
from .._system.obstacles import Wanted, obstacles
from .._system.own_folder import claim, refuse_foreign
from .._system.private import sweep
from .._system.process import NoAnswerError, readable
from ..errors import UserError
from .compile import Compiler
from .edit import edit, hunks
from .table import target

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .._system.host import Host
    from .edit import Edit
    from .table import Target

NEW_MODE = 0o644
OCTAL = re.compile(r"[0-7]{1,4}")

# The options, as a module's argument spec.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "path": {"type": "path", "default": "/etc/aliases"},
    "entries": {"type": "dict", "required": True},
    "strategy": {"type": "str", "choices": ["merge", "exact"], "default": "merge"},
    "compiled": {"type": "list", "elements": "path"},
    "compiled_mode": {"type": "str"},
    "rebuild": {"type": "list", "elements": "str"},
}
ALONE: dict[str, dict[str, Any]] = {**ARGUMENTS, "state_dir": {"type": "path"}}


def apply_alone(
    host: Host, params: Mapping[str, Any], check_mode: bool, reserved: Callable[[str, Sequence[str]], None]
) -> dict[str, Any]:
    """The result of the module mail_aliases; it holds the lock of the host, as a transaction does. ``reserved`` raises
    UserError where a change that has not ended has some files; it gets the directory of state, too."""
    state = params["state_dir"] or state_folder()
    refuse_foreign(state)
    refuse = partial(reserved, state)
    if check_mode:
        return apply(host, params, check_mode, state, refuse)
    with lock(state):
        claim(state)
        sweep(state)
        return apply(host, params, check_mode, state, refuse)


def planned(params: Mapping[str, Any]) -> tuple[Image | None, Edit]:
    """The table as it is, and what has to change in it for ``params``. Raises where it cannot say what they want."""
    path = params["path"]
    wanted = _wanted(params["entries"])
    image = read_image(path)
    try:
        found = edit(image.content if image else b"", wanted, params["strategy"] == "exact")
    except ValueError as error:
        raise UserError(f"entries: {error}") from error
    if found.loop:
        raise UserError(
            f"entries: with {path} as it would then be, mail goes round in a loop: {' -> '.join(found.loop)}; nothing"
            " was changed. Let one of these names lead to a person's mailbox"
        )
    return image, found


def apply(
    host: Host,
    params: Mapping[str, Any],
    check_mode: bool,
    state: str,
    refuse: Callable[[Sequence[str]], None] = lambda _paths: None,
) -> dict[str, Any]:
    """Bring the table to what ``params`` want, the options of the module; whoever calls this holds the lock, which is
    in the directory ``state``. Without that nothing may be changed. ``refuse`` raises UserError where the files that
    are about to be changed may not be."""
    path = params["path"]
    image, found = planned(params)
    changed = bool(found.changes)
    compiler = Compiler(host, path, params["compiled"], params["rebuild"], _mode(params.get("compiled_mode")))
    rebuild = (changed or image is not None) and compiler.due(changed)
    if changed or rebuild:
        refuse([path, *compiler.tables()])
        texts = [Wanted(path, 2 * len(image.content) if image else 0)] if changed else []
        tables = compiler.tables() if rebuild and compiler.takes_a_copy else []
        _refuse_obstacles([*texts, *(Wanted(table, size(table)) for table in tables)])
    if (changed or rebuild) and not check_mode:
        host.begin_change()
        now = image or Image(b"", os.geteuid(), os.getegid(), NEW_MODE)
        after = replace(now, content=found.after()) if changed else now
        if rebuild and compiler.takes_a_copy:
            _compile_a_copy(compiler, path, image, after, state)
        else:
            place = real(path)
            _write(place, image, after)
            if rebuild:
                _compile(compiler, path, place, image, changed)
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
        result["diff"].append({"prepared": f"{path} compiled anew by {readable(compiler.command)}\n"})
    return result


def _mode(text: str | None) -> int | None:
    if text is not None and not OCTAL.fullmatch(text):
        raise UserError(f"compiled_mode: {text!r} is not allowed; allowed: an octal number, as '0644'")
    return None if text is None else int(text, 8)


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


def _refuse_obstacles(wanted: Sequence[Wanted]) -> None:
    """Raise UserError where a file cannot be replaced. The new ones are taken to be as long as the old ones."""
    found = obstacles(wanted)
    if found:
        raise UserError(f"{'; '.join(found)}. Nothing was changed")


def _write(path: str, image: Image | None, wanted: Image) -> None:
    if wanted != image:
        write_image(path, wanted)


def _compile_a_copy(compiler: Compiler, path: str, image: Image | None, wanted: Image, state: str) -> None:
    """Compile what is wanted, and put it in place when that is done: the text first, so that no table is older."""
    try:
        with compiler.compiled(state, wanted) as made:
            place = real(path)
            _write(place, image, wanted)
            try:
                for table, staged in made.items():
                    write_copy(staged, table, wanted, compiler.mode)
                    freshen(table, path)
            except OSError:
                restore(place, image)
                raise
    except UserError as error:
        raise UserError(f"{error}; {path} was not changed", **error.result) from error


def _compile(compiler: Compiler, path: str, place: str, image: Image | None, changed: bool) -> None:
    """Compile in place; where that fails, the old text is put back and compiled, for the failure may have cost the old
    table. What did not end is not begun again. ``place`` is where ``path`` leads."""
    try:
        compiler.run()
    except UserError as error:
        if not changed:
            raise
        restore(place, image)
        if isinstance(error, NoAnswerError):
            raise UserError(f"{error}; the old {path} was put back, and was not compiled") from error
        if image:
            compiler.call()
        raise UserError(f"{error}; the old {path} was put back", **error.result) from error


def _printable(text: str) -> str:
    """Bytes that are not text would not survive the way to the controller."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
