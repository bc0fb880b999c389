# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A value has one canonical form, or none and an error that says what is allowed."""

from __future__ import annotations

import re

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils import canonical
from hypothesis import given
from hypothesis import strategies as st

CANONICAL = [
    (canonical.domain, "Example.ORG", "example.org"),
    (canonical.domain, "bücher.example", "xn--bcher-kva.example"),
    (canonical.domain, "example\uff0eorg", "example.org"),  # a full stop as wide as an ideograph
    (canonical.domain, "\uff45xample.org", "example.org"),
    (canonical.domain, "1.example", "1.example"),
    (canonical.domain, "Example.ORG.", "example.org"),
    (canonical.domain, "bücher.example。", "xn--bcher-kva.example"),
    (canonical.next_hop, "primary.example.com.:26", "[primary.example.com]:26"),
    (canonical.target, "alice@example.org.", "alice@example.org"),
    (canonical.address, "192.0.2.1", "192.0.2.1"),
    (canonical.address, "2001:DB8:0:0::1", "2001:db8::1"),
    (canonical.network, "192.0.2.0/24", "192.0.2.0/24"),
    (canonical.network, "192.0.2.0/255.255.255.0", "192.0.2.0/24"),
    (canonical.network, "192.0.2.7", "192.0.2.7/32"),
    (canonical.network, "2001:DB8::/32", "2001:db8::/32"),
    (canonical.listener, "all", "all"),
    (canonical.listener, "loopback", "loopback"),
    (canonical.listener, "2001:DB8::1", "2001:db8::1"),
    (canonical.next_hop, "Primary.Example.com:25", "[primary.example.com]"),
    (canonical.next_hop, "primary.example.com:02525", "[primary.example.com]:2525"),
    (canonical.next_hop, "[IPv6:2001:DB8::7]:26", "[2001:db8::7]:26"),
    (canonical.next_hop, "2001:DB8::7", "[2001:db8::7]"),
    (canonical.account, "Alice", "alice"),
    (canonical.account, "_apt", "_apt"),
    (canonical.account, "7", "7"),
    (canonical.account, "Alice+Tag", "alice+tag"),
    (canonical.account, "a.b+c.d_-", "a.b+c.d_-"),
    (canonical.local_part, "o'brien", "o'brien"),
    (canonical.local_part, "bounce+x=example.org", "bounce+x=example.org"),
    (canonical.target, "alice", "alice"),
    (canonical.target, "Alice@Example.ORG", "Alice@example.org"),
    (canonical.target, "r&d@bücher.example", "r&d@xn--bcher-kva.example"),
    (canonical.reason, "floods since May (2026)", "floods since May (2026)"),
    (canonical.day, "2026-12-31", "2026-12-31"),
    (canonical.text, "a `b` ${c} é 邮", "a `b` ${c} é 邮"),
]

SCOPES = ["fe80::1%eth0", "fe80::1%", "fe80::1%x ; 0.0.0.0", "fe80::1%x\n[::]", "fe80::1%25x", "::1%1"]
NOT_ADDRESSES = [
    *SCOPES,
    *("", " ", "192.0.2.1 ", "192.0.2.1\n", "192.0.2.01", "192.0.2.256", "192.0.2", "0x7f.0.0.1", "2130706433"),
    *("٣.٣.٣.٣", "\uff1192.0.2.1", "192。0。2。1", "192.0.2.1\x00", "::ffff:192.0.2.1", "[::1]", "2001:db8:::1", "::g"),
]
NOT_LOCAL_PARTS = [
    *(
        "",
        ".a",
        "a.",
        "a..b",
        "a b",
        "a@b",
        "a\n",
        "a\x00",
        "é",
        "\uff41",
        "a" * 65,
        '"a"',
        "a\\b",
        "a,b",
        "a;b",
        "a:b",
    ),
    *("|/tmp/x", "/tmp/x", ":include:/x", "-x", "+x", "#a", "a#b", "a%b", "a!b", "a|b", "a`b", "a$b", "a{b", "a}b"),
    *(
        "${run{/x}}",
        "*",
        "a*",
        "a?",
        "a^b",
        "<a",
        "a>",
        "(a)",
        "[a]",
        "~a",
        "&a",
        "'a",
        "a\u202eb",
        "a\ufeff",
        "a\udc80",
    ),
]
NOT_ACCOUNTS = [
    *("", "al ice", "alice\n", "alice.", ".alice", "a..b", "-alice", "al/ice", "/x", "|x", "alice'", "álice", "a" * 65),
    *("alice+", "+tag", "alice++", "a+b+c", "alice+.a", "alice+a..b", "alice+/x", "alice+a b"),
]
NOT_DOMAINS = [
    *(
        "",
        "mx1",
        "mx1.",
        "example.org..",
        ".",
        "example..org",
        "-a.example",
        "exa mple.org",
        "example.org\n",
        "_dmarc.example.org",
    ),
    *(
        "192.0.2.1",
        "127.0.0.0x1",
        "1.0x",
        "a.0x7f",
        "example.org%x",
        "[192.0.2.1]",
        "a\x00.org",
        "a\udc80.org",
        "a\ufeff",
    ),
    *("é" * 80 + ".org", "é" * 1_000_000 + ".org", "a." * 127 + "org"),
]
REFUSED = [
    *((form, value) for form in (canonical.address, canonical.listener) for value in NOT_ADDRESSES),
    *((canonical.network, value) for value in NOT_ADDRESSES if value != "2130706433"),
    *(
        (canonical.network, value)
        for value in ("192.0.2.1/24", "::/0%x", "fe80::%x/64", "::ffff:0:0/96", "192.0.2.0/٢٤")
    ),
    *(
        (canonical.network, value)
        for value in ("192.0.2.0/24\n", "192.0.2.0/24 ; 0.0.0.0/0", "192.0.2.0/33", "2130706433")
    ),
    *((canonical.next_hop, value) for value in (*SCOPES, *(f"[{scope}]" for scope in SCOPES), "::ffff:192.0.2.1")),
    *(
        (canonical.next_hop, value)
        for value in ("mx.example.org:٢٥", "mx.example.org:25\n", "mx.example.org:65536", "mx")
    ),
    *((canonical.next_hop, value) for value in ("192.0.2.01", "127.0.0.0x1", "a]b.example", "[mx.example.org", "")),
    *((canonical.local_part, value) for value in NOT_LOCAL_PARTS),
    *((canonical.account, value) for value in NOT_ACCOUNTS),
    *((canonical.target, value) for value in NOT_ACCOUNTS),
    *((canonical.target, f"{value}@example.edu") for value in NOT_LOCAL_PARTS),
    *((canonical.target, f"alice@{value}") for value in NOT_DOMAINS),
    *((canonical.domain, value) for value in NOT_DOMAINS),
    *(
        (canonical.reason, value)
        for value in ("", " a", "a\n", "a" * 81, "a\u00a0b", "é", "a%", "a'b", 'a"b', "a`b", "a$b")
    ),
    *((canonical.reason, value) for value in ("a{b", "a#b", "a,b", "a;b", "a:b", "a\\", "a\u202eb", "a\udc80")),
    *(
        (canonical.day, value)
        for value in ("", "20261231", "2026-W53-4", "2026-02-30", "2026-12-31\n", "٢٠٢٦-12-31", "soon")
    ),
    *((canonical.day, value) for value in ("2026-12-31 00:00:00", "2026-1-1", "0000-01-01", "12026-01-01")),
    *(
        (canonical.text, f"a{sign}b")
        for sign in "\n\r\t\v\f\x00\x1b\x7f\x85\x9b\xad\u2028\u2029\u200b\u200e\u202e\u2066"
    ),
    *((canonical.text, f"a{sign}b") for sign in "\ufeff\u061c\ufff9\U000e0041\ud800\udc80\udfff"),
]


def said(found):
    return found.__name__ if callable(found) else ascii(found)[:40]


@pytest.mark.parametrize(("form", "value", "wanted"), CANONICAL, ids=said)
def test_a_value_gets_its_canonical_form(form, value, wanted):
    assert form(value) == wanted
    assert form(wanted) == wanted or form is canonical.next_hop


@pytest.mark.parametrize(("form", "value"), REFUSED, ids=said)
def test_what_has_no_canonical_form_is_refused_with_all_that_is_allowed(form, value):
    with pytest.raises(ValueError, match=r"^(an? |all, |the |text |1 to 80)") as error:
        form(value)
    assert not isinstance(error.value, UnicodeError)


MEANINGS = {
    "#sales": "a comment",
    "a%b": "a route to another host",
    "a!b": "a route to another host",
    "/sales": "for a file",
    "|sales": "for a program",
    ":fail:": "the beginning of a list",
    "-sales": "Postfix refuses what begins with -",
    "+sales": "what follows it a tag",
    "*": "catch-all of a virtual domain",
    "sales*": "no pattern",
    "${x}": "variables and commands",
    "a`b": "variables and commands",
    "büro": "letters are those of ASCII",
    ".a": "a dot stands between",
    "a.": "a dot stands between",
    "a..b": "a dot stands between",
    "a b": "would need quotes",
    '"a"': "would need quotes",
}


@pytest.mark.parametrize(("value", "why"), MEANINGS.items())
def test_a_local_part_that_an_mta_cannot_take_is_refused_with_what_it_would_make_of_it(value, why):
    for form, text in ((canonical.local_part, value), (canonical.target, f"{value}@example.edu")):
        with pytest.raises(ValueError, match=f"; .*{re.escape(why)}"):
            form(text)


@pytest.mark.parametrize("value", ["", "a" * 65, "a" * 1_000_000, "a." * 500_000])
def test_a_local_part_of_which_there_is_nothing_to_say_is_refused_all_the_same(value):
    with pytest.raises(ValueError, match="at most 64 characters; it begins with a letter, a digit or _"):
        canonical.local_part(value)


FORMS = [
    canonical.domain,
    canonical.address,
    canonical.network,
    canonical.listener,
    canonical.next_hop,
    canonical.account,
    canonical.local_part,
    canonical.target,
    canonical.reason,
    canonical.day,
]
# What the MTAs' languages read as more than text; the scope of an address and the rest of a line are begun by some.
SIGNS = set('"`$\\{}<>;,|!%#*?^\n\r\t\x00')
PIECES = st.sampled_from(
    [
        "a",
        "example.org",
        "@",
        "%",
        "[",
        "]",
        ":",
        "/",
        ".",
        "fe80::1",
        "192.0.2.1",
        "/24",
        "0",
        "\n",
        " ",
        "|",
        "x ; y",
        "٣",
    ]
)


@given(st.sampled_from(FORMS), st.one_of(st.text(), st.lists(PIECES, max_size=6).map("".join)))
def test_no_sign_gets_through_that_means_more_than_itself(form, value):
    try:
        found = form(value)
    except ValueError:
        return
    assert found.isascii()
    assert found.isprintable()
    assert not set(found) & SIGNS
    assert " " not in found or form is canonical.reason
