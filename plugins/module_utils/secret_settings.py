# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Native settings that are secret: ``name: {value: "...", secret: true}``. Pure.

They are told apart from the others before anything else looks at them. What is known of one beyond this file is its
name and its kind: the model of a host, which is a registered result, has no values, and neither has any message.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from .shown import line

TEXT, LINES = "text", "lines"
SHORTEST = 8  # characters: what is shorter stands in many texts by chance (secrecy.py)
A_SECRET = "{value: a string or a list of strings, secret: true}"


class Split(NamedTuple):
    """The settings that are no secrets, the kind of each secret by its name, and a sentence for each mistake."""

    public: Any
    secrets: dict[str, str]
    mistakes: list[str]


def split(variable: str, settings: Any) -> Split:
    """What ``settings`` has. Where a secret may stand in the wrong place, the mistake is told without a word of it."""
    if isinstance(settings, (str, list)) and settings:
        wrong = "it is not a dictionary, and what it holds may be secret, so that it is not shown"
        return Split({}, {}, [f"{variable}: {wrong}; allowed: a dictionary of native settings."])
    if not isinstance(settings, Mapping):
        return Split(settings, {}, [])
    public, secrets, mistakes = {}, {}, []
    for name, setting in settings.items():
        place = f"{variable}[{line(str(name))!r}]"
        if isinstance(setting, Mapping):
            wrong = _wrong(name, setting)
            secrets[str(name)] = LINES if isinstance(setting.get("value"), list) else TEXT
            mistakes += [f"{place}: {wrong}; allowed: {A_SECRET}."] if wrong else []
        elif _holds_a_dictionary(setting):
            mistakes.append(f"{place}: it is a list, and a dictionary stands in it; allowed: {A_SECRET}.")
        else:
            public[name] = setting
    return Split(public, {} if mistakes else secrets, mistakes)


def _holds_a_dictionary(value: Any) -> bool:
    """Whether a dictionary stands in a list, however deep: one dash too many makes a list of a secret."""
    pending, looked_at = [value], set()
    while pending:
        item = pending.pop()
        if isinstance(item, Mapping):
            return True
        if isinstance(item, list) and id(item) not in looked_at:  # YAML can name one list in very many places
            looked_at.add(id(item))
            pending += item
    return False


def _wrong(name: Any, setting: Mapping[Any, Any]) -> str:
    """What is wrong with a setting, without a word of what it holds."""
    if not isinstance(name, str) or not name or name != name.strip() or line(name) != name:
        return "this is not the name of a native setting"
    keys = set(setting)
    if keys != {"value", "secret"}:
        return "it does not have exactly the keys value and secret"
    if setting["secret"] is not True:
        return "its secret is not true"
    value = setting["value"]
    texts = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        return "its value, which is not shown, is not a text, or is empty"
    if any(len(text.strip()) < SHORTEST for text in texts):
        return f"its value, which is not shown, has fewer than {SHORTEST} characters, too few to be hidden in messages"
    if any(line(text, len(text)) != text for text in texts):
        return "its value, which is not shown, has a line break, a control character or one that cannot be seen"
    return ""
