# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The mistakes in a user's variables: gathered, and told all at once. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from . import canonical
from .shown import line

DEEPEST = 20  # levels of lists and dictionaries in one value; the variables have four at most
# What is shown of a value: characters, levels, items of a list, and the greatest number.
LONGEST, NESTED, MOST, GREATEST = 1000, 4, 10, 10**40

NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)
SWITCH = {**dict.fromkeys(("true", "yes", "on"), True), **dict.fromkeys(("false", "no", "off"), False)}

A_SHALLOW_VALUE = f"lists and dictionaries of at most {DEEPEST} levels"


class BadInputError(ValueError):
    """One or more mistakes in the variables; ``errors`` holds a sentence for each."""

    def __init__(self, errors: Sequence[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors = list(errors)


class Lead(NamedTuple):
    """A target: the variable that names it, what the user wrote there, and its canonical form."""

    variable: str
    written: Any
    target: str


class Collector:
    """Gathers mistakes, so that a user sees all of them at once."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.leads: list[Lead] = []  # all targets
        self._looked_at: set[int] = set()  # YAML can name one list in very many places
        self._written: dict[tuple[str, str], Any] = {}  # what the user wrote, by variable and canonical form

    def add(self, variable: str, value: Any, allowed: str) -> None:
        self.errors.append(f"{line(variable, LONGEST)}: {quoted(value)} is not allowed here; allowed: {allowed}.")

    def typed(self, variable: str, value: Any, kind: type, allowed: str) -> Any:
        """The value where it has the type, else an empty one and a mistake noted."""
        if isinstance(value, kind) and not isinstance(value, bool):
            return value
        self.add(variable, value, allowed)
        return kind()

    def seen(self, variable: str, value: Any, level: int = 0) -> None:
        """A line break, a control character or one that is not seen may stand in no value, however deep."""
        if level > DEEPEST:
            self.add(variable, value, A_SHALLOW_VALUE)
        elif id(value) in self._looked_at:
            pass
        elif isinstance(value, str):
            self._form(variable, value, canonical.text)
        elif isinstance(value, Mapping):
            self._looked_at.add(id(value))
            for key, inner in value.items():
                self.seen(variable, key, level + 1)
                self.seen(f"{variable}[{quoted(key)}]", inner, level + 1)
        elif isinstance(value, (list, tuple)):
            self._looked_at.add(id(value))
            for index, inner in enumerate(value):
                self.seen(f"{variable}[{index}]", inner, level + 1)

    def canonical(self, variable: str, value: Any, form: Callable[[str], str]) -> str:
        """The canonical form of a text; an empty one, and a mistake noted, where it has none."""
        found = self._form(variable, value, form)
        self._written.setdefault((variable, found), value)
        return found

    def _form(self, variable: str, value: Any, form: Callable[[str], str]) -> str:
        try:
            return form(value if isinstance(value, str) else "")
        except ValueError as error:
            self.add(variable, value, f"{error}{_unquoted(value, form)}")
            return ""

    def written(self, variable: str, found: str) -> Any:
        """What the user wrote in a variable where its canonical form is ``found``."""
        return self._written.get((variable, found), found)

    def targets(self, variable: str, value: Any) -> list[str]:
        """One target or a list of them; an empty list is a mistake, for it would lead nowhere."""
        values = value if isinstance(value, list) else [value]
        if not values or value in ("", None):
            self.add(variable, value, canonical.A_TARGET + ", or a list of them")
            return []
        found = [self.canonical(variable, item, canonical.target) for item in values]
        self.leads += [Lead(variable, item, target) for item, target in zip(values, found) if target]
        return [item for item in found if item]

    def key(self, variable: str, name: Any, form: Callable[[str], str], taken: Container[str]) -> str:
        """The canonical form of a name. One that is written in two ways was meant to be two."""
        found = self.canonical(variable, name, form)
        if found and found in taken and name != self.written(variable, found):
            self.add(
                variable,
                name,
                f"each name once, however it is written; {quoted(self.written(variable, found))} is the same name",
            )
        return found

    def number(self, variable: str, value: Any, least: int, most: int, zero: str = "") -> int:
        """A whole number, which may be given as text (--extra-vars). ``zero``: what 0 means, where that is allowed."""
        found = int(value) if isinstance(value, str) and NUMBER.fullmatch(value) else value
        if (
            isinstance(found, bool)
            or not isinstance(found, int)
            or not (least <= found <= most or (zero and not found))
        ):
            self.add(variable, value, f"{f'0 for {zero}, or ' if zero else ''}a whole number from {least} to {most}")
            return least
        return int(found)

    def switch(self, variable: str, value: Any) -> bool:
        """True or false, which may be given as a word (--extra-vars)."""
        found = SWITCH.get(value.lower()) if isinstance(value, str) else value
        if not isinstance(found, bool):
            self.add(variable, value, "true or false")
        return found is True


def _unquoted(value: Any, form: Callable[[str], str]) -> str:
    """What to do where YAML has made a number or a boolean of a text (10, 1e3, on, no)."""
    if not isinstance(value, (int, float)):
        return ""
    try:
        form(str(value))
    except ValueError:
        return ""
    return "; put it in quotes, for without them YAML takes it for a " + (
        "boolean" if isinstance(value, bool) else "number"
    )


def quoted(value: Any) -> str:
    """A value as the user wrote it, on one line; what would not be seen is shown as its escape."""
    return line(_quoted(value, NESTED), LONGEST)


def _quoted(value: Any, levels: int) -> str:
    """What is nested deeper than so many levels, and lists and texts that nobody would read to their end, are cut."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return repr(value[:LONGEST])
    if isinstance(value, int) and abs(value) > GREATEST:  # Python refuses to write numbers of thousands of digits
        return f"a number of {value.bit_length()} bits"
    if not isinstance(value, (Mapping, list, tuple)):
        return repr(value)
    head, tail = "{}" if isinstance(value, Mapping) else "[]"
    if not levels:
        return f"{head}...{tail}"
    if isinstance(value, Mapping):
        found = (f"{_quoted(key, 0)}: {_quoted(inner, levels - 1)}" for key, inner in value.items())
    else:
        found = (_quoted(inner, levels - 1) for inner in value)
    shown = [*islice(found, MOST), *(["..."] if len(value) > MOST else [])]
    return head + ", ".join(shown) + tail
