# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verdicts, what carries them, and how they add up. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .requirements import REQUIREMENTS

if TYPE_CHECKING:
    from collections.abc import Iterable

PASS, FAIL, WARN, INCONCLUSIVE, EXEMPT, SKIPPED = "pass", "fail", "warn", "inconclusive", "exempt", "skipped"

# From the strongest: the first of these that occurs is the verdict of the whole.
ORDER = (FAIL, INCONCLUSIVE, WARN, PASS, EXEMPT, SKIPPED)


def add_up(verdicts: Iterable[str]) -> str:
    """The verdict of a whole from those of its parts; no evidence at all is ``skipped``, never ``pass``."""
    present = set(verdicts)
    return next((verdict for verdict in ORDER if verdict in present), SKIPPED)


def weigh(check_id: str, verdict: str) -> str:
    """What the verdict of one check means for its domain: a broken SHOULD is a ``warn``, a broken MUST a ``fail``."""
    return REQUIREMENTS[check_id].weight if verdict == FAIL else verdict


@dataclass(frozen=True)
class Check:
    """One judged question to a server, with the evidence.

    ``domain`` is the served domain that was asked about, empty where the question was to the server as a whole;
    ``code`` is the SMTP reply code (0 where no reply came), ``text`` the reply without it; ``message`` and
    ``remedy`` are for the person who has to mend it and are empty on a pass.
    """

    id: str
    verdict: str
    address: str = ""
    command: str = ""
    code: int = 0
    text: str = ""
    message: str = ""
    remedy: str = ""
    domain: str = ""

    @property
    def weight(self) -> str:
        return weigh(self.id, self.verdict)

    def as_dict(self) -> dict[str, Any]:
        row = REQUIREMENTS[self.id]
        return {
            "id": self.id,
            "requirement": f"{row.title} ({row.source})",
            "level": row.level,
            "verdict": self.verdict,
            "address": self.address,
            "command": self.command,
            "code": self.code,
            "text": self.text,
            "message": self.message,
            "remedy": self.remedy,
            "domain": self.domain,
        }


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with an expansion: what, ``where`` (file:line, table or command), and the cure."""

    id: str
    verdict: str
    message: str
    where: str = ""
    remedy: str = ""

    @property
    def weight(self) -> str:
        return weigh(self.id, self.verdict)

    def as_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "verdict": self.verdict,
            "message": self.message,
            "where": self.where,
            "remedy": self.remedy,
        }
