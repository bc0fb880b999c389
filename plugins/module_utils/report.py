# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof as a table that a person reads. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

from .shown import line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HEADINGS = ("", "resolves", "accepts", "lands", "mailbox", "time")
MARKS = {"pass": "✔", "fail": "✘", "warn": "!", "inconclusive": "?", "exempt": "-", "skipped": "·"}
WIDTH = 300  # characters of a cell
LAYERS = ("resolves", "accepts", "lands")

Paint = Callable[[str, str], str]


def plain(text: str, _verdict: str) -> str:
    """Paint that adds no colour."""
    return text


def table(results: Mapping[str, Mapping[str, Any]], paint: Paint = plain) -> list[str]:
    """Lines for the results of ``postmaster_check``, by host; ``paint(text, verdict)`` may add colour."""
    rows = {host: [_row(domain) for domain in result.get("domains", [])] for host, result in results.items()}
    cells = [HEADINGS, *(row for found in rows.values() for row in found)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEADINGS))]
    widths[0] = max([widths[0], *(len(host) for host in rows)])
    lines = []
    for host, found in rows.items():
        result = results[host]
        lines += ["", _line([host, *HEADINGS[1:]], widths, plain)]
        lines.append("─" * len(lines[-1]))
        lines += [_line(row, widths, paint) for row in found]
        summary = "{} {}".format(_mark(result["verdict"]), line(result["summary"]))
        lines += ["", paint(summary, result["verdict"])]
        known = [line(text) for text in result.get("limitations", [])]
        lines += [f"  What its MTA cannot do, which does not count: {'; '.join(known)}"] if known else []
    return lines


def _mark(verdict: str) -> str:
    return MARKS.get(verdict, "?")


def _row(domain: Mapping[str, Any]) -> Sequence[str]:
    lands = domain["lands"]
    seconds = [message["seconds"] for message in lands.get("messages", []) if message.get("seconds") is not None]
    return (
        line(domain["domain"], WIDTH) + (" (relayed)" if domain.get("kind") == "relay" else ""),
        *("{} {}".format(_mark(domain[layer]["verdict"]), domain[layer]["verdict"]) for layer in LAYERS),
        line(", ".join(_destinations(domain)), WIDTH),
        f"{max(seconds):.2f} s" if seconds else "",
    )


def _destinations(domain: Mapping[str, Any]) -> list[str]:
    """Where mail for postmaster ends, without repetition."""
    first: dict[str, Any] = next(iter(domain["resolves"].get("addresses", [])), {})
    return list(dict.fromkeys(end["value"] for end in first.get("destinations", [])))


def _line(row: Sequence[str], widths: Sequence[int], paint: Paint) -> str:
    padded = [cell.ljust(width) for cell, width in zip(row, widths)]
    verdicts = [cell.split()[-1] if cell.strip() else "" for cell in row]
    painted = [
        paint(cell, verdict) if HEADINGS[index] in LAYERS else cell
        for index, (cell, verdict) in enumerate(zip(padded, verdicts))
    ]
    return "  ".join(painted).rstrip()
