# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""This program as one file that stays on the host, for the time when neither Ansible nor a controller is there."""

from __future__ import annotations

import pkgutil
import sys
import zipfile
from importlib.util import find_spec
from io import BytesIO
from typing import Any

from .undo import main

MAIN = "import sys\nfrom {} import main\nsys.exit(main())\n"


def program() -> bytes:
    """A zip archive that Python runs as ``undo.main``: all modules of this collection that are here."""
    parts = __name__.split(".")
    packages = [".".join(parts[:count]) for count in range(1, len(parts) - 1)]
    utils: Any = sys.modules[packages[-1]]
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        _add(packed, "__main__.py", MAIN.format(main.__module__))
        for name in packages:
            _add(packed, name.replace(".", "/") + "/__init__.py", "")
        for found in pkgutil.walk_packages(utils.__path__, packages[-1] + "."):
            path = found.name.replace(".", "/") + ("/__init__.py" if found.ispkg else ".py")
            _add(packed, path, _source(found))
    return archive.getvalue()


def _add(packed: zipfile.ZipFile, path: str, text: str) -> None:
    """Add a file with the time that ZipInfo has by itself: an archive cannot have one of before 1980, a clock can."""
    packed.writestr(zipfile.ZipInfo(path), text, zipfile.ZIP_DEFLATED)


def _source(found: pkgutil.ModuleInfo) -> str:
    spec: Any = find_spec(found.name)
    return spec.loader.get_source(found.name) or ""
