# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host and its MTA say of themselves. Works where there is no MTA, too."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from .._system.lock import FOLDER
from ..aliases.expand import walk
from ..unexpected import attempt
from .adapter import AliasFile, Served, kind_in
from .registry import adapter
from .survey import TABLE, TAG, kinds, survey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._system.host import Host
    from .adapter import Adapter


def describe(
    host: Host,
    names: Sequence[str] = (),
    packages: Sequence[str] = (),
    mta: str = "",
    domains: Sequence[str] = (),
) -> dict[str, Any]:
    """The host's MTA, what it serves, and which of ``names`` and ``packages`` are there; ``mta`` where it is known.

    ``domains`` are asked about, for an MTA cannot list all its tables.
    """
    seen = survey(host, packages, FOLDER)
    found = mta if mta in seen["installed"] else seen["mta"]
    own = adapter(host, found) if found else None
    served = _with(own, own.served(), domains) if own else Served("")
    aliases = own.aliases() if own else AliasFile(TABLE)
    known = kinds(host, names, aliases.path)
    unknown = [name for name, kind in known.items() if kind == "none"]
    aliased = own.aliased(unknown) if own and unknown else set()
    tagged = [name for name in unknown if TAG in name and name not in aliased]
    if own and tagged:
        bases = kinds(host, tagged, aliases.path, TAG)
        known.update((name, bases[name]) for name in tagged if _arrives(own, name))
    return {
        **seen,
        "mta": found,
        "version": own.version() if own else "",
        "hostname": served.hostname,
        "domains": {"local": list(served.local), "virtual": list(served.virtual), "relay": served.relay},
        "unlisted": list(served.unlisted),
        "literals": list(served.literals),
        "tables": [asdict(table) for table in own.tables()] if own else [],
        "listeners": [{"address": address, "port": port} for address, port in own.listeners()] if own else [],
        "aliases": {"path": aliases.path, "compiled": list(aliases.compiled), "rebuild": list(aliases.rebuild)},
        "names": {**known, **dict.fromkeys(aliased, "alias")},
    }


def _arrives(own: Adapter, name: str) -> bool:
    """Whether the MTA delivers mail for a name, whatever it takes for a tag."""
    found = walk(own.node(name), own.step)
    return bool(found.destinations) and all(end.kind != "error" for end in found.destinations)


def _with(mta: Adapter, served: Served, domains: Sequence[str]) -> Served:
    """What is served, with those of some domains that the MTA says it serves, too."""
    unknown = [name for name in domains if kind_in(served, name) == "none"]
    kinds = {name: attempt(partial(mta.kind_of, name), lambda _reason: "none") for name in unknown}

    def new(kind: str) -> list[str]:
        return [name for name, found in kinds.items() if found == kind]

    return replace(
        served,
        local=(*served.local, *new("local")),
        virtual=(*served.virtual, *new("virtual")),
        relay={**served.relay, **dict.fromkeys(new("relay"), "")},
    )
