# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The adapter of each MTA that is known, in the module of its name."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ..errors import UserError
from .present import KNOWN, look

if TYPE_CHECKING:
    from .._system.host import Host
    from .adapter import Adapter

    # Ansible sends to a host what is imported anywhere. There only the adapter that is needed is loaded.
    from .exim import Exim
    from .opensmtpd import OpenSMTPD
    from .postfix import Postfix
    from .sendmail import Sendmail


def adapter_class(name: str) -> type[Exim | OpenSMTPD | Postfix | Sendmail]:
    """The adapter of an MTA that is known."""
    found: type[Exim | OpenSMTPD | Postfix | Sendmail]
    found = getattr(import_module("." + name, __package__), KNOWN[name].adapter)
    return found


def adapter(host: Host, name: str = "") -> Adapter:
    """The adapter for the MTA of a host; ``name`` where it is known which one it is."""
    if name and name not in KNOWN:
        raise UserError("mta: '{}' is unknown; allowed: {}".format(name, ", ".join(KNOWN)))
    found, there = look(host)
    wanted = name or found
    if not wanted:
        several = "there are several MTAs ({}): say which one with mta".format(", ".join(there))
        raise UserError(several if there else "there is no MTA on this host that is known: {}".format(", ".join(KNOWN)))
    if wanted not in there:
        raise UserError(
            "mta: '{}' is not installed on this host; installed: {}".format(wanted, ", ".join(there) or "none")
        )
    return adapter_class(wanted)(host)
