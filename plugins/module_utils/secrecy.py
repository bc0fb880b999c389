# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts that quote a secret file are shown without what they quote: an MTA's check names the line that it rejects.

Pure.
A quotation is a run of ``RUN`` characters that stands in a secret text too, or a whole word of ``WORD`` or more. It may
be escaped: a backslash before a character, or before three octal digits for each octet, as MTAs and vis(3) print it.

Shorter words are in too many texts to be hidden. So ``secret_settings.py`` takes no value that is short.

Anybody on the host can make a text long, and a secret file may have many millions of characters. So a text is cut to
what is shown of it, and each secret is gone through once, for all the texts: what is kept are the runs of the texts.
"""

from __future__ import annotations

import re
from array import array
from typing import TYPE_CHECKING, NamedTuple

from .shown import LIMIT, cut_mark

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

HIDDEN = "********"
RUN = 6
WORD = 4
BEYOND = RUN * 4 * 4  # characters behind a cut that a quotation before it may need: four octets each, and escaped
ESCAPED = re.compile(r"\\([0-3][0-7]{2})|\\(.)", re.DOTALL)
OCTETS = [bytes([octet]).decode("utf-8", "surrogateescape") for octet in range(256)]
NO_OCTETS = re.compile("[\ud800-\udc7f\udd00-\udfff]")  # surrogates that stand for no octet
WORDS = re.compile(rf"[^\s\"'`=:;,(){{}}<>\[\]|/@]{{{WORD},}}")


class Reading(NamedTuple):
    """A text as it is looked up, and where its characters stand in what is shown: from one of these to the next."""

    text: str
    starts: Sequence[int]


def contents(files: Iterable[bytes]) -> Iterator[str]:
    """The texts of secret files, each of them once, read as the outputs of programs are."""
    return (content.decode("utf-8", "surrogateescape") for content in dict.fromkeys(files))


def hide(said: str, secrets: Iterable[str], limit: int = LIMIT) -> str:
    """The text without its quotations; see ``hide_all``."""
    return hide_all([said], secrets, limit)[0]


def hide_all(texts: Iterable[str], secrets: Iterable[str], limit: int = LIMIT) -> list[str]:
    """The texts without their quotations, each cut after ``limit`` characters; in time linear to all of them."""
    read = [(said, _readings(said[: limit + BEYOND])) for said in texts]
    readings = [reading for _said, found in read for reading in found if reading.text]
    runs, words = _quoted(readings, secrets) if readings else (set(), set())
    return [_shown(said, found, runs, words, limit) for said, found in read]


def _quoted(readings: Iterable[Reading], secrets: Iterable[str]) -> tuple[set[str], set[str]]:
    """The runs and the words of the texts that stand in a secret."""
    runs = {run for reading in readings for run in _runs(reading.text) if not run.isspace()}
    words = {found.group() for reading in readings for found in WORDS.finditer(reading.text)}
    quoted_runs: set[str] = set()
    quoted_words: set[str] = set()
    for secret in secrets:
        for form in _forms(secret):
            quoted_runs |= runs.intersection(_runs(form))
            quoted_words |= words.intersection(found.group() for found in WORDS.finditer(form))
    return quoted_runs, quoted_words


def _shown(said: str, readings: Iterable[Reading], runs: set[str], words: set[str], limit: int) -> str:
    quoted = bytearray(min(len(said), limit + BEYOND))
    for text, starts in readings:
        found = [(at, at + RUN) for at, run in enumerate(_runs(text)) if run in runs]
        found += [word.span() for word in WORDS.finditer(text) if word.group() in words]
        for first, end in found:
            quoted[starts[first] : starts[end]] = b"\1" * (starts[end] - starts[first])
    pieces, end = [], 0
    for hidden in re.finditer(b"\1+", quoted[:limit]):
        pieces += [said[end : hidden.start()], HIDDEN]
        end = hidden.end()
    shown = "".join([*pieces, said[end:limit]])
    if len(said) <= limit:
        return shown
    mark = cut_mark(said)
    return shown[: max(0, limit - len(mark))] + mark


def _runs(text: str) -> Iterator[str]:
    return (text[at : at + RUN] for at in range(len(text) - RUN + 1))


def _forms(secret: str) -> Iterator[str]:
    """A secret as it is, and without its escapes if it has any."""
    yield secret
    if "\\" in secret:
        yield _joined(ESCAPED.sub(_meant, secret))


def _readings(said: str) -> list[Reading]:
    """A text as it is, and without its escapes if it has any."""
    found = [Reading(said, range(len(said) + 1))]
    return [*found, _unescaped(said)] if "\\" in said else found


def _unescaped(said: str) -> Reading:
    pieces, places, end = [], array("L"), 0
    for found in ESCAPED.finditer(said):
        start = found.start()
        pieces += [said[end:start], _meant(found)]
        places.extend(range(end, start + 1))
        end = found.end()
    places.extend(range(end, len(said) + 1))
    octets = NO_OCTETS.sub("?", "".join([*pieces, said[end:]]))
    text, starts, at = _joined(octets), array("L"), 0
    for char in text:
        starts.append(places[at])
        at += 1 if octets[at] == char else len(char.encode())
    starts.append(len(said))
    return Reading(text, starts)


def _meant(escape: re.Match[str]) -> str:
    """What an escape stands for: an octet, or a character."""
    return OCTETS[int(escape[1], 8)] if escape[1] else escape[2]


def _joined(text: str) -> str:
    """The text with its octets joined to characters, as far as they are some."""
    return NO_OCTETS.sub("?", text).encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
