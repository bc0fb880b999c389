# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host says before anything is installed on it, and what of a change it cannot have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..aliases.apply import planned
from ..smtp.transport import can_listen
from ..transaction.journal import UNCHANGED
from .survey import TABLE, TAG, kinds, survey

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._system.host import Host


def gathered(host: Host, params: Mapping[str, Any], _check_mode: bool) -> dict[str, Any]:
    """The result of the module config_transaction for ``state=gathered``. Raises where the aliases make a loop."""
    aliases = params["aliases"] or {}
    table = aliases.get("path") or TABLE
    if aliases.get("entries"):
        planned(aliases)
    found = survey(host, params["packages"], params["state_dir"])
    foreign = [address for address in params["listen"] if not can_listen(address)]
    return {
        "state": UNCHANGED,
        "transaction": "",
        **found,
        # the MTA that these packages will be knows this tag; what the one that is there knows nobody has asked
        "names": kinds(host, params["names"], table, TAG if params["packages"] else ""),
        "foreign": foreign,
    }
