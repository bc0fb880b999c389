# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An edit changes what it must and keeps every other octet, as if the whole table had been read."""

from __future__ import annotations

import re

import pytest
import whole_table
from ansible_collections.mailops.postmaster.plugins.module_utils.aliases import edit as edits
from ansible_collections.mailops.postmaster.plugins.module_utils.aliases import lines
from ansible_collections.mailops.postmaster.plugins.module_utils.aliases.edit import cycle, edit, hunks
from ansible_collections.mailops.postmaster.plugins.module_utils.aliases.table import Target, parse, target
from hypothesis import given
from hypothesis import strategies as st

LINE = re.compile(r"[^\n]*\n|[^\n]+")


def octets(text):
    return text.encode("utf-8", "surrogateescape")


def edited(text, names, exact=False):
    """The text after an edit."""
    return edit(octets(text), names, exact).after().decode("utf-8", "surrogateescape")


def wanted(**names):
    return {name: [target(text) for text in texts] for name, texts in names.items()}


def loop(text, start):
    entries = whole_table.entries(parse(text))
    return cycle(start, lambda name: entries[name].targets if name in entries else ())


NAMES = st.sampled_from(
    ["a", "A", "B", "ab", "postmaster", '"c d"', '"a"', "PostMaster", "\u00e9", "\u00c9", "\u212a", "a\u00e9"]
)
VALUES = st.lists(
    st.sampled_from(
        ["x", "y@z", '"|/p q"', "/f", ":include:/l", "\\u", ",", "\n ", "\r\n\t", "(c)", "\n# c\n ", "\n\n "]
    ),
    max_size=5,
).map(" ".join)
LINES = st.one_of(
    st.tuples(NAMES, st.sampled_from([":", " :\t", ": ", "\n :", " \r\n\t: "]), VALUES).map("".join),
    st.text("# ab:\t\r\udcff", max_size=8).map(lambda text: "#" + text),
    st.sampled_from(["", "\r", "  ", "\t#x"]),
)
TABLES = st.tuples(st.lists(LINES).map("\n".join), st.sampled_from(["", "\n"])).map("".join)
WANTED = st.dictionaries(
    st.sampled_from(["a", "postmaster", "c d", "new", "\u00e9", "k", "A"]),
    st.lists(st.sampled_from([target(text) for text in ("x", "alice", "y@z", "|/p q")]), unique=True),
).filter(lambda names: not {"a", "A"} <= set(names))


@pytest.mark.parametrize("few", [0, lines.FEW], ids=["by an index", "by search"])
@given(text=TABLES, names=WANTED, exact=st.booleans())
def test_an_edit_does_what_reading_the_whole_table_would_do(few, text, names, exact):
    before = parse(text)
    after = whole_table.edit(before, names, exact)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(lines, "FEW", few)
        found = edit(octets(text), names, exact)
    assert found.after() == octets(str(after))
    folded = [name.lower() for name in names]
    assert found.states == whole_table.states(before, after, folded)
    entries = whole_table.entries(after)
    assert found.loop == cycle(folded, lambda name: entries[name].targets if name in entries else ())
    assert not edit(found.after(), names, exact).changes


@given(
    TABLES,
    st.sampled_from(["a b\n", '"\n', "a\n", "b: (\n", 'c: "x\n', ": x\n", "\u00e9 (\n", "\x00\n"]),
    WANTED,
)
def test_a_line_that_is_not_managed_stays_whatever_it_says(text, broken, names):
    names = {name: found for name, found in names.items() if name.lower() != "a"}
    text = text + "\n" if text and not text.endswith("\n") else text
    without = edited(text + "d: e\n", names)
    assert edited(text + broken + "d: e\n", names) == without.replace("d: e\n", broken + "d: e\n")


@given(TABLES, WANTED, st.booleans())
def test_the_lines_around_the_changes_show_all_changes_of_a_small_table(text, names, exact):
    found = edit(octets(text), names, exact)
    shown, more = hunks(found)
    rows = LINE.findall(octets(text).decode("utf-8", "replace"))
    for hunk in reversed(shown):
        first = hunk.line - 1
        rows[first : first + len(LINE.findall(hunk.before))] = [hunk.after]
    assert more == 0
    assert "".join(rows) == found.after().decode("utf-8", "replace")


def test_of_a_large_table_the_lines_around_the_changes_are_shown_and_no_others():
    text = "".join(f"user{number}: x\n" for number in range(1000))
    shown, more = hunks(edit(octets(text), wanted(user500=["y"], new=["z"])))
    assert more == 0
    assert [(hunk.line, hunk.before.count("\n"), hunk.after.count("\n")) for hunk in shown] == [
        (498, 7, 7),
        (998, 3, 4),
    ]
    assert "user500: x" in shown[0].before
    assert "user500: y" in shown[0].after
    assert shown[1].after.endswith("user999: x\nnew: z\n")


@pytest.mark.parametrize(
    "text", ["# c\na: b\n" * 20_000, "".join(f"u{n}: x\n" for n in range(20_000)), "a: " + "b" * 10**6 + "\n"]
)
def test_what_is_shown_of_an_edit_is_bounded(text):
    found = edit(octets(text), wanted(new=["x"]), exact=True)
    shown, more = hunks(found)
    assert len(shown) <= edits.MOST_HUNKS
    assert sum(len(hunk.before) + len(hunk.after) for hunk in shown) < 3 * edits.LONGEST
    assert more or "more octets" in shown[-1].before
    assert len(found.states) <= edits.MOST_NAMES + 1
    assert found.removed == text.count(":")


# What no reader of tables understands, and what people and other programs have written into them all the same.
ODD = {
    "a mark of the byte order": "\ufeffroot: alice\n",
    "a reply of Exim with an open parenthesis": "bob: :fail: Gone (see web\n",
    "the same as a line of its own": ":fail: Gone (see web\n",
    "no colon": "bob alice\n",
    "one word": "bob\n",
    "a continuation of nothing": "  bob: alice\n",
    "an open quote": '"bob: alice\n',
    "an open quote behind the colon": 'bob: "alice\n',
    "no name": ": alice\n",
    "a name of postfix's kind": "root = alice\n",
    "octets that are no text": "m\udcfcller: bob\n",
    "NUL": "a\0b: c\n",
    "lines of two kinds": "b: c\r\nfoo\r\n",
    "a line that something odd continues": "bob\n  (alice\n",
    "UTF-16": "\udcff\udcfea\0:\0 \0b\0\n\0",
}


@pytest.mark.parametrize("odd", ODD.values(), ids=list(ODD))
@pytest.mark.parametrize(("before", "behind"), [("", ""), ("", "d: e\n"), ("# c\nd: e\n", "# f\n")])
def test_a_line_that_nobody_understands_stops_nothing_and_stays_as_it_is(odd, before, behind):
    found = edited(before + odd + behind, wanted(postmaster=["alice"]))
    end = "\r\n" if odd.endswith("\r\n") and not before else "\n"
    gap = "" if (odd + behind).endswith("\n") else "\n"
    assert found == f"{before}{odd}{behind}{gap}postmaster: alice{end}"


@pytest.mark.parametrize("odd", ODD.values(), ids=list(ODD))
def test_exact_takes_such_a_line_out_unless_no_mta_reads_it(odd):
    kept = odd if odd.startswith(" ") else ""
    assert edited(odd, wanted(d=["x"]), exact=True).replace("\r", "") == f"{kept}d: x\n"


@pytest.mark.parametrize("few", [0, lines.FEW], ids=["by an index", "by search"])
@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("# x\nb: c\na: d,\n (e\nf: g\n", "# x\nb: c\na: z\nf: g\n"),
        ("a: :fail: Gone (see web\n# x\n", "a: z\n# x\n"),
        # Exim and OpenSMTPD read these as entries, and would not come to one behind them
        ("A b\nab c\na-b c\n", "a: z\nab c\na-b c\n"),
        ("c: d\na\tb\n  c\n# x\na\n", "c: d\na: z\n# x\n"),
        ("a = b\na: z\n", "a: z\n"),
        ("a\n", "a: z\n"),
        ("a b: c\n", "a: z\n"),
        ('"A" :\t"|/bin/x\n# x\n  y\n', '"A" :\tz\n# x\n'),
    ],
)
def test_a_managed_entry_that_cannot_be_read_gets_its_targets_in_its_place(text, after, few, monkeypatch):
    monkeypatch.setattr(lines, "FEW", few)
    assert edited(text, wanted(a=["z"])) == after


def test_exact_counts_what_is_no_entry_and_names_it_by_what_it_says():
    found = edit(b"a: b\n\nwhat is this\n", wanted(a=["b"]), exact=True)
    assert (found.removed, found.states) == (1, {"a": "present", "what is this": "removed"})


EDITS = {
    "a new entry comes last": ("a: b\n", {"c": ["d", "e@f"]}, "a: b\nc: d, e@f\n"),
    "a new entry after a last line without an end": ("a: b", {"c": ["d"]}, "a: b\nc: d\n"),
    "a new entry takes the table's line ends": ("a: b\r\n", {"c": ["d"]}, "a: b\r\nc: d\r\n"),
    "a new table": ("", {"c": ["d"]}, "c: d\n"),
    "a name that wants quotes": ("", {"a b": ["c"]}, '"a b": c\n'),
    "a changed entry keeps its place, spelling and gap": (
        "# x\nA:\tb\n# y\nc: d\n",
        {"a": ["z"]},
        "# x\nA:\tz\n# y\nc: d\n",
    ),
    "a changed entry keeps the comments in it": ("a: b,\n# x\n c\n# y\n", {"a": ["z"]}, "a: z\n# x\n# y\n"),
    "a changed entry keeps its line end": ("a: b,\r\n c\r\n", {"a": ["z"]}, "a: z\r\n"),
    "an entry that says so is not touched": ("a : b,\n\t(x) c", {"a": ["b", "c"]}, "a : b,\n\t(x) c"),
    "a value where there was none": ("a:\nc: d\n", {"a": ["z"]}, "a: z\nc: d\n"),
    "a value on the next line": ("a:\n  b\n", {"a": ["z"]}, "a: z\n"),
    "a colon on the next line": ("a\n : b\n", {"a": ["z"]}, "a: z\n"),
    "double entries become one": ("a: b\nc: d\nA: e\n", {"a": ["z"]}, "a: z\nc: d\n"),
    "double entries of which the first says so": ("a: z\nA: e\n# x\n", {"a": ["z"]}, "a: z\n# x\n"),
    "double targets become one": ("", {"a": ["b", "b"]}, "a: b\n"),
    "an entry that is not wanted": ("a: b,\n# x\n c\n# y\nd: e\n", {"a": []}, "# x\n# y\nd: e\n"),
    "no value, which is not wanted": ("a:\nb: c\n", {"a": []}, "b: c\n"),
    "letter case of a name that is wanted": ("a: b\n", {"A": ["b"]}, "a: b\n"),
}


@pytest.mark.parametrize(("before", "names", "after"), EDITS.values(), ids=EDITS)
def test_an_edit_in_place(before, names, after):
    assert edited(before, wanted(**names)) == after


def test_exact_removes_other_entries_and_keeps_comments():
    table = "# x\na: b,\n# y\n c\nd: e\n# z\nf:\n"
    assert edited(table, wanted(d=["e"]), exact=True) == "# x\n# y\nd: e\n# z\n"


@pytest.mark.parametrize("name", ["", "a\nb", "a\x00", "a\u2028", "a\u202e", "\ufeffa", "a\ud800"])
def test_a_name_that_cannot_stand_in_a_table_is_refused_by_its_value(name):
    with pytest.raises(ValueError, match="^" + re.escape(repr(name))):
        edit(b"", {name: [target("b")]})


def test_a_target_that_cannot_stand_in_a_table_is_refused_by_its_value():
    with pytest.raises(ValueError, match=r"'\|/x\\n'"):
        edit(b"", {"a": [Target("pipe", "/x\n")]})


def test_names_that_differ_in_letter_case_only_are_refused():
    with pytest.raises(ValueError, match="'A', 'a'"):
        edit(b"", wanted(a=["b"], A=["c"]))


def test_every_state_of_a_name():
    before = b"a: b\nc: d\ne: f\ng: h\n"
    names = wanted(a=["b"], c=["z"], e=[], new=["y"], none=[])
    assert edit(before, names, exact=True).states == {
        "a": "present",
        "c": "changed",
        "e": "removed",
        "new": "added",
        "none": "absent",
        "g": "removed",
    }


CYCLES = {
    "none": ("a: b\nb: c", "a", []),
    "of two": ("a: b\nb: a", "a", ["a", "b", "a"]),
    "in other letters": ("a: B\nb: A", "a", ["a", "b", "a"]),
    "reached on the way": ("a: b\nb: c\nc: x, d\nd: b", "a", ["b", "c", "d", "b"]),
    "behind a branch that ends": ("a: x, y, b\nb: a", "a", ["a", "b", "a"]),
    "not reached": ("a: b\nc: d\nd: c", "a", []),
    "two ways to one end": ("a: b, c\nb: d\nc: d", "a", []),
    "the account of the same name": ("a: a, b", "a", []),
    "an account, whatever the table says": ("a: b\nb: \\a", "a", []),
    "an address": ("a: b\nb: a@x", "a", []),
    "a file and a program": ('a: /b, "|b"\nb: a', "a", []),
    "an entry that does not count": ("a: b\nb: c\nb: a", "a", []),
}


@pytest.mark.parametrize(("text", "start", "members"), CYCLES.values(), ids=CYCLES)
def test_a_loop_is_named_whole(text, start, members):
    assert loop(text, [start]) == members


GRAPHS = st.dictionaries(st.sampled_from("abcdef"), st.lists(st.sampled_from("abcdef"), min_size=1, max_size=3))


@given(GRAPHS, st.lists(st.sampled_from("abcdef"), min_size=1))
def test_a_loop_is_found_wherever_one_is_reached(graph, names):
    found = loop("".join(f"{name}: {', '.join(targets)}\n" for name, targets in graph.items()), names)
    edges = {name: set(targets) - {name} for name, targets in graph.items()}

    def reached(start):
        seen, new = set(), set(edges.get(start, ()))
        while new:
            seen |= new
            new = set().union(*(edges.get(name, ()) for name in new)) - seen
        return seen

    near = set(names).union(*map(reached, names))
    assert bool(found) == any(name in reached(name) for name in near)
    assert all(target in edges[name] for name, target in zip(found, found[1:]))
    assert found[:1] == found[-1:]


def test_the_end_that_a_last_line_is_given_is_no_change_of_its_entry():
    assert edit(b"a: b", wanted(a=["b"], c=["d"])).states == {"a": "present", "c": "added"}


def test_a_long_chain_is_walked():
    assert loop("".join(f"n{number}: n{number + 1}\n" for number in range(5000)), ["n0"]) == []
