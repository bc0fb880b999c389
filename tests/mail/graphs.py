# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Alias graphs, generated: chains, fans, loops, included lists, dangling ends, in every way of writing a name."""

from __future__ import annotations

from dataclasses import dataclass, field

ACCOUNTS = ("alice", "bob")
LISTS = "/etc/graphs"
SHAPES = ("plain", "plain", "upper", "domain", "tag", "quoted")


@dataclass
class Graph:
    """``entries`` of the aliases table, and ``lists``: the included files; ``root`` is where it starts."""

    root: str
    entries: dict[str, list[str]] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=dict)

    def text(self):
        return "; ".join(f"{name}: {', '.join(members)}" for name, members in {**self.entries, **self.lists}.items())


def written(draw, name, domain, shapes):
    """A name in one of the ways of writing it."""
    return {
        "plain": name,
        "upper": name.upper(),
        "domain": f"{name}@{domain}",
        "tag": f"{name}+tag",
        "quoted": f'"{name}"',
    }[draw.choice(shapes)]


def graph(draw, number, domain, shapes=SHAPES):
    """One graph of up to six aliases; ``draw`` is a random.Random, ``shapes`` are ways of writing."""
    names = [f"g{number}n{index}" for index in range(draw.randint(1, 6))]
    made = Graph(names[0])

    def member(index, depth=0):
        kind = draw.choices(("account", "next", "any", "ghost", "include"), (10, 9, 1, 1, 0 if depth else 2))[0]
        if kind == "include":
            path = f"{LISTS}/g{number}-{len(made.lists)}"
            made.lists[path] = []
            made.lists[path] += [member(index, depth + 1) for dummy in range(draw.randint(1, 3))]
            return f":include:{path}"
        after = names[index + 1 :]
        name = {
            "account": draw.choice(ACCOUNTS),
            "next": after[0] if after else draw.choice(ACCOUNTS),
            "any": draw.choice(names),
            "ghost": f"ghost{number}",
        }[kind]
        return written(draw, name, domain, shapes)

    for index, name in enumerate(names):
        made.entries[name] = [member(index) for dummy in range(draw.choice((1, 1, 2, 3)))]
    return made
