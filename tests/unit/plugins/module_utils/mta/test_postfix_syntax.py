# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How Postfix reads addresses and lists."""

from __future__ import annotations

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.postfix_syntax import (
    address_keys,
    addresses,
    elements,
    expand,
    ports,
    services,
    split_extension,
    transport_keys,
)
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", []),
        ("alice", ["alice"]),
        ("alice, bob", ["alice", "bob"]),
        ("alice bob", ["alice", "bob"]),
        ("alice,,bob,", ["alice", "bob"]),
        (r"\alice", ["alice"]),
        ('"|/bin/prog a, b"', ["|/bin/prog a, b"]),
        ("|/bin/prog", ["|/bin/prog"]),
        ("/var/mail/x, :include:/etc/list", ["/var/mail/x", ":include:/etc/list"]),
        ("Alice Smith <alice@a.example>, bob", ["alice@a.example", "bob"]),
        ("alice (a (nested) comment), bob", ["alice", "bob"]),
        ('"first last"@a.example', ["first last@a.example"]),
        ("x@[192.0.2.1]", ["x@[192.0.2.1]"]),
        ("@a.example:x@b.example", ["@a.example:x@b.example"]),
        ("# text", ["#", "text"]),
        ('"unclosed', ["unclosed"]),
        ("(unclosed", []),
    ],
)
def test_a_right_hand_side_is_read_as_postfix_reads_it(text, wanted):
    assert addresses(text) == wanted


@given(st.text())
def test_any_text_is_read(text):
    assert all(addresses(text))


@given(st.lists(st.from_regex(r"[a-z0-9._+-]{1,8}@[a-z.]{1,8}", fullmatch=True)))
def test_a_list_of_plain_addresses_comes_back_as_it_was(members):
    assert addresses(", ".join(members)) == members


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("hash:/etc/a, hash:/etc/b", ["hash:/etc/a", "hash:/etc/b"]),
        ("inline:{ {a = b c}, {d = e} } hash:/x", ["inline:{ {a = b c}, {d = e} }", "hash:/x"]),
        (" ,a,, b\tc", ["a", "b", "c"]),
    ],
)
def test_braces_keep_an_element_together(text, wanted):
    assert elements(text) == wanted


@pytest.mark.parametrize(
    ("local", "delimiters", "wanted"),
    [
        ("alice+x", "+", ("alice", "+x")),
        ("alice+x-y", "+-", ("alice", "+x-y")),
        ("alice", "+", ("alice", "")),
        ("alice+x", "", ("alice+x", "")),
        ("+x", "+", ("+x", "")),
        ("postmaster", "t", ("postmaster", "")),
        ("owner-list", "-", ("owner-list", "")),
        ("list-request", "-", ("list-request", "")),
        ("list-x", "-", ("list", "-x")),
    ],
)
def test_an_extension_is_split_off_at_the_first_delimiter(local, delimiters, wanted):
    assert split_extension(local, delimiters) == wanted


def test_a_virtual_alias_is_looked_up_in_postfix_s_order():
    keys = [key.text for key in address_keys("a+x@d.example", "+", True)]
    assert keys == ["a+x@d.example", "a@d.example", "a+x", "a", "@d.example"]
    assert [key.text for key in address_keys("a@d.example", "+", False)] == ["a@d.example", "@d.example"]


def test_a_transport_is_looked_up_in_postfix_s_order():
    keys = [key.text for key in transport_keys("a+x@s.d.example", "+", False)]
    assert keys == ["a+x@s.d.example", "a@s.d.example", "s.d.example", ".d.example", ".example", "*"]
    assert [key.text for key in transport_keys("a@s.d", "", True)] == ["a@s.d", "s.d", "d", "*"]


@pytest.mark.parametrize(
    ("pattern", "values", "wanted"),
    [
        ("$home/.forward", {"home": "/h"}, "/h/.forward"),
        ("${home}/.forward", {"home": "/h"}, "/h/.forward"),
        ("$(home)/x", {"home": "/h"}, "/h/x"),
        ("$home/.forward${sign}${extension}", {"home": "/h", "sign": "+", "extension": None}, None),
        ("x${extension?+$extension}", {"extension": "e"}, "x+e"),
        ("x${extension?+$extension}", {"extension": None}, "x"),
        ("x${extension:none}", {"extension": None}, "xnone"),
        ("x${extension:none}", {"extension": "e"}, "x"),
    ],
)
def test_a_setting_s_names_are_filled_in(pattern, values, wanted):
    assert expand(pattern, values) == wanted


def test_the_services_of_master_cf_are_read_with_their_options():
    text = "# c\nsmtp inet n - y - - smtpd\n\nfilter unix - n n - - pipe\n  -o a=b\n# c\n  argv=/bin/f x\n"
    assert services(text, "unix") == {"filter": "pipe -o a=b argv=/bin/f x"}
    assert services(text, "inet") == {"smtp": "smtpd"}


def test_a_service_is_on_the_port_of_its_name():
    assert ports(["smtp", "[::1]:submission", "10.0.0.1:2525", "465", "unknown"]) == {25, 587, 2525, 465}
