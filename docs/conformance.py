# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes docs/conformance.md from what `make molecule` measured: the proofs of its hosts, the outcomes of its tests."""

from __future__ import annotations

import json
import pathlib
import sys
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / ".build"))

from ansible_collections.mailops.postmaster.plugins.module_utils.mta.registry import KNOWN, adapter_class
from ansible_collections.mailops.postmaster.plugins.module_utils.requirements import REQUIREMENTS, RESOLVES
from ansible_collections.mailops.postmaster.plugins.module_utils.verdict import FAIL, PASS, add_up

MEASURED = ROOT / ".build" / "conformance"
PAGE = ROOT / "docs" / "conformance.md"
RELEASES = {"bookworm": "12", "trixie": "13"}
HOSTS = [(mta, release) for mta in KNOWN for release in RELEASES]
UPSTREAM, NOT_MEASURED = "fail, upstream", "not measured"

HEAD = """\
# What was measured

Every row of [the catalogue](catalogue.md) on every MTA and release, as `make conformance` found it on hosts that this
collection configured: by the proof from another host, and by the tests that read the mailboxes. *fail, upstream*: no
setting of the MTA mends it (see the end of the catalogue for the reason). *skipped*: there was nothing to ask, as where
an extension is not offered. The rows R1 to R12 pass where the walk found nothing against them; that each can fail is
shown by a broken state of the host in another scenario. *not measured*: not in this run.
"""


def verdicts(result: dict[str, Any], outcomes: dict[str, dict[str, str]]) -> dict[str, str]:
    """The verdict of each row on one host, from its proof and from the tests, which are by row and name."""
    found: dict[str, list[str]] = {row.id: [PASS] for row in REQUIREMENTS.values() if row.layer == RESOLVES}
    for domain in result["domains"]:
        problems = [problem for item in domain["resolves"]["addresses"] for problem in item["problems"]]
        lands = domain["lands"]
        for item in (*problems, *domain["accepts"]["checks"], *lands["messages"], *lands.get("checks", ())):
            found.setdefault(item["id"], []).append(UPSTREAM if item.get("limit") else item["verdict"])
    cannot = {limit.id for limit in adapter_class(result["mta"]).limits}
    for row, shown in outcomes.items():
        words = shown.values()
        found.setdefault(row, []).extend(UPSTREAM if word == FAIL and row in cannot else word for word in words)
    return {row: _one(words) for row, words in found.items()}


def _one(words: list[str]) -> str:
    rest = add_up(word for word in words if word != UPSTREAM)
    return UPSTREAM if UPSTREAM in words and rest != FAIL else rest


def page(measured: dict[tuple[str, str], tuple[dict[str, Any], dict[str, dict[str, str]]]]) -> str:
    """The page, as Markdown; ``measured`` is by MTA and release."""
    names = ["{} {}".format(mta, measured[mta, release][0]["version"]) for mta, release in HOSTS]
    heads = [f"{name}, Debian {RELEASES[release]}" for name, (_mta, release) in zip(names, HOSTS)]
    lines = ["| " + " | ".join(["", "what is asked for", *heads]) + " |", "|---" * (len(heads) + 2) + "|"]
    found = {host: verdicts(*measured[host]) for host in HOSTS}
    for row in REQUIREMENTS.values():
        cells = [found[host].get(row.id, NOT_MEASURED) for host in HOSTS]
        lines.append("| " + " | ".join([row.id, f"{row.title} ({row.source}, {row.level})", *cells]) + " |")
    return HEAD + "\n" + "\n".join(lines) + "\n"


def read() -> dict[tuple[str, str], tuple[dict[str, Any], dict[str, dict[str, str]]]]:
    """What the last run left."""

    def load(path: pathlib.Path) -> Any:
        return json.loads(path.read_text(encoding="utf-8"))

    names = {host: "{}-{}.json".format(*host) for host in HOSTS}
    return {host: (load(MEASURED / "site" / name), load(MEASURED / "tests" / name)) for host, name in names.items()}


if __name__ == "__main__":
    PAGE.write_text(page(read()), encoding="utf-8")
