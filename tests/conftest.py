"""Lets the tests import the collection by its full name, from any directory and without make."""

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
