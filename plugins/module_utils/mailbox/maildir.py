# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads a Maildir as it grows: every message once, also when a mail reader moves it from ``new`` to ``cur``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .message import END_OF_HEADERS, LONGEST
from .quiet import open_quietly

if TYPE_CHECKING:
    from .message import Tally

FOLDERS = ("new", "cur")


class Maildir:
    """A Maildir, and the messages that were seen in it; a message's unique name is what stands before its flags."""

    def __init__(self, path: str, tally: Tally) -> None:
        self._path = path
        self._tally = tally
        self._seen: set[str] = set()

    def look(self) -> None:
        """Count the messages that have come since the last look."""
        for folder in FOLDERS:
            for name in os.listdir(os.path.join(self._path, folder)):
                unique = name.partition(":")[0]
                if unique in self._seen or name.startswith("."):
                    continue
                try:
                    block = header_block(os.path.join(self._path, folder, name))
                except (
                    FileNotFoundError,
                    IsADirectoryError,
                ):  # moved to cur, where the next look finds it
                    continue
                self._seen.add(unique)
                self._tally.add(block)


def header_block(path: str) -> bytes:
    """The header block of the message in a file."""
    with open_quietly(path) as file:
        text = file.read(LONGEST)
    end = END_OF_HEADERS.search(b"\n" + text)
    return text[: end.start()] if end else text
