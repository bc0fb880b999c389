# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is to know of a host before its mail is touched. Works where there is no MTA, too."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from .._system.lock import FOLDER
from ..aliases.sources import Source
from ..errors import UserError
from ..transaction.store import Store
from .adapter import AliasFile, Served
from .registry import adapter, look

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .._system.host import Host
    from .adapter import Adapter

DEFAULT_ALIASES = "/etc/aliases"


def describe(host: Host, names: Sequence[str] = (), packages: Sequence[str] = (), mta: str = "") -> dict[str, Any]:
    """The host's MTA, what it serves, and which of ``names`` and ``packages`` are there; ``mta`` where it is known."""
    found, there = look(host)
    found = mta if mta in there else found
    own = adapter(host, found) if found else None
    served = own.served() if own else Served("")
    aliases = own.aliases() if own else AliasFile(DEFAULT_ALIASES)
    change = _change()
    return {
        "mta": found,
        "replaced": change.get("old", ""),
        "version": own.version() if own else "",
        "installed": there,
        "hostname": served.hostname,
        "domains": {"local": list(served.local), "virtual": list(served.virtual), "relay": served.relay},
        "literals": list(served.literals),
        "tables": [asdict(table) for table in own.tables()] if own else [],
        "listeners": [{"address": address, "port": port} for address, port in own.listeners()] if own else [],
        "aliases": {"path": aliases.path, "compiled": list(aliases.compiled), "rebuild": list(aliases.rebuild)},
        "addresses": host.addresses(),
        "names": _names(host, own, aliases.path, names),
        "packages_missing": _missing(host, packages, change.get("packages", {})),
        "system": _system(host),
    }


def _names(host: Host, own: Adapter | None, path: str, names: Sequence[str]) -> dict[str, str]:
    """Whether each name is an account, an alias, or none of these; the text of the table counts where it is newer."""
    aliased = set(own.aliased(names)) if own and names else set()
    try:
        written = Source(path, host.read(path)) if names else None
    except OSError:
        written = None
    kinds = {}
    for name in names:
        is_alias = name in aliased or (written is not None and written.entry(name) is not None)
        kinds[name] = "account" if host.account(name) else "alias" if is_alias else "none"
    return kinds


def _system(host: Host) -> dict[str, str]:
    """The distribution and its release, as os-release(5) names them; empty where there is no such file."""
    try:
        lines = host.read("/etc/os-release").splitlines()
    except OSError:
        lines = []
    found = {name: value.strip("\"'") for name, sign, value in (line.partition("=") for line in lines) if sign}
    return {"id": found.get("ID", ""), "release": found.get("VERSION_ID", ""), "name": found.get("PRETTY_NAME", "")}


def _change() -> dict[str, Any]:
    """The change of the MTA that is not confirmed, as its journal has it; empty where there is none."""
    with suppress(OSError, UserError):
        journal = Store(FOLDER).pending()
        return journal.switch if journal else {}
    return {}


def _missing(host: Host, packages: Sequence[str], change: Mapping[str, Any]) -> list[str]:
    """The packages that are not installed, or are not if the change of packages is taken back; the first of
    alternatives where none of them is, nor is wanted by itself."""
    if not packages:
        return []
    wanted = [names.split(" | ") for names in packages]
    asked = [name for names in wanted for name in names]
    done = host.run(["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *asked])
    there = {name for name, status in (line.split() for line in done.out.splitlines()) if status == "installed"}
    there = there - {*change.get("added", ())} | {*change.get("before", ())}
    alone = {names[0] for names in wanted if len(names) == 1}
    return [names[0] for names in wanted if not there & set(names) and (len(names) == 1 or not alone & set(names))]
