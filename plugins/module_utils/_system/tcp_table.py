# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's table of TCP sockets, /proc/net/tcp and tcp6, which everybody may read (proc_pid_net(5)). Pure."""

from __future__ import annotations

import ipaddress
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

ESTABLISHED, HANDSHAKE, FIN_WAIT2, TIME_WAIT, CLOSE_WAIT, LISTENING = "01", "03", "05", "06", "08", "0A"


@dataclass(frozen=True)
class Entry:
    """One socket: its own end, the other one, its state, the uid of who has made it, and its number in the kernel.

    A connection that its server has not accepted yet has the number 0.
    """

    address: str
    port: int
    peer: str
    peer_port: int
    state: str
    uid: int
    inode: str


def entries(lines: Sequence[str], states: Collection[str]) -> Iterator[Entry]:
    """The sockets of one table that are in one of some ``states``; its first line names its columns."""
    for fields in map(str.split, lines[1:]):
        if fields[3] in states:
            yield Entry(*_place(fields[1]), *_place(fields[2]), fields[3], int(fields[7]), fields[9])


def _place(text: str) -> tuple[str, int]:
    address, port = text.split(":")
    # The kernel prints each 32-bit word of an address in the byte order of the host.
    words = [int(address[at : at + 8], 16) for at in range(0, len(address), 8)]
    found = ipaddress.ip_address(b"".join(word.to_bytes(4, sys.byteorder) for word in words))
    return str(getattr(found, "ipv4_mapped", None) or found), int(port, 16)
