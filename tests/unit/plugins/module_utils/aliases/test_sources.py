# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries are found by their line in a text of any size."""

from __future__ import annotations

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils.aliases import sources
from ansible_collections.mailops.postmaster.plugins.module_utils.aliases.sources import Source
from hypothesis import given
from hypothesis import strategies as st

NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,5}", fullmatch=True)


@pytest.mark.parametrize("few", [0, sources.FEW], ids=["by an index", "by search"])
@pytest.mark.parametrize(
    ("text", "key", "wanted"),
    [
        ("postmaster: root\n", "postmaster", (1, "root", ":")),
        ("# postmaster: x\n\npostmaster:root", "postmaster", (3, "root", ":")),
        ("POSTMASTER : root\n", "postmaster", (1, "root", ":")),
        ('"postmaster": root\n', "postmaster", (1, "root", ":")),
        ("postmaster@a  root\n", "postmaster@a", (1, "root", "")),
        ("postmaster:\n", "postmaster", (1, "", ":")),
        ("postmaster: a,\n  b,\n# c\n\tc\nx: y\n", "postmaster", (1, "a,\n  b,\n\tc", ":")),
        ("postmaster2: x\npostmaster: y\n", "postmaster", (2, "y", ":")),
        ("a: x\npostmaster: y\npostmaster: z\n", "postmaster", (2, "y", ":")),
        (" postmaster: x\n", "postmaster", None),
        ("x: postmaster: y\n", "postmaster", None),
        ("postmaster", "postmaster", (1, "", "")),
        ("postmaster: root\r\nx: y\r\n", "postmaster", (1, "root", ":")),
        ('x: y\n"Post Master" : z\n', "post master", (2, "z", ":")),
        ("İ: x\npostmaster: y\n", "postmaster", (2, "y", ":")),
        ("\udcff: x\n\u00e9: y\n", "\u00c9", (2, "y", ":")),
        ("fe80::1  x\n", "fe80::1", (1, "x", "")),
        ("a:b: x\n", "a:b", (1, "x", ":")),
        ("#postmaster x\n", "#postmaster", (1, "x", "")),
    ],
)
def test_an_entry_is_found_with_its_line_and_its_value(text, key, wanted, few, monkeypatch):
    monkeypatch.setattr(sources, "FEW", few)
    assert Source("/f", text).entry(key) == wanted


@given(st.lists(st.tuples(NAMES, NAMES), max_size=20))
def test_the_first_entry_of_a_name_is_found_wherever_it_stands(rows):
    source = Source("/f", "".join(f"{name}: {value}\n" for name, value in rows))
    for name in {name for name, _value in rows}:
        line = next(number for number, row in enumerate(rows, 1) if row[0] == name)
        assert source.entry(name) == (line, rows[line - 1][1], ":")


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "A", "ab", '"a"', "#a", " a"]), st.sampled_from([":", " ", " : ", "b:", ""]))
    )
)
def test_an_index_finds_what_a_search_finds(rows):
    text = "".join(f"{name}{sign}x\n" for name, sign in rows)
    for key in ("a", "ab", "x", "ax", "b"):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(sources, "FEW", 0)
            found = Source("/f", text).entry(key)
        assert found == Source("/f", text).entry(key)
