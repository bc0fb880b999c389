# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The interface that every MTA implements: what the rest of the program may ask of one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from .._system.host import Host
    from ..aliases.expand import Step
    from ..proof import HandedOn, Limit


@dataclass(frozen=True)
class Served:
    """What the MTA answers for: its own name, the domains of each kind, and its address literals, in brackets.

    ``relay`` maps a domain to the next hop: a domain whose MX is asked, or ``[host]:port``.
    """

    hostname: str
    local: tuple[str, ...] = ()
    virtual: tuple[str, ...] = ()
    relay: dict[str, str] = field(default_factory=dict)
    literals: tuple[str, ...] = ()
    unlisted: tuple[str, ...] = ()
    """The tables that may hold more domains, by name: nobody can list them, but the MTA can be asked about a domain."""


def kind_in(served: Served, domain: str) -> str:
    """What a domain is by what is served: local, virtual, relay, or none."""
    if domain in (*served.local, served.hostname):
        return "local"
    return "virtual" if domain in served.virtual else "relay" if domain in served.relay else "none"


@dataclass(frozen=True)
class Table:
    """A table that the MTA reads: the setting that names it, its type, the text it is made from, the compiled file.

    ``stale`` says why what is in use cannot be what the source says, and is empty where it can.
    """

    role: str
    type: str
    source: str
    compiled: str = ""
    stale: str = ""


@dataclass(frozen=True)
class AliasFile:
    """The text of the local aliases, the files compiled from it, and the command that compiles them."""

    path: str
    compiled: tuple[str, ...] = ()
    rebuild: tuple[str, ...] = ()


@dataclass(frozen=True)
class Opinion:
    """What the MTA itself says of an address, without a message: whether mail for it arrives everywhere that it should.

    ``deliverable`` is None where the MTA cannot tell now; ``command`` and ``text`` are the question and the answer.
    """

    deliverable: bool | None
    command: str
    text: str


class Adapter(Protocol):
    """One MTA on one host. Nothing that is asked of it changes anything."""

    name: str
    limits: tuple[Limit, ...]
    trusts_itself: bool
    """Whether the MTA relays for its own host, whatever address that host comes from."""

    def __init__(self, host: Host) -> None: ...

    def version(self) -> str: ...

    def served(self) -> Served: ...

    def kind_of(self, domain: str, /) -> str:
        """What a domain is to the MTA: local, virtual, relay, or none. Raises UserError where it cannot say that."""

    def tables(self) -> list[Table]: ...

    def listeners(self) -> list[tuple[str, int]]:
        """The addresses and ports on which the MTA listens."""

    def aliases(self) -> AliasFile: ...

    def aliased(self, names: Sequence[str]) -> set[str]:
        """Those of ``names`` that are local aliases."""

    def expect(self, addresses: Sequence[str]) -> None:
        """Many addresses are about to be walked from: what can be looked up at once is."""

    def node(self, address: str) -> Hashable:
        """Where the walk from an address starts."""

    def step(self, node: Any) -> Step:
        """What the MTA does with mail for one node."""

    def opinion(self, address: str, /) -> Opinion | None:
        """What the MTA's own tool for it says of an address; None where it has no such tool."""

    def handed_on(self, queue_id: str, since: float, /) -> HandedOn:
        """What became of a message: ``queue_id``, or a reply that names it; ``since`` in seconds since the epoch."""

    def paused(self) -> list[str]:
        """What of its deliveries the MTA itself says is paused until somebody lets it go on."""
