# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What another host saw of a server, as it comes back to the mail host: its shape is checked before it counts. Pure.

It has been on the way through the inventory, the play and another host, and it holds texts of SMTP servers.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Callable

from .errors import UserError
from .requirements import REQUIREMENTS
from .verdict import ORDER, Check

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TOLD = 20  # mistakes
TOKEN = re.compile(r"[\x21-\x7e]{1,200}")
LATEST = 1e11  # seconds since the epoch


def text(value: Any) -> bool:
    return isinstance(value, str)


def whole(most: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def one_of(known: Iterable[str]) -> Callable[[Any], bool]:
    names = frozenset(known)
    return lambda value: isinstance(value, str) and value in names


Shape = dict[str, tuple[Callable[[Any], bool], str]]

TEXT = (text, "a text")
CODE = (whole(599), "the code of a reply, or 0")
VERDICT = (one_of(ORDER), "one of " + ", ".join(ORDER))
CHECK: Shape = {
    "id": (one_of(REQUIREMENTS), "a row of the catalogue"),
    "verdict": VERDICT,
    **dict.fromkeys(("address", "command"), TEXT),
    "code": CODE,
    **dict.fromkeys(("text", "message", "remedy", "domain"), TEXT),
}
LEFT_OUT: Shape = {"requirement": TEXT, "level": TEXT}  # of a check: the catalogue of this host says it
MESSAGE: Shape = {
    "token": (lambda value: text(value) and bool(TOKEN.fullmatch(value)), "printable ASCII without spaces"),
    **dict.fromkeys(("id", "sender", "recipient", "domain"), TEXT),
    "code": CODE,
    "text": TEXT,
    "sent": (
        lambda value: isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < LATEST,
        "seconds since the epoch",
    ),
}
SERVER: Shape = {
    "server": TEXT,
    "port": (whole(65535), "a port"),
    "verdict": VERDICT,
    "exempt": (lambda value: isinstance(value, bool), "true or false"),
    "transcript": (lambda value: isinstance(value, list) and all(map(text, value)), "a list of texts"),
}


def servers(probe: list[Any]) -> list[dict[str, Any]]:
    """The servers of ``probe`` with what a proof needs of them. Raises UserError with all that is wrong."""
    errors: list[str] = []
    found = []
    for number, server in enumerate(probe):
        where = f"probe[{number}]"
        lists = {key: _list(where, server, key, errors) for key in ("checks", "messages")}
        rest = {key: value for key, value in server.items() if key not in lists} if isinstance(server, dict) else server
        kept = _kept(where, rest, SERVER, errors)
        checks = [_check(f"{where}.checks[{at}]", item, errors) for at, item in enumerate(lists["checks"])]
        messages = [
            _kept(f"{where}.messages[{at}]", item, MESSAGE, errors) for at, item in enumerate(lists["messages"])
        ]
        found.append({**kept, "checks": checks, "messages": messages})
    if errors:
        more = [f"{len(errors) - TOLD} more mistakes of this kind."] if len(errors) > TOLD else []
        raise UserError("\n".join([*errors[:TOLD], *more]))
    return found


def _list(where: str, server: Any, key: str, errors: list[str]) -> list[Any]:
    value = server.get(key) if isinstance(server, dict) else None
    if isinstance(value, list):
        return value
    errors.append(f"{where}.{key}: is missing, or not a list; allowed: what smtp_probe returned.")
    return []


def _check(where: str, item: Any, errors: list[str]) -> dict[str, Any]:
    left_out = {key: item[key] for key in LEFT_OUT if key in item} if isinstance(item, dict) else {}
    if left_out:
        _kept(where, left_out, LEFT_OUT, errors)
        item = {key: value for key, value in item.items() if key not in LEFT_OUT}
    before = len(errors)
    kept = _kept(where, item, CHECK, errors)
    return Check(**kept).as_dict() if len(errors) == before else {}


def _kept(where: str, item: Any, shape: Shape, errors: list[str]) -> Mapping[str, Any]:
    """The parts of one item, once each is of its kind, none is missing and none is there besides."""
    if not isinstance(item, dict):
        errors.append(f"{where}: is not a mapping; allowed: what smtp_probe returned.")
        return {}
    unknown = [str(key)[:80] for key in item if key not in shape][:TOLD]
    errors.extend(f"{where}: {key!r} is unknown; allowed: {', '.join(shape)}." for key in unknown)
    for key, (right, allowed) in shape.items():
        if key not in item:
            errors.append(f"{where}.{key}: is missing; allowed: {allowed}.")
        elif not right(item[key]):
            errors.append(f"{where}.{key}: {_short(item[key])} is not allowed here; allowed: {allowed}.")
    return {key: item[key] for key in shape if key in item}


def _short(value: Any) -> str:
    return repr(value)[:80] if isinstance(value, (str, int, float, type(None))) else f"a {type(value).__name__}"
