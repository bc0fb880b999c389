# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the contents of files travel to the host: encoded, in one option that Ansible neither logs nor shows. Pure.

Ansible masks each value of such an option in the whole result. Contents themselves would take their words out of diffs;
what they are encoded in occurs in no result.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from ..errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def pack(contents: Sequence[str]) -> str:
    """The contents as one text; empty where there are none."""
    return base64.b64encode(json.dumps({"contents": list(contents)}).encode()).decode("ascii") if contents else ""


def unpack(files: Sequence[Mapping[str, Any]], packed: str) -> list[dict[str, Any]]:
    """The files, each with its content; raises UserError where one has none."""
    contents = json.loads(base64.b64decode(packed))["contents"] if packed else [file["content"] for file in files]
    for file, content in zip(files, contents):
        if content is None:
            raise UserError(f"files: {file['path']} has no content; allowed: a text, which may be empty")
    return [{**file, "content": content} for file, content in zip(files, contents)]
