# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person has to correct is the line that names an address which does not work."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils.aliases.expand import Edge
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.resolve import resolve
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.written import Written
from ansible_collections.mailops.postmaster.plugins.module_utils.verdict import Problem
from homes import ALICE, HOSTS, some_home

WRONG = Problem("R3", "fail", "no such account", "", "add it")


@pytest.mark.parametrize(
    ("edges", "line"),
    [
        ([("postmaster", "ghost", "/etc/aliases:3")], "/etc/aliases:3"),
        ([("postmaster", "bob", "/etc/aliases:3"), ("bob", "ghost", "/home/bob/.forward:1")], "/home/bob/.forward:1"),
        (
            [("postmaster", "ghost@a.example", "/etc/aliases:3"), ("ghost@a.example", "ghost", "local")],
            "/etc/aliases:3",
        ),
        ([("postmaster", "bob", "/etc/aliases:3"), ("bob", "ghost", "luser_relay")], ""),
        ([("bob", "Ghost", "table"), ("Ghost", "ghost", "table"), ("ghost", "Ghost", "table")], ""),
        ([], ""),
    ],
)
def test_the_nearest_line_that_names_the_address_is_the_one(edges, line):
    written = Written(Edge(*edge) for edge in edges)
    assert written.line("ghost") == line
    assert written.named("ghost", WRONG).remedy == (f"correct ghost in {line}, or add it" if line else "add it")


@pytest.mark.parametrize(
    "problem", [replace(WRONG, id="R6"), replace(WRONG, verdict="warn"), replace(WRONG, remedy="")]
)
def test_a_problem_that_is_not_with_an_address_stays_as_it_is(problem):
    assert Written([Edge("postmaster", "ghost", "/etc/aliases:3")]).named("ghost", problem) == problem


@pytest.mark.parametrize("mta", HOSTS)
@pytest.mark.parametrize(("name", "number"), [("alcie", 1), ("nobody-there", 2)])
def test_a_forward_that_is_mistyped_is_named_with_its_line(mta, name, number):
    base, adapter = HOSTS[mta]
    with some_home() as home:
        (home / ".forward").write_text("\n" * (number - 1) + f"{name}\n")
        os.chown(home / ".forward", ALICE, -1)
        host = base(home)
        (problem,) = resolve(host, adapter(host), "alice").problems
    assert problem.id == "R3"
    begins, line, _rest = problem.remedy.partition(f" in {home}/.forward:{number}, or ")
    assert begins.startswith(f"correct {name}")
    assert line
