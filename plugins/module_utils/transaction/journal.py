# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal of a transaction: what was there before, so that it can come back. Pure.

JSON of one object: ``transaction`` (id), ``state`` (pending, confirmed or rolled_back), and ``images``: path to
before-image, or null where there was no file. Contents are base64.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, replace

from .plan import Image

UNCHANGED, PENDING, CONFIRMED, ROLLED_BACK = "unchanged", "pending", "confirmed", "rolled_back"


@dataclass(frozen=True)
class Journal:
    """One transaction, as it is kept on disk."""

    transaction: str
    state: str
    images: dict[str, Image | None]

    def ended(self, state: str) -> Journal:
        return replace(self, state=state)

    def dump(self) -> bytes:
        return json.dumps(
            {
                "transaction": self.transaction,
                "state": self.state,
                "images": {path: image and _dump(image) for path, image in self.images.items()},
            },
            indent=1,
        ).encode()

    @staticmethod
    def load(raw: bytes) -> Journal:
        found = json.loads(raw)
        images = {path: image and _load(image) for path, image in found["images"].items()}
        return Journal(found["transaction"], found["state"], images)


def _dump(image: Image) -> dict[str, str | int]:
    content = base64.b64encode(image.content).decode("ascii")
    return {"content": content, "uid": image.uid, "gid": image.gid, "mode": image.mode}


def _load(found: dict[str, str | int]) -> Image:
    content = base64.b64decode(str(found["content"]))
    return Image(content, int(found["uid"]), int(found["gid"]), int(found["mode"]))
