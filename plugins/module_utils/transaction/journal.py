# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal of a transaction: what was there before, and how to tell the service, so that it can come back. Pure.

JSON of one object: ``version``; ``transaction`` (id); ``deadline`` (seconds since the epoch: not confirmed by then, it
is rolled back); ``activation``, ``service`` and ``timeout`` as in config_transaction, of the service that comes back;
``answers``, as there, of the one that is to stay, and ``answered``, those at which there was an answer before;
``images``: path to before-image, or null where there was no file, with contents in base64; and ``switch``:
what ``switch.py`` has to know where the MTA is another one, empty where it is not. A large content is compressed
before (``packed``), for it is in memory several times until it is written; only a journal that has one is a 2.0.

The program that rolls a change back may be of another version than the one that began it. A journal without a version
is one of the time before there were any, and is read as 1.0. Whoever adds something that a program of before may leave
out, and still bring everything back, raises the second number; else the first. Fields that are not known are left out;
a journal with a higher first number is not touched.
"""

from __future__ import annotations

import base64
import json
import math
import re
import zlib
from dataclasses import dataclass, field
from typing import Any, Callable

from .._system.image import Image

VERSION = (2, 0)  # the highest that is read
PLAIN = (1, 0)  # of a journal without a large content
LARGE = 1 << 20  # octets of a content that is compressed
LIMIT = 1 << 30  # octets of a content
PACKED = "packed"  # the field of an image whose content is compressed
UNCHANGED, PENDING, CONFIRMED, ROLLED_BACK = "unchanged", "pending", "confirmed", "rolled_back"


class BadJournalError(Exception):
    """What is there is no journal; the text says why, after the file's name: "is cut off"."""


class NewerJournalError(Exception):
    """A journal that only a later version of this program can read; the text is its version."""


@dataclass(frozen=True)
class Journal:
    """One transaction, as it is kept on disk; how it ended is said by where it is kept."""

    transaction: str
    images: dict[str, Image | None]
    deadline: float = 0
    activation: str = "reload"
    service: dict[str, Any] = field(default_factory=dict)
    answers: list[dict[str, Any]] = field(default_factory=list)
    answered: list[dict[str, Any]] = field(default_factory=list)
    timeout: float = 20
    switch: dict[str, Any] = field(default_factory=dict)

    def dump(self) -> bytes:
        images = {path: image and _dump(image) for path, image in self.images.items()}
        packed = any(image and PACKED in image for image in images.values())
        version = ".".join(map(str, VERSION if packed else PLAIN))
        return json.dumps({"version": version, **vars(self), "images": images}, indent=1).encode()

    @staticmethod
    def load(raw: bytes) -> Journal:
        """The journal; raises BadJournalError and NewerJournalError."""
        try:
            found = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise BadJournalError(f"is not JSON: {error}") from error
        if not isinstance(found, dict):
            raise BadJournalError("is not a JSON object")
        _check_version(found.get("version", "1.0"))
        missing = [name for name in REQUIRED if name not in found]
        if missing:
            raise BadJournalError(f"has no {' and no '.join(missing)}")
        known = {name: found[name] for name in FIELDS if name in found}
        wrong = [name for name, value in known.items() if not FIELDS[name](value)]
        if wrong:
            raise BadJournalError(f"has a value that is not allowed in {' and in '.join(wrong)}")
        try:
            images = {path: _load(image) if image else None for path, image in known["images"].items()}
        except (ValueError, zlib.error) as error:
            raise BadJournalError(f"has a value that is not allowed in images: {error}") from error
        return Journal(**{**known, "images": images})


def _check_version(version: object) -> None:
    found = re.fullmatch(r"([0-9]{1,4})\.[0-9]{1,4}", version) if isinstance(version, str) else None
    if not found:
        raise BadJournalError("has a version that is not allowed")
    if int(found[1]) > VERSION[0]:
        raise NewerJournalError(found[0])


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) for word in value)


def _number(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 53


def _count(value: object, limit: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= limit


def _images(value: object) -> bool:
    return isinstance(value, dict) and all(
        path.startswith("/") and "\0" not in path and (image is None or _image(image)) for path, image in value.items()
    )


def _image(value: object) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("content"), str)
        and all(_count(value.get(name), (1 << 32) - 2) for name in ("uid", "gid"))
        and _count(value.get("mode"), 0o7777)
        and isinstance(value.get(PACKED, False), bool)
    )


def _service(value: object) -> bool:
    return isinstance(value, dict) and (
        not value
        or (isinstance(value.get("name"), str) and _texts(value.get("reload")) and bool(_texts(value.get("restart"))))
    )


def _listeners(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(item, dict)
        and isinstance(item.get("address"), str)
        and _count(item.get("port"), 65535)
        and isinstance(item.get("greeting"), str)
        for item in value
    )


def _switch(value: object) -> bool:
    return isinstance(value, dict) and (
        not value
        or (
            all(isinstance(value.get(name), str) for name in ("old", "new"))
            and _texts(value.get("aliases"))
            and isinstance(value.get("transaction", ""), str)
            and _packages(value.get("packages"))
        )
    )


def _packages(value: object) -> bool:
    return (
        isinstance(value, dict)
        and all(_texts(value.get(name)) for name in ("wanted", "added", "manual"))
        and isinstance(value.get("before"), dict)
        and all(isinstance(version, str) for version in value["before"].values())
    )


# Each field, and whether a value of it can be worked with.
FIELDS: dict[str, Callable[[Any], bool]] = {
    "transaction": lambda value: isinstance(value, str) and bool(re.fullmatch(r"[\w-]{1,100}", value, re.ASCII)),
    "images": _images,
    "deadline": _number,
    "activation": lambda value: value in ("none", "reload", "restart"),
    "service": _service,
    "answers": _listeners,
    "answered": _listeners,
    "timeout": lambda value: _number(value) and value > 0,
    "switch": _switch,
}
REQUIRED = ("transaction", "images")


def _dump(image: Image) -> dict[str, str | int | bool]:
    large = len(image.content) >= LARGE
    content = base64.b64encode(zlib.compress(image.content, 1) if large else image.content).decode("ascii")
    how = {PACKED: True} if large else {}
    return {"content": content, "uid": image.uid, "gid": image.gid, "mode": image.mode, **how}


def _load(found: dict[str, Any]) -> Image:
    content = base64.b64decode(found["content"], validate=True)
    return Image(_unpacked(content) if found.get(PACKED) else content, found["uid"], found["gid"], found["mode"])


def _unpacked(raw: bytes) -> bytes:
    packed = zlib.decompressobj()
    content = packed.decompress(raw, LIMIT)
    if not packed.eof:
        raise ValueError("is cut off, or too large")
    return content
