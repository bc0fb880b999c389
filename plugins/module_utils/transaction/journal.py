# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal of a transaction: what was there before, and how to tell the service, so that it can come back. Pure.

JSON of one object: ``transaction`` (id); ``deadline`` (seconds since the epoch: not confirmed by then, it is rolled
back); ``activation``, ``service`` and ``timeout`` as in config_transaction, of the service that is to come back;
``answers``, as there, of the one that is to stay, and ``answered``, those at which there was an answer before;
``images``: path to before-image, or null where there was no file, with contents in base64; and ``switch``:
what ``switch.py`` has to know where the MTA is another one, empty where it is not.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

from .._system.image import Image

UNCHANGED, PENDING, CONFIRMED, ROLLED_BACK = "unchanged", "pending", "confirmed", "rolled_back"


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
        return json.dumps({**vars(self), "images": images}, indent=1).encode()

    @staticmethod
    def load(raw: bytes) -> Journal:
        found = json.loads(raw)
        images = {path: image and _load(image) for path, image in found["images"].items()}
        return Journal(**{**found, "images": images})


def _dump(image: Image) -> dict[str, str | int]:
    content = base64.b64encode(image.content).decode("ascii")
    return {"content": content, "uid": image.uid, "gid": image.gid, "mode": image.mode}


def _load(found: dict[str, str | int]) -> Image:
    content = base64.b64decode(str(found["content"]))
    return Image(content, int(found["uid"]), int(found["gid"]), int(found["mode"]))
