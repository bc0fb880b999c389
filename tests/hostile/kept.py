#!/usr/bin/python3
# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands for Python on a mail host: keeps the module that Ansible sends, so that it can be run again, and runs it."""

import os
import pathlib
import subprocess
import sys

module = sys.stdin.buffer.read()
pathlib.Path(os.environ["HOSTILE_KEEP"]).write_bytes(module)
sys.exit(subprocess.run([sys.executable], input=module, check=False).returncode)
