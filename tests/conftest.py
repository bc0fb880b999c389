"""Lets the tests import the collection by its full name, from any directory and without make."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hypothesis import settings

ROOT = Path(__file__).parents[1]
subprocess.run([ROOT / "tests/lab/tree"], check=True)
sys.path.insert(0, str(ROOT / ".build"))

# How long an example takes is the machine's business, and no property of what is tested.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
