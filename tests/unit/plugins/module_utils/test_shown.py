# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person sees commands no terminal, hides nothing, and has an end."""

from __future__ import annotations

import json
import unicodedata

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils.shown import LIMIT, line, shown, text
from hypothesis import given
from hypothesis import strategies as st

# Hypothesis leaves surrogates out, and seldom finds the few characters that count.
CHARACTERS = st.characters(codec=None, categories=["Cc", "Cf", "Cs", "Zl", "Zp"]) | st.characters()
TEXTS = st.text(CHARACTERS)
RESULTS = st.recursive(
    TEXTS | st.integers() | st.booleans() | st.none(),
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS | st.just("diff"), inner),
)
HIDING = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def strings(value):
    """All texts of a result, names too."""
    if isinstance(value, str):
        yield value
    for inner in value if isinstance(value, (list, dict)) else ():
        yield from strings(inner)
        yield from strings(value[inner]) if isinstance(value, dict) else ()


@pytest.mark.parametrize(
    ("said", "seen"),
    [
        ("plain, größer, 日本語, 🙂, \\x1b", "plain, größer, 日本語, 🙂, \\x1b"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\x9b31m", "\\x9b31m"),
        ("a\rb\x08\x00\x7f", "a\\rb\\x08\\x00\\x7f"),
        ("eno\u202egro.elpmaxe", "eno\\u202egro.elpmaxe"),
        ("\u2066x\u2069\u200e\u061c", "\\u2066x\\u2069\\u200e\\u061c"),
        ("post\u200bmaster\ufeff\u00ad\u2060", "post\\u200bmaster\\ufeff\\xad\\u2060"),
        ("a\u2028b\u2029c\x85d", "a\\u2028b\\u2029c\\x85d"),
        ("caf\udce9 \ud83d", "caf\\xe9 \\ud83d"),
        ("tag\U000e0041 filler\u3164 selector\ufe0f", "tag\\U000e0041 filler\\u3164 selector\\ufe0f"),
    ],
)
def test_what_hides_or_commands_is_shown_as_its_escape(said, seen):
    assert text(said) == seen


def test_a_line_has_no_line_breaks():
    assert line("one\ntwo\tthree") == "one\\ntwo\\tthree"


def test_a_long_text_is_cut_and_says_so():
    seen = text("x" * 1_000_000)
    assert len(seen) == LIMIT
    assert seen.endswith("[cut here, of 1000000 characters]")


def test_a_diff_is_clean_and_whole():
    seen = shown({"diff": [{"before": "\x1b" + "x" * 20_000, "after": "a\nb"}], "msg": "y" * 20_000})
    assert seen["diff"] == [{"before": "\\x1b" + "x" * 20_000, "after": "a\nb"}]
    assert len(seen["msg"]) == LIMIT


def test_every_character_that_unicode_has_of_the_kind_is_hidden():
    hiding = (chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) in HIDING)
    assert [char for char in hiding if text(char) == char] == ["\t", "\n"]


@given(RESULTS)
def test_no_text_of_a_result_keeps_what_hides_or_commands(result):
    seen = shown(result)
    assert not [
        word for word in strings(seen) if any(unicodedata.category(c) in HIDING for c in word if c not in "\n\t")
    ]
    json.dumps(seen, ensure_ascii=False).encode("utf-8")


@given(RESULTS)
def test_what_is_clean_stays_as_it_is(result):
    seen = shown(result)
    assert shown(seen) == seen


@given(TEXTS, st.integers(50, 200))
def test_a_text_has_an_end(said, limit):
    seen = text(said * 20, limit)
    assert len(seen) <= limit
    assert text(seen, limit) == seen


@given(st.text(st.characters(exclude_categories=["C", "Zl", "Zp", "Mn", "Lo"])))
def test_letters_that_hide_nothing_are_not_touched(said):
    assert text(said) == said
