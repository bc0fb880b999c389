# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files as plain data: what is there, and what is wanted. Pure."""

from __future__ import annotations

from dataclasses import dataclass

OTHERS = 0o004  # may read
CLOSED = "(a line of a file that not all could read: it is not shown)\n"
READABLE = 0o666  # what holds of the mode of a file for what is compiled from it


@dataclass(frozen=True)
class Image:
    """A file: its bytes, its owner and group by number, its permission bits."""

    content: bytes
    uid: int
    gid: int
    mode: int


@dataclass(frozen=True)
class Change:
    """A path, what is there (None: nothing), and what is wanted; of a ``secret`` file no line is shown.

    Nor is what not all could read, where the file becomes one that all can: it may have been secret.
    """

    path: str
    before: Image | None
    after: Image
    secret: bool = False

    @property
    def changed(self) -> bool:
        return self.before != self.after

    def diff(self) -> dict[str, str]:
        """Before and after, as Ansible shows them."""
        before = (self.before.content if self.before else b"").decode("utf-8", "replace")
        after = self.after.content.decode("utf-8", "replace")
        headers = {
            "before_header": self.path + ("" if self.before else " (absent)"),
            "after_header": f"{self.path} ({self.after.mode:04o})",
        }
        if self.secret:
            return {**headers, "before": "", "after": "(secret: its lines are not shown)\n"}
        if self.before and self.after.mode & ~self.before.mode & OTHERS:
            kept = set(after.splitlines(keepends=True))
            before = "".join(line if line in kept else CLOSED for line in before.splitlines(keepends=True))
        return {**headers, "before": before, "after": after}
