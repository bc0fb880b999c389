# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A table survives a round trip to the byte, and an edit changes what it must and nothing else."""

from __future__ import annotations

import re

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils.aliases.table import (
    Entry,
    ParseError,
    Target,
    cycle,
    edit,
    parse,
    render,
    states,
    target,
)
from hypothesis import given
from hypothesis import strategies as st


def entries(text):
    return [part for part in parse(text).parts if isinstance(part, Entry)]


def said(text):
    """Name to targets, each in the way that ``str()`` shows it, with its kind."""
    return {entry.name: [f"{found.kind}:{found}" for found in entry.targets] for entry in entries(text)}


def wanted(**names):
    return {name: [target(text) for text in texts] for name, texts in names.items()}


GRAMMAR = {
    "a name": ("a: b", {"a": ["name:b"]}),
    "several, by comma and by blank": ("a: b, c d,e", {"a": ["name:b", "name:c", "name:d", "name:e"]}),
    "a comma too many": ("a: b,, c,", {"a": ["name:b", "name:c"]}),
    "an address": ("a: b@c.example", {"a": ["address:b@c.example"]}),
    "no value": ("a:", {"a": []}),
    "an empty quoted value": ('a: ""', {"a": []}),
    "letter case of the name": ("POSTmaster: Bob", {"postmaster": ["name:Bob"]}),
    "white space around the colon": ("a\t : \tb\t", {"a": ["name:b"]}),
    "a quoted name": ('"a: b@c, \\"d": e', {'a: b@c, "d': ["name:e"]}),
    "a name with a domain": ("a@b.example: c", {"a@b.example": ["name:c"]}),
    "a quoted local part": ('a: "b c"@d.example', {"a": ["address:b c@d.example"]}),
    "a quoted name that looks like an address": ('a: "b@c"', {"a": ["name:b@c"]}),
    "a quoted target": ('a: "b c", d', {"a": ["name:b c", "name:d"]}),
    "an account": ("a: \\b", {"a": ["name:\\b"]}),
    "a quoted account": ('a: "\\\\b"', {"a": ["name:\\b"]}),
    "a needless backslash": ("a: b\\c", {"a": ["name:bc"]}),
    "a program": ('a: "|/bin/x -a \\"b, c\\" d"', {"a": ['pipe:|/bin/x -a "b, c" d']}),
    "a program without quotes": ("a: |/bin/x", {"a": ["pipe:|/bin/x"]}),
    "a program with quotes after its mark": ('a: |"/bin/x -a"', {"a": ["pipe:|/bin/x -a"]}),
    "a file": ("a: /var/mail/x", {"a": ["file:/var/mail/x"]}),
    "an included list": ("a: :include:/etc/x", {"a": ["include::include:/etc/x"]}),
    "an included list in capitals": ("a: :Include:/etc/x", {"a": ["include::include:/etc/x"]}),
    "a quoted included list": ('a: ":INCLUDE:/etc/x y"', {"a": ["include::include:/etc/x y"]}),
    "a black hole": ("a: :blackhole:", {"a": ["name::blackhole:"]}),
    "a comment in parentheses": ("a: b (the (big\\)) boss, c), d", {"a": ["name:b", "name:d"]}),
    "an address with a phrase": ('a: "B, C" D <b@c.example>, e', {"a": ["address:b@c.example", "name:e"]}),
    "a hash within a line": ("a: b #c", {"a": ["name:b", "name:#c"]}),
    "continuation lines": ("a: b,\n\tc,\n d\ne: f", {"a": ["name:b", "name:c", "name:d"], "e": ["name:f"]}),
    "comments and empty lines within": ("a: b,\n# x\n\n  # y\n c\n", {"a": ["name:b", "name:c"]}),
    "a value that begins on the next line": ("a:\n b", {"a": ["name:b"]}),
    "a colon on the next line": ("a\n : b", {"a": ["name:b"]}),
    "a program over three lines": ('a: "|/bin/x\n  -a\n -b"', {"a": ["pipe:|/bin/x  -a -b"]}),
    "lines ended by CR and LF": ("a: b,\r\n c\r\n\r\nd: e\r\n", {"a": ["name:b", "name:c"], "d": ["name:e"]}),
    "bytes that are no text": ("\udcff: \udcfe", {"\udcff": ["name:\udcfe"]}),
    "signs that only Unicode takes for white space": ("a\u00a0b: c\u2003d", {"a\u00a0b": ["name:c\u2003d"]}),
    "nothing": ("", {}),
    "comments only": ("# a: b\n\n  \n   # c", {}),
}


@pytest.mark.parametrize(("text", "expected"), GRAMMAR.values(), ids=GRAMMAR)
def test_what_a_table_says(text, expected):
    assert said(text) == expected
    assert str(parse(text)) == text


ERRORS = {
    "no colon": ("# x\n\na b\n", 3, "name: targets"),
    "two words before the colon": ("a: b\nc d: e\n", 2, "name: targets"),
    "no name": (": b", 1, "name: targets"),
    "an empty name": ('"": b', 1, "name: targets"),
    "a comma in a name": ("a,b: c", 1, "name: targets"),
    "a name's quote left open": ('\n"a: b\n', 2, "name: targets"),
    "a quote left open": ('a: b,\n "c\nd: e', 1, "'\"' has no counterpart"),
    "a comment left open": ("a: b (c\nd: e)", 1, "'(' has no counterpart"),
    "a comment that was not opened": ("a: b)", 1, "')' has no counterpart"),
    "a backslash at the end": ("a: b\\", 1, "has no counterpart"),
    "a continuation of nothing": ("# x\n b", 2, "begins with white space"),
}


@pytest.mark.parametrize(("text", "line", "reason"), ERRORS.values(), ids=ERRORS)
def test_a_mistake_is_reported_with_its_line(text, line, reason):
    with pytest.raises(ParseError) as error:
        parse(text)
    assert error.value.line == line
    assert reason in error.value.reason
    assert str(error.value) == f"line {line}: {error.value.reason}"


def test_an_entry_has_the_number_of_its_first_line():
    assert [entry.line for entry in entries("# x\na: b,\n c\n\nd: e\n")] == [2, 5]


def test_of_a_name_that_occurs_twice_the_first_entry_counts():
    assert parse("a: b\nA: c\n").entries["a"].targets == (Target("name", "b"),)


TARGETS = {
    "alice": ("name", "alice", "alice"),
    "Alice": ("name", "Alice", "Alice"),
    "\\alice": ("name", "\\alice", '"\\\\alice"'),
    '"a b"': ("name", "a b", '"a b"'),
    "a#b": ("name", "a#b", '"a#b"'),
    '"a@b"': ("name", "a@b", '"a@b"'),
    ":blackhole:": ("name", ":blackhole:", ":blackhole:"),
    "bob@b.example": ("address", "bob@b.example", "bob@b.example"),
    '"a b"@c.example': ("address", "a b@c.example", '"a b"@c.example'),
    "bob@[192.0.2.1]": ("address", "bob@[192.0.2.1]", "bob@[192.0.2.1]"),
    "bob@[IPv6:2001:db8::1]": ("address", "bob@[IPv6:2001:db8::1]", "bob@[IPv6:2001:db8::1]"),
    "/var/mail/x": ("file", "/var/mail/x", "/var/mail/x"),
    "/var/mail/x y": ("file", "/var/mail/x y", '"/var/mail/x y"'),
    "|/bin/x": ("pipe", "/bin/x", '"|/bin/x"'),
    '|/bin/x -a "b c"': ("pipe", '/bin/x -a "b c"', '"|/bin/x -a \\"b c\\""'),
    '"|/bin/x -a"': ("pipe", "/bin/x -a", '"|/bin/x -a"'),
    ":include:/etc/x": ("include", "/etc/x", ":include:/etc/x"),
    ":include:/etc/x y": ("include", "/etc/x y", '":include:/etc/x y"'),
}


@pytest.mark.parametrize(("text", "kind", "value", "written"), [(k, *v) for k, v in TARGETS.items()], ids=TARGETS)
def test_a_target_is_written_with_the_quotes_of_its_kind(text, kind, value, written):
    assert target(text) == Target(kind, value)
    assert render(target(text)) == written
    assert target(written) == target(text)


@pytest.mark.parametrize(
    "text", ["", " ", "a, b", "a b", "a\nb", "a\tb", "a\x00", "|x\r\n", "/x\x7f", '"a', "a(", "(a)", "a\x85"]
)
def test_what_is_not_one_target_is_refused_by_its_value(text):
    with pytest.raises(ValueError, match="^" + re.escape(repr(text))):
        target(text)


PRINTABLE = st.text(st.characters(min_codepoint=32, exclude_categories=["Cc", "Zl", "Zp"]), min_size=1, max_size=20)
ANY_TARGETS = st.one_of(
    PRINTABLE.filter(lambda text: text[0] not in "/|" and text[:9].lower() != ":include:").map(
        lambda text: Target("name", text)
    ),
    PRINTABLE.map(lambda text: Target("pipe", text)),
    PRINTABLE.map(lambda text: Target("file", "/" + text)),
    PRINTABLE.map(lambda text: Target("include", text)),
    st.tuples(PRINTABLE.filter(lambda text: text[0] not in "/|:"), PRINTABLE).map(
        lambda parts: Target("address", "{}@{}".format(parts[0], parts[1].replace("@", "")))
    ),
)


@given(PRINTABLE, st.lists(ANY_TARGETS, min_size=1, unique=True))
def test_what_is_written_reads_as_what_was_meant(name, targets):
    table = edit(parse("# a comment\n"), {name: targets})
    (entry,) = (part for part in table.parts if isinstance(part, Entry))
    assert (entry.name, list(entry.targets)) == (name.lower(), targets)


NAMES = st.sampled_from(["a", "B", "postmaster", '"c d"', "PostMaster"])
VALUES = st.lists(
    st.sampled_from(
        ["x", "y@z", '"|/p q"', "/f", ":include:/l", "\\u", ",", "\n ", "\r\n\t", "(c)", "\n# c\n ", "\n\n "]
    ),
    max_size=5,
).map(" ".join)
LINES = st.one_of(
    st.tuples(NAMES, st.sampled_from([":", " :\t", ": "]), VALUES).map("".join),
    st.text("# ab:\t\r\udcff", max_size=8).map(lambda text: "#" + text),
    st.sampled_from(["", "\r", "  ", "\t#x"]),
)
TABLES = st.tuples(st.lists(LINES).map("\n".join), st.sampled_from(["", "\n"])).map("".join)
WANTED = st.dictionaries(
    st.sampled_from(["a", "postmaster", "c d", "new"]),
    st.lists(st.sampled_from([target(text) for text in ("x", "alice", "y@z", "|/p q")]), unique=True),
)


@given(TABLES)
def test_any_table_survives_a_round_trip_to_the_byte(text):
    assert str(parse(text)) == text


def line_of_a_mistake(text):
    try:
        parse(text)
    except ParseError as error:
        return error.line
    return 1


@given(st.text('a:b ,"\\()<>@#|/\n\r\t\udcff'))
def test_any_text_is_a_table_or_has_a_mistake_in_a_line_that_exists(text):
    assert 1 <= line_of_a_mistake(text) <= text.count("\n") + 1


def texts(table, names):
    """The entries of these names, without the end of the last line, which an edit may have to add."""
    return [part.text.rstrip("\r\n") for part in table.parts if isinstance(part, Entry) and part.name in names]


@given(TABLES, WANTED, st.booleans())
def test_an_edit_says_what_is_wanted_and_keeps_all_else(text, names, exact):
    before = parse(text)
    after = edit(before, names, exact)
    old, new = before.entries, after.entries
    for name, targets in names.items():
        assert list(new[name].targets if name in new else ()) == targets
    for name in set(old) - set(names):
        assert (name in new) is not exact
    kept = set() if exact else set(old) - set(names)
    assert texts(after, set(new) - set(names)) == texts(before, kept)
    for line in text.split("\n"):
        if line.lstrip(" \t\r").startswith("#"):
            assert str(after).count(line) >= text.count(line)
    assert edit(after, names, exact) is after
    found = states(before, after, names)
    assert {name for name in found if found[name] in ("added", "changed", "removed")} == {
        name for name in {*old, *names} if texts(before, {name}) != texts(after, {name})
    }


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
    assert str(edit(parse(before), wanted(**names))) == after


def test_exact_removes_other_entries_and_keeps_comments():
    table = parse("# x\na: b,\n# y\n c\nd: e\n# z\nf:\n")
    assert str(edit(table, wanted(d=["e"]), exact=True)) == "# x\n# y\nd: e\n# z\n"


@pytest.mark.parametrize("name", ["", "a\nb", "a\x00", "a\u2028"])
def test_a_name_that_cannot_stand_in_a_table_is_refused_by_its_value(name):
    with pytest.raises(ValueError, match="^" + re.escape(repr(name))):
        edit(parse(""), {name: [target("b")]})


def test_a_target_that_cannot_stand_in_a_table_is_refused_by_its_value():
    with pytest.raises(ValueError, match=r"'\|/x\\n'"):
        edit(parse(""), {"a": [Target("pipe", "/x\n")]})


def test_names_that_differ_in_letter_case_only_are_refused():
    with pytest.raises(ValueError, match="'A', 'a'"):
        edit(parse(""), wanted(a=["b"], A=["c"]))


def test_every_state_of_a_name():
    before = parse("a: b\nc: d\ne: f\ng: h\n")
    names = wanted(a=["b"], c=["z"], e=[], new=["y"], none=[])
    assert states(before, edit(before, names, exact=True), names) == {
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
    assert cycle(parse(text), [start]) == members


GRAPHS = st.dictionaries(st.sampled_from("abcdef"), st.lists(st.sampled_from("abcdef"), min_size=1, max_size=3))


@given(GRAPHS, st.lists(st.sampled_from("abcdef"), min_size=1))
def test_a_loop_is_found_wherever_one_is_reached(graph, names):
    found = cycle(parse("".join(f"{name}: {', '.join(targets)}\n" for name, targets in graph.items())), names)
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
    before = parse("a: b")
    assert states(before, edit(before, wanted(a=["b"], c=["d"])), ["a", "c"]) == {"a": "present", "c": "added"}


def test_a_long_chain_is_walked():
    assert cycle(parse("".join(f"n{number}: n{number + 1}\n" for number in range(5000))), ["n0"]) == []
