# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths are opened and looked at in ``_system`` alone, where the one door to what others own is."""

from __future__ import annotations

import ast
import pathlib

import pytest

UTILS = pathlib.Path(__file__).resolve().parents[2] / "plugins" / "module_utils"
MODULES = {"glob", "pathlib", "shutil", "tempfile", "fileinput", "linecache", "mailbox", "dbm", "fcntl"}
LOOKS = {
    "io": {"open", "open_code", "FileIO"},
    "os": {
        *("open", "stat", "lstat", "listdir", "scandir", "walk", "fwalk", "readlink", "access", "statvfs", "getxattr"),
        *("rename", "replace", "link", "symlink", "unlink", "remove", "rmdir", "removedirs", "mkdir", "makedirs"),
        *("chmod", "chown", "lchown", "utime", "truncate", "mkfifo", "mknod", "setxattr", "listxattr", "chdir"),
    },
    "path": {
        *("exists", "lexists", "isfile", "isdir", "islink", "ismount", "getsize", "getmtime", "getatime", "getctime"),
        *("realpath", "samefile"),
    },
}
BUILTIN = {"open"}


def looks(tree):
    """The lines of a syntax tree that look at a path, each with what it calls or imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found = [name.name for name in node.names if name.name.split(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            module = str(node.module)
            named = [name.name for name in node.names]
            found = [module] if module.split(".", maxsplit=1)[0] in MODULES else []
            found += [name for name in named if name in LOOKS.get(module.rpartition(".")[2], ())]
        elif isinstance(node, ast.Attribute):
            base = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
            found = [f"{base}.{node.attr}"] if node.attr in LOOKS.get(base, ()) else []
        elif isinstance(node, ast.Name):
            found = [node.id] if node.id in BUILTIN else []
        else:
            found = []
        yield from ((node.lineno, name) for name in found)


def parts():
    """Each package and each file of module_utils, but for ``_system``, and its files."""
    found = {}
    for path in sorted(UTILS.rglob("*.py")):
        found.setdefault(path.relative_to(UTILS).parts[0], []).append(path)
    return {name: paths for name, paths in found.items() if name != "_system"}


PARTS = parts()


@pytest.mark.parametrize("paths", PARTS.values(), ids=PARTS)
def test_nothing_outside_of_the_look_at_the_system_opens_a_path(paths):
    found = [
        f"{path.relative_to(UTILS)}:{line} {name}"
        for path in paths
        for line, name in looks(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not found


# What looks at names with the rights of the process, and who may use it: root's own state, and children with the rights
# of a spool or of a mailbox. All others ask Host and reader.
USERS = {
    "names": {"queue", "transaction"},
    "inside": {"mailbox"},
    "mbox_lock": {"mailbox"},
    "new_file": {"queue"},
    "debs": {"transaction"},
}


@pytest.mark.parametrize(("module", "users"), USERS.items(), ids=USERS)
def test_who_may_look_at_names_by_itself(module, users):
    found = {
        part
        for part, paths in PARTS.items()
        for path in paths
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
        and node.module in ("_system", f"_system.{module}")
        and (node.module != "_system" or module in [name.name for name in node.names])
    }
    assert found == users


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("open('x')", ["open"]),
        ("import os\nos.open('x', 0)", ["os.open"]),
        ("import os\nos.path.exists('x')", ["path.exists"]),
        ("import os\nlook = os.stat", ["os.stat"]),
        ("from os import scandir", ["scandir"]),
        ("from os.path import isfile", ["isfile"]),
        ("import glob", ["glob"]),
        ("from pathlib import Path", ["pathlib"]),
        ("from io import FileIO, BytesIO", ["FileIO"]),
        ("import io\nio.open_code('x')\nio.BytesIO()", ["io.open_code"]),
        ("import os.path, shutil", ["shutil"]),
        ("map(open, 'x')", ["open"]),
        ("import os\nos.path.join('x', 'y')\nos.fstat(0)\nhost.stat('x')\nreader.open('x')", []),
    ],
)
def test_a_look_is_found_however_it_is_written(text, wanted):
    assert [name for _line, name in looks(ast.parse(text))] == wanted
