# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's table of sockets is read as the kernel means it."""

from __future__ import annotations

import os
import socket
import sys

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system.host import Host
from ansible_collections.mailops.postmaster.plugins.module_utils._system.tcp_table import (
    ESTABLISHED,
    LISTENING,
    Entry,
    entries,
)

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
ROW = "   0: {}:0019 {}:8A3E {} 00000000:00000000 00:00000000 00000000  1000        0 {} 1 0"


def kernel(address):
    """An address as the kernel of this machine prints it."""
    raw = socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
    return "".join(f"{int.from_bytes(raw[at : at + 4], sys.byteorder):08X}" for at in range(0, len(raw), 4))


@pytest.mark.parametrize(
    ("own", "shown"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("0.0.0.0", "0.0.0.0"),
        ("2001:db8::1", "2001:db8::1"),
        ("::", "::"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
    ],
)
def test_both_ends_the_account_and_the_number_are_read(own, shown):
    line = ROW.format(kernel(own), kernel("192.0.2.9"), ESTABLISHED, 18090)
    found = Entry(shown, 25, "192.0.2.9", 0x8A3E, ESTABLISHED, 1000, "18090")
    assert list(entries([HEAD, line], [ESTABLISHED])) == [found]


def test_only_the_states_that_are_asked_for_are_read():
    lines = [
        HEAD,
        *(ROW.format(kernel("192.0.2.1"), kernel("192.0.2.9"), state, state) for state in ("0A", "01", "06")),
    ]
    assert [found.inode for found in entries(lines, [LISTENING])] == ["0A"]
    assert [found.inode for found in entries(lines, [LISTENING, ESTABLISHED])] == ["0A", "01"]


def test_a_connection_of_this_process_has_a_number_when_it_is_accepted_and_none_before():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:

        def accepted():
            ends = [one for one in Host().tcp(ESTABLISHED) if (one.peer, one.peer_port) == client.getsockname()]
            return [(one.port, one.inode != "0") for one in ends]

        port = server.getsockname()[1]
        assert accepted() == [(port, False)]
        with server.accept()[0]:
            assert accepted() == [(port, True)]
            assert [one.uid for one in Host().tcp(ESTABLISHED) if one.peer_port == port] == [os.getuid()]
