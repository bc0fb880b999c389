# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks for MTAs that compare the texts of addresses. Pure."""

from __future__ import annotations

import ipaddress


def labels(network: str) -> list[str]:
    """A network as the texts that its addresses begin with (10.1.2, IPv6:2001:db8), for MTAs that compare these; none
    where they would be more than 256."""
    if not network:
        return []
    found = ipaddress.ip_network(network)
    bits, sign = (8, ".") if found.version == 4 else (16, ":")
    length = -(-found.prefixlen // bits) * bits or bits
    if length - found.prefixlen > 8:
        return []
    parts = (subnet.network_address.packed for subnet in found.subnets(new_prefix=length))
    size = bits // 8
    numbers = ([int.from_bytes(raw[at : at + size], "big") for at in range(0, length // 8, size)] for raw in parts)
    form, head = ("{}", "") if found.version == 4 else ("{:x}", "IPv6:")
    return [head + sign.join(form.format(number) for number in row) for row in numbers]
