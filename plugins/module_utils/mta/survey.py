# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is to know of a host before its mail is changed. Works where there is no MTA, and asks none."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..aliases.sources import Source
from ..errors import UserError
from ..transaction.store import Store
from .present import look
from .sendmail_name import short_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .._system.host import Host

TABLE = "/etc/aliases"
TAG = "+"  # what the configurations of all backends take for the beginning of a tag


def survey(host: Host, packages: Sequence[str], state_dir: str) -> dict[str, Any]:
    """Its system and addresses, the MTAs that are there, and which of ``packages`` are not.

    ``state_dir`` has the journal of a change of the MTA that is not confirmed.
    """
    found, there = look(host)
    change = _change(state_dir)
    return {
        "mta": found,
        "installed": there,
        "replaced": change.get("old", ""),
        "addresses": host.addresses(),
        "packages_missing": _missing(host, packages, change.get("packages", {})),
        "system": _system(host),
        "short_name": short_name(host) if "sendmail" in packages else "",
    }


def kinds(host: Host, names: Sequence[str], table: str, tag: str = "") -> dict[str, str]:
    """Whether each name is an ``account``, an ``alias`` by the text at ``table``, or ``none`` of these.

    A name that is none of these is what it is without its tag, which begins with the sign ``tag``.
    """
    try:
        written = Source(table, host.read(table)) if names else None
    except OSError:
        written = None

    def kind(name: str) -> str:
        return "account" if host.account(name) else "alias" if written and written.entry(name) is not None else "none"

    def looked_up(name: str) -> str:
        found = kind(name)
        return kind(name.partition(tag)[0]) if found == "none" and tag else found

    return {name: looked_up(name) for name in names}


def _system(host: Host) -> dict[str, str]:
    """The distribution and its release, as os-release(5) names them; empty where there is no such file."""
    try:
        lines = host.read("/etc/os-release").splitlines()
    except OSError:
        lines = []
    found = {name: value.strip("\"'") for name, sign, value in (line.partition("=") for line in lines) if sign}
    return {"id": found.get("ID", ""), "release": found.get("VERSION_ID", ""), "name": found.get("PRETTY_NAME", "")}


def _change(state_dir: str) -> dict[str, Any]:
    """The change of the MTA that is not confirmed, as its journal has it; empty where there is none."""
    with suppress(OSError, UserError):
        journal = Store(state_dir).pending()
        return journal.switch if journal else {}
    return {}


def _missing(host: Host, packages: Sequence[str], change: Mapping[str, Any]) -> list[str]:
    """The packages that are not installed, or are not if the change of packages is taken back; the first of
    alternatives where none of them is, nor is wanted by itself."""
    if not packages:
        return []
    wanted = [names.split(" | ") for names in packages]
    asked = [name for names in wanted for name in names]
    done = host.ask(["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *asked])
    there = {name for name, status in (line.split() for line in done.out.splitlines()) if status == "installed"}
    there = there - {*change.get("added", ())} | {*change.get("before", ())}
    alone = {names[0] for names in wanted if len(names) == 1}
    return [names[0] for names in wanted if not there & set(names) and (len(names) == 1 or not alone & set(names))]
