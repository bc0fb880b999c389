"""Lets the tests import the collection by its full name, from any directory and without make.

At the end of a run it says which hostile files and servers were tried.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from hypothesis import settings

ROOT = Path(__file__).parents[1]
subprocess.run([ROOT / "tests/lab/tree"], check=True)
sys.path.insert(0, str(ROOT / ".build"))

# What a group can write is refused, so the directories of the tests must not be such ones.
os.umask(0o022)

# How long an example takes is the machine's business, and no property of what is tested.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


def pytest_terminal_summary(terminalreporter):
    """A line for each test in the files ``test_hostile_*.py``, with its cases."""
    tried: dict[str, list[str]] = {}
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            path, _colons, name = report.nodeid.partition("::")
            if report.when == "call" and Path(path).name.startswith("test_hostile_") and "[" in name:
                test, _bracket, case = name.rstrip("]").partition("[")
                tried.setdefault(f"{Path(path).stem}, {test}", []).append(case)
    if tried:
        terminalreporter.section("what was tried")
    for test, cases in sorted(tried.items()):
        terminalreporter.write_line(f"{test}: {', '.join(sorted(cases))}")
