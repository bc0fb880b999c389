# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A million aliases cost little, and every figure of the bench can be measured."""

from __future__ import annotations

import json
import pathlib
import runpy
import subprocess
import sys

import pytest

BENCH = pathlib.Path(__file__).resolve().parents[1] / "bench" / "sizes.py"
FIGURES = runpy.run_path(str(BENCH))["FIGURES"]
LIMITS = runpy.run_path(str(BENCH))["LIMITS"]


def measured(name, size, folder):
    argv = [sys.executable, str(BENCH), name, str(size), str(folder)]
    return json.loads(subprocess.run(argv, stdout=subprocess.PIPE, check=True).stdout)


@pytest.mark.parametrize("name", FIGURES)
def test_each_figure_is_measured(name, tmp_path):
    found = measured(name, 10, tmp_path)
    assert found["seconds"] >= 0
    assert found["memory"] > 0


@pytest.mark.parametrize("name", LIMITS)
def test_a_million_aliases_stay_within_their_limits(name, tmp_path):
    seconds, memory = LIMITS[name]
    found = measured(name, 1_000_000, tmp_path)
    assert found["seconds"] < seconds, found
    assert found["memory"] < memory, found
