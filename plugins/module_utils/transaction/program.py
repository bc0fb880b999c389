# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""This program as one file that stays on the host, for the time when neither Ansible nor a controller is there."""

from __future__ import annotations

import sys
import zipfile
from io import BytesIO
from typing import Any

from .undo import main

MAIN = "import sys\nfrom {} import main\nsys.exit(main())\n"


def program() -> bytes:
    """A zip archive that Python runs as ``undo.main``: the modules of this collection that are loaded now."""
    top = __name__.partition(".")[0]
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("__main__.py", MAIN.format(main.__module__))
        for name, module in sorted(sys.modules.items()):
            if name.partition(".")[0] == top and ".plugins.modules" not in name:
                path = name.replace(".", "/") + ("/__init__.py" if hasattr(module, "__path__") else ".py")
                packed.writestr(path, _source(name))
    return archive.getvalue()


def _source(name: str) -> str:
    """The text of a module; empty for a package without one."""
    loader: Any = getattr(sys.modules[name].__spec__, "loader", None)
    return (loader.get_source(name) if hasattr(loader, "get_source") else "") or ""
