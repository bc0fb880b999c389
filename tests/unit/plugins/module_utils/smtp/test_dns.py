# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""MX records: the bytes of questions and responses, and which resolver is believed."""

from __future__ import annotations

import contextlib
import time
import tracemalloc

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils.smtp.dns import (
    MOST,
    MalformedError,
    Response,
    decode,
    exchangers,
    nameservers,
    query,
)
from hypothesis import given
from hypothesis import strategies as st

ASKED = query("example.org", 0x1234)
POINTER = b"\xc0\x0c"  # to the name of the question


def number(value):
    return value.to_bytes(2, "big")


def name(text):
    return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".") if label) + b"\0"


def record(kind, data, owner=POINTER):
    return owner + number(kind) + number(1) + b"\0\0\0\x3c" + number(len(data)) + data


def mx(preference, host):
    return record(15, number(preference) + host)


def response(*records, asked=ASKED, flags=0x8180, questions=1, answers=None):
    counts = (questions, len(records) if answers is None else answers, 0, 0)
    return asked[:2] + number(flags) + b"".join(map(number, counts)) + asked[12:] + b"".join(records)


CNAME = record(5, name("mail.example.net"))
TXT = record(16, b"\x04text")
LONGEST = ".".join(["a" * 62] * 4 + ["a"])  # 255 octets, with the octets that say how long each label is (RFC 1035)
LONGEST_BY_POINTER = ".".join(["a" * 61] * 3 + ["a" * 54])
GOOD = [
    (response(mx(10, name(LONGEST))), Response(0, False, ((10, LONGEST),))),
    (
        response(mx(10, name(LONGEST_BY_POINTER)[:-1] + POINTER)),
        Response(0, False, ((10, LONGEST_BY_POINTER + ".example.org"),)),
    ),
    (
        response(*(mx(preference, name(f"mx{preference}.example")) for preference in range(9, 0, -1))),
        Response(0, False, tuple((preference, f"mx{preference}.example") for preference in range(1, 5))),
    ),
    (response(), Response(0, False, ())),
    (response(flags=0x8183), Response(3, False, ())),
    (response(flags=0x8182), Response(2, False, ())),
    (response(flags=0x8380, answers=7), Response(0, True, ())),
    (response(mx(10, name("mx.example.org"))), Response(0, False, ((10, "mx.example.org"),))),
    (response(mx(10, b"\x02mx" + POINTER)), Response(0, False, ((10, "mx.example.org"),))),
    (
        response(mx(20, name("b.example")), TXT, mx(5, name("a.example"))),
        Response(0, False, ((5, "a.example"), (20, "b.example"))),
    ),
    (response(CNAME, mx(10, name("mx.example.net"))), Response(0, False, ((10, "mx.example.net"),))),
    (response(mx(0, b"\0")), Response(0, False, ((0, ""),))),
    (response(asked=ASKED[:12] + ASKED[12:].upper()), Response(0, False, ())),
]
BAD = {
    "empty": b"",
    "half a header": ASKED[:7],
    "another number": response(asked=b"\0\0" + ASKED[2:]),
    "a query": response(flags=0x0100),
    "no question": response(questions=0),
    "another name": response(asked=ASKED[:2] + query("example.net", 1)[2:]),
    "another type": response(asked=ASKED[:-3] + b"\x01\0\x01"),
    "fewer records than announced": response(mx(10, name("mx.example.org")), answers=2),
    "a name that breaks off": response(mx(10, b"\x3fmx")),
    "a label of a type that nobody uses": response(mx(10, b"\x80")),
    "a pointer to itself": response(mx(10, b"\xc0" + bytes([len(response()) + 14]))),
    "a name of 256 octets": response(mx(10, name(".".join(["a" * 62] * 4 + ["aa"])))),
    "a name of 256 octets by a pointer": response(mx(10, name(".".join(["a" * 61] * 3 + ["a" * 56]))[:-1] + POINTER)),
    "a pointer beyond the end": response(mx(10, b"\xff\xff")),
}
FOUND = response(mx(10, name("mx.example.org")))
SERVERS = ("192.0.2.1", "192.0.2.2")


@pytest.mark.parametrize(("data", "wanted"), GOOD)
def test_a_response_is_read(data, wanted):
    assert decode(ASKED, data) == wanted


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_a_response_that_is_none_is_refused(data):
    with pytest.raises(MalformedError):
        decode(ASKED, data)


# Each name is one label and a pointer to the name before it: the longest way that a name may lead through a message.
STEP = 6  # octets of a label of three, and a pointer
CHAIN = b"".join(
    b"\x03abc" + (0xC000 | 12 + (0 if not at else len(response()) - 12 + (at - 1) * STEP)).to_bytes(2, "big")
    for at in range(60)
)


def full(first, each):
    """A message of 64 KB: a record of text, and then as often as fits one whose name points to that text."""
    head = response(record(16, first, b"\0"), answers=1)
    pointer = number(0xC000 | len(response()) + 11)
    count = (65535 - len(head)) // len(each(pointer))
    return response(record(16, first, b"\0"), *[each(pointer)] * count)


LONG = (bytes([63]) + b"\xff" * 63) * 150 + b"\0"  # a name of 9,601 octets, and of 37,949 characters where it is shown
MANY = (b"\x01a" * 127) + b"\0"  # the most labels that a name may have
HUGE = {
    "exchangers with a name of 9,601 octets": full(LONG, lambda pointer: mx(1, pointer)),
    "exchangers with a name of 127 labels": full(MANY, lambda pointer: mx(1, pointer)),
    "owners with a name of 9,601 octets": full(LONG, lambda pointer: record(16, b"", pointer)),
    "owners with a name of 127 labels": full(MANY, lambda pointer: record(16, b"", pointer)),
    "records without end": response(answers=65535) + (POINTER + number(1) + number(1) + bytes(4) + number(0)) * 5400,
    "a chain of pointers": response(answers=65535) + CHAIN * 180,
    "one record of 64 KB": response(record(16, b"x" * 65000), answers=2),
    "exchangers without end": response(answers=5000) + mx(1, POINTER) * 4000,
    "64 KB of NULs": response(answers=65535) + bytes(65000),
}


@pytest.mark.parametrize("data", HUGE.values(), ids=HUGE)
def test_the_largest_message_is_read_or_refused_at_once(data):
    """Its cost goes by its size, and not by what its pointers make of it."""
    tracemalloc.start()
    with contextlib.suppress(MalformedError):
        decode(ASKED, data[:65535])
    _now, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2 << 20
    begun = time.process_time()
    with contextlib.suppress(MalformedError):
        decode(ASKED, data[:65535])
    assert time.process_time() - begun < 0.5


@given(st.binary(max_size=80), st.integers(0, 20))
def test_no_bytes_break_the_reader(noise, answers):
    data = response(answers=answers) + noise
    try:
        found = decode(ASKED, data)
    except MalformedError:
        return
    assert len(found.exchangers) <= min(answers, MOST)


@given(st.binary(max_size=60))
def test_noise_is_no_response(noise):
    with pytest.raises(MalformedError):
        decode(ASKED, noise)


@pytest.mark.parametrize("text", ["", ".", "a..b", "a" * 64, ".".join(["a" * 60] * 5), "ü.example"])
def test_only_a_name_is_asked_for(text):
    with pytest.raises(ValueError, match=r"domain name|ascii"):
        query(text, 1)


@pytest.mark.parametrize(
    ("udp", "tcp", "state", "hosts"),
    [
        ([FOUND], [], "found", ("mx.example.org",)),
        ([response(mx(20, name("b.example")), mx(5, name("a.example")))], [], "found", ("a.example", "b.example")),
        ([response()], [], "no MX", ()),
        ([response(mx(0, b"\0"))], [], "null MX", ()),
        ([response(flags=0x8183)], [], "no such name", ()),
        ([None, FOUND], [], "found", ("mx.example.org",)),
        ([b"noise", FOUND], [], "found", ("mx.example.org",)),
        ([response(flags=0x8182), FOUND], [], "found", ("mx.example.org",)),
        ([response(flags=0x8380)], [FOUND], "found", ("mx.example.org",)),
        ([response(flags=0x8380), FOUND], [None], "found", ("mx.example.org",)),
        ([None, None], [], "unknown", ()),
        ([response(flags=0x8182), response(flags=0x8185)], [], "unknown", ()),
    ],
)
def test_the_first_resolver_that_knows_is_believed(udp, tcp, state, hosts):
    udp, tcp = iter(udp), iter(tcp)
    found = exchangers("example.org", SERVERS, 0x1234, lambda *_: next(udp), lambda *_: next(tcp))
    assert (found.state, found.hosts) == (state, hosts)
    assert list(udp) == list(tcp) == []


@pytest.mark.parametrize(
    ("text", "servers"),
    [
        ("", ["127.0.0.1"]),
        ("search example.org\n", ["127.0.0.1"]),
        ("# nameserver 192.0.2.9\nnameserver 192.0.2.1\nnameserver 2001:db8::1\n", ["192.0.2.1", "2001:db8::1"]),
        ("nameserver nonsense\nnameserver\t192.0.2.1 # here\n", ["192.0.2.1"]),
        ("nameserver 192.0.2.1\n" * 5, ["192.0.2.1"] * 3),
    ],
)
def test_the_resolvers_are_those_of_resolv_conf(text, servers):
    assert nameservers(text) == servers
