# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs on a host to be killed there: the program, and what it is asked to do."""

from __future__ import annotations

import json
import pathlib
import zipfile

ROOT = pathlib.Path(__file__).parents[2]
STEPS = ROOT / "tests" / "unit" / "plugins" / "module_utils" / "transaction" / "steps.py"
UTILS = ROOT / "plugins" / "module_utils"
PACKAGE = pathlib.PurePath("ansible_collections/mailops/postmaster/plugins/module_utils")
PLACE = "/root/crash.zip"


def build(path):
    """The program that is killed, with what kills it, as one file that Python runs."""
    with zipfile.ZipFile(path, "w") as packed:
        packed.write(ROOT / "tests" / "crash" / "on_host.py", "__main__.py")
        packed.write(STEPS, "steps.py")
        for source in UTILS.rglob("*.py"):
            packed.write(source, PACKAGE / source.relative_to(UTILS))
        for package in set(PACKAGE.parents) - {pathlib.PurePath()}:
            packed.writestr(str(package / "__init__.py"), "")


def copy(lab, path):
    copied = lab.runner.run_module(lab.name, "copy", f"src={path} dest={PLACE}", become=True, check=False)
    assert not copied.get("failed"), copied


def work(lab, **more):
    """What the program is told: a change of all files of a backend, and of the aliases."""
    backend = lab.data()
    transaction = backend["mta_backend_transaction"]
    plain = {"owner": "root", "group": "root", "mode": "0644", "compile": [], "product": None}
    files = [{**plain, **template, "product_mode": None} for template in transaction["templates"]]
    aliases = {"path": "/etc/aliases", "strategy": "merge", "compiled": None}
    params = {
        **{name: transaction[name] for name in ("stage", "check", "derived", "reason")},
        "service": {**transaction["service"], "mta": lab.facts["mta_backend"], "listens": []},
        "files": files,
        "aliases": {**aliases, "rebuild": backend["mta_backend_aliases_rebuild"]},
        "replaces": None,
        "answers": [{"address": "127.0.0.1", "port": 25, "greeting": "^220"}],
        "timeout": 20,
        "state_dir": "/var/lib/mailops-postmaster",
    }
    edits = {file["path"]: "dnl" if file["path"].endswith(".mc") else "#" for file in files}
    return json.dumps({"params": params, "edits": edits, "recipient": "postmaster@{L}".format(**lab.names), **more})
