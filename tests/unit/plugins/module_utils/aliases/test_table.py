# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a table says, and how it is written."""

from __future__ import annotations

import re

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils.aliases.table import (
    Entry,
    ParseError,
    Target,
    new_entry,
    parse,
    render,
    target,
)
from ansible_collections.mailops.postmaster.plugins.module_utils.shown import BREAKS, HIDDEN
from hypothesis import given
from hypothesis import strategies as st


def entries(text):
    return [part for part in parse(text).parts if isinstance(part, Entry)]


def said(text):
    """Name to targets, each in the way that ``str()`` shows it, with its kind."""
    return {entry.name: [f"{found.kind}:{found}" for found in entry.targets] for entry in entries(text)}


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
    "text",
    [
        "",
        " ",
        "a, b",
        "a b",
        "a\nb",
        "a\tb",
        "a\x00",
        "|x\r\n",
        "/x\x7f",
        '"a',
        "a(",
        "(a)",
        "a\x85",
        "a\u202e",
        "\ufeffa",
        "\ud800",
    ],
)
def test_what_is_not_one_target_is_refused_by_its_value(text):
    with pytest.raises(ValueError, match="^" + re.escape(repr(text))):
        target(text)


PRINTABLE = st.text(min_size=1, max_size=20).filter(lambda text: not (BREAKS.search(text) or HIDDEN.search(text)))
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
    (entry,) = entries(new_entry(name, targets))
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
