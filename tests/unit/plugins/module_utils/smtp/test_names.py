# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names are put into their normal form, or refused with what is allowed."""

from __future__ import annotations

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils.smtp import names
from hypothesis import given
from hypothesis import strategies as st

NORMAL = [
    (names.domain, "example.org", "example.org"),
    (names.domain, "Example.ORG", "example.org"),
    (names.domain, "localhost", "localhost"),
    (names.domain, "bücher.example", "xn--bcher-kva.example"),
    (names.domain, "1.example", "1.example"),
    (names.literal, "192.0.2.1", "[192.0.2.1]"),
    (names.literal, "2001:DB8:0::1", "[IPv6:2001:db8::1]"),
    (names.literal, "::ffff:192.0.2.1", "[192.0.2.1]"),
    (names.literal, "fe80::1%eth0", "[IPv6:fe80::1]"),
    (names.host, "[192.0.2.1]", "[192.0.2.1]"),
    (names.host, "[ipv6:2001:DB8::1]", "[IPv6:2001:db8::1]"),
    (names.host, "mx.example.org", "mx.example.org"),
    (names.local_part, "abuse", "abuse"),
    (names.local_part, "a.b+c", "a.b+c"),
    (names.mailbox, "", ""),
    (names.mailbox, "me@Example.org", "me@example.org"),
    (names.mailbox, "me@[192.0.2.1]", "me@[192.0.2.1]"),
    (names.server, "mx.example.org", ("mx.example.org", 25)),
    (names.server, "mx.example.org:2525", ("mx.example.org", 2525)),
    (names.server, "192.0.2.1", ("192.0.2.1", 25)),
    (names.server, "192.0.2.1:26", ("192.0.2.1", 26)),
    (names.server, "[192.0.2.1]", ("192.0.2.1", 25)),
    (names.server, "2001:db8::1", ("2001:db8::1", 25)),
    (names.server, "[2001:db8::1]:26", ("2001:db8::1", 26)),
    (names.server, "[IPv6:2001:db8::1]", ("2001:db8::1", 25)),
    (names.server, "fe80::1%eth0", ("fe80::1%eth0", 25)),
    (names.server, "[IPv6:fe80::1%br-0.1]:26", ("fe80::1%br-0.1", 26)),
    (names.server, "[mx.example.org]:26", ("mx.example.org", 26)),
]
REFUSED = [
    *((names.domain, value) for value in ("", ".", "a..b", "-a.example", "a-.example", "a b.example", "a_b.example")),
    *((names.server, f"fe80::1%{zone}") for zone in ("", "x y", "x\n", "x ; 0.0.0.0", "x]", "\u0663", "a" * 16, "x%y")),
    *((names.server, value) for value in ("192.0.2.1%eth0", "[fe80::1%x ; y]:25", "mx.example.org%x")),
    *(
        (names.domain, value)
        for value in ("example.org..", ".", "192.0.2.1.", "192.0.2.1", "a" * 64 + ".example", "a.example\n")
    ),
    *((names.domain, value) for value in (".".join(["a" * 60] * 5), "ü" * 64 + ".example", "a\u2028b.example")),
    # of others with a sharp s or a final sigma test_idn.py has more
    (names.domain, "STRA\u1e9eE.example"),
    *((names.literal, value) for value in ("", "192.0.2", "192.0.2.256", "mx.example.org", "[192.0.2.1]")),
    *((names.host, value) for value in ("[]", "[192.0.2.1", "[2001:db8::1]", "[IPv6:192.0.2.1]", "[x]\r\n")),
    *((names.local_part, value) for value in ("", ".a", "a.", "a..b", "a b", "a@b", '"a"', "a\r\nQUIT", "ü", "a" * 65)),
    *((names.mailbox, value) for value in ("me", "me@", "@example.org", "me@a b", "a\n@example.org", "<me@a.example>")),
    *((names.server, value) for value in ("", ":25", "mx:0", "mx:65536", "mx:x", "[mx", "2001:db8::x", "a b", "mx\n")),
]


@pytest.mark.parametrize(("normal", "value", "wanted"), NORMAL)
def test_a_name_gets_its_normal_form(normal, value, wanted):
    assert normal(value) == wanted


@pytest.mark.parametrize(("normal", "value"), REFUSED)
def test_what_is_no_name_is_refused_with_what_is_allowed(normal, value):
    with pytest.raises(ValueError, match=r"an? |host,|the local part") as error:
        normal(value)
    assert not isinstance(error.value, UnicodeError)


@given(st.sampled_from([names.domain, names.host, names.local_part, names.mailbox]), st.text())
def test_no_text_gets_through_that_could_end_a_command(normal, value):
    try:
        name = normal(value)
    except ValueError:
        return
    assert name.isascii()
    assert name.isprintable()
    assert not set(name) & set("<> ")
