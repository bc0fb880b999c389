# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the documents, the data and the code say of one thing is the same."""

from __future__ import annotations

import ast
import pathlib
import re
import runpy
from graphlib import TopologicalSorter

import pytest
import yaml
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.present import KNOWN
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.registry import adapter_class
from ansible_collections.mailops.postmaster.plugins.module_utils.queue.registry import SPOOLS
from ansible_collections.mailops.postmaster.plugins.module_utils.requirements import REQUIREMENTS
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction.daemons import DAEMONS
from ansible_collections.mailops.postmaster.plugins.module_utils.variables import INTERNAL, PUBLIC

ROOT = pathlib.Path(__file__).resolve().parents[2]
UTILS = ROOT / "plugins" / "module_utils"
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir())
BACKENDS = sorted((ROOT / "roles" / "mta" / "vars" / "backends").glob("*.yml"))

PURE = [
    "errors.py",
    "checked.py",
    "stranger.py",
    "requirements.py",
    "unexpected.py",
    "verdict.py",
    "mail_plan.py",
    "canonical.py",
    "mistakes.py",
    "defences.py",
    "proof.py",
    "report.py",
    "secrecy.py",
    "secret_settings.py",
    "shown.py",
    "variables.py",
    "aliases/table.py",
    "aliases/edit.py",
    "aliases/expand.py",
    "aliases/lines.py",
    "smtp/reply.py",
    "smtp/dialogue.py",
    "smtp/idn.py",
    "smtp/names.py",
    "smtp/message.py",
    "smtp/dns.py",
    "mailbox/message.py",
    "mailbox/own.py",
    "mailbox/waiting.py",
    "mta/identify.py",
    "mta/fate.py",
    "mta/exim_syntax.py",
    "mta/sendmail_syntax.py",
    "_system/image.py",
    "_system/tcp_table.py",
    "transaction/crowd.py",
    "transaction/payload.py",
    "transaction/plan.py",
    "transaction/journal.py",
]
IMPURE_MODULES = {"ansible", "socket", "os", "subprocess", "pathlib", "shutil", "tempfile", "time"}


def load(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name.split(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").split(".")[0]


@pytest.mark.parametrize("name", PURE)
def test_a_pure_file_touches_neither_ansible_nor_the_system(name):
    assert not IMPURE_MODULES & set(imports(UTILS / name))


def test_only_the_runner_imports_ansible_in_module_utils():
    assert [path.name for path in UTILS.rglob("*.py") if "ansible" in set(imports(path))] == ["runner.py"]


def test_only_the_runner_ends_a_module():
    callers = [
        path for path in (ROOT / "plugins").rglob("*.py") if re.search(r"\.(exit|fail)_json\(", path.read_text())
    ]
    assert [path.name for path in callers] == ["runner.py"]


def test_only_the_transport_opens_sockets():
    """TLS is spoken over those that it is given."""
    users = {path.name for path in UTILS.rglob("*.py") if "socket" in set(imports(path))}
    assert users == {"transport.py", "secured.py"}
    assert "socket.socket(" not in (UTILS / "smtp" / "secured.py").read_text(encoding="utf-8")


def opened(path):
    """The functions of a file that open files."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]:
        calls = [ast.unparse(node.func) for node in ast.walk(function) if isinstance(node, ast.Call)]
        if {"open", "os.open", "read_image"} & set(calls) or any(name.endswith(".read_bytes") for name in calls):
            yield f"{path.name}: {function.name}"


def test_no_file_of_a_spool_is_opened_but_by_the_one_reader():
    files = (UTILS / "queue").glob("*.py")
    assert not [name for path in files for name in opened(path)]


def packages():
    """Each package of module_utils, and the packages and single files that it imports."""
    found = {}
    for path in UTILS.rglob("*.py"):
        where = path.relative_to(UTILS).parts
        wanted = found.setdefault(where[0] if where[1:] else path.stem, set())
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                above = [*where[: len(where) - node.level], *(node.module or "").split(".")]
                wanted |= {above[0]} if above[0] else {name.name for name in node.names}
    return {name: wanted - {name} for name, wanted in found.items()}


def test_no_package_imports_one_above_it():
    assert list(TopologicalSorter(packages()).static_order())


def test_the_look_at_the_system_is_below_all_that_uses_it():
    assert packages()["_system"] <= {"errors"}


@pytest.mark.parametrize("role", ROLES)
def test_a_role_s_defaults_are_those_that_its_specification_names(role):
    options = load(ROOT / "roles" / role / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"]
    specified = {name: option["default"] for name, option in options.items() if "default" in option}
    assert specified == load(ROOT / "roles" / role / "defaults" / "main.yml")


def test_every_variable_of_mail_plan_is_an_option_of_a_role():
    documentation = (ROOT / "plugins" / "modules" / "mail_plan.py").read_text(encoding="utf-8")
    (text,) = re.findall(r'DOCUMENTATION = r"""(.*?)"""', documentation, re.DOTALL)
    wanted = set(yaml.safe_load(text)["options"])
    specs = [load(ROOT / "roles" / role / "meta" / "argument_specs.yml") for role in ROLES]
    assert wanted <= {name for spec in specs for name in spec["argument_specs"]["main"]["options"]}


def test_every_backend_has_its_adapter_its_templates_and_its_hosts():
    names = [path.stem for path in BACKENDS]
    assert [adapter_class(name).name for name in names] == names
    specs = load(ROOT / "roles" / "mta" / "meta" / "argument_specs.yml")["argument_specs"]
    assert names == sorted(KNOWN) == specs["main"]["options"]["mta_backend"]["choices"]
    assert names == sorted(path.name for path in (ROOT / "roles" / "mta" / "templates").iterdir() if path.is_dir())
    variables = ROOT / "molecule" / "inventory" / "group_vars"
    assert all((variables / f"{name}.yml").is_file() for name in names)


def test_every_mta_has_a_reader_of_its_queue_and_can_be_replaced():
    documentation = (ROOT / "plugins" / "modules" / "config_transaction.py").read_text(encoding="utf-8")
    (text,) = re.findall(r'DOCUMENTATION = r"""(.*?)"""', documentation, re.DOTALL)
    suboptions = yaml.safe_load(text)["options"]["replaces"]["suboptions"]
    assert (
        sorted(SPOOLS)
        == sorted(KNOWN)
        == sorted(DAEMONS)
        == suboptions["mta"]["choices"]
        == suboptions["by"]["choices"]
    )


@pytest.mark.parametrize("spool", [spool for spool in SPOOLS.values() if spool.drain], ids=lambda spool: spool.mta)
def test_what_comes_before_a_stop_comes_before_a_restart_too(spool):
    (backend,) = (load(path) for path in BACKENDS if path.stem == spool.mta)
    restart = backend["mta_backend_transaction"]["service"]["restart"]
    assert (*restart[:2], restart[2][: len(spool.drain[2])]) == spool.drain


def scripts(value):
    """The shell scripts among the commands in some data."""
    if isinstance(value, list) and value[:2] == ["sh", "-c"]:
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from scripts(item)


@pytest.mark.parametrize("path", BACKENDS, ids=lambda path: path.stem)
def test_a_shell_script_has_a_name_by_which_a_message_calls_it(path):
    names = [script[3:4] for script in scripts(load(path))]
    assert all(name and name[0] != "sh" and "\n" not in name[0] for name in names)


def test_the_backends_share_one_schema():
    schemas = {path.stem: set(load(path)) for path in BACKENDS}
    transactions = {path.stem: set(load(path)["mta_backend_transaction"]) for path in BACKENDS}
    assert len({frozenset(schema) for schema in schemas.values()}) == 1
    assert len({frozenset(schema) for schema in transactions.values()}) == 1


def test_make_test_runs_every_scenario():
    (listed,) = re.findall(r"^SCENARIO \?= (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    there = [path.parent.name for path in (ROOT / "molecule").glob("*/molecule.yml")]
    assert sorted(listed.split()) == sorted({*there} - {"default"})


def test_no_role_or_playbook_branches_on_the_backend():
    files = [path for folder in ("roles", "playbooks") for path in (ROOT / folder).rglob("*.yml")]
    assert files
    assert not [path for path in files if re.search(r"mta_backend\s*(==|!=|in\b)", path.read_text(encoding="utf-8"))]


def test_every_module_is_in_the_action_group():
    modules = sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("*.py"))
    groups = load(ROOT / "meta" / "runtime.yml")["action_groups"]
    assert sorted(groups["postmaster"]) == modules


def test_the_page_of_the_catalogue_is_what_the_code_renders():
    rendered = runpy.run_path(str(ROOT / "docs" / "render.py"))["catalogue"]()
    assert (ROOT / "docs" / "catalogue.md").read_text(encoding="utf-8") == rendered


def test_the_page_of_what_was_measured_has_every_row_and_no_blank():
    page = (ROOT / "docs" / "conformance.md").read_text(encoding="utf-8")
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line[:1] == "|"]
    heads, _rule, *rows = lines
    assert [row[0] for row in rows] == list(REQUIREMENTS)
    assert len(heads) == 2 + 2 * len(KNOWN)
    assert all(len(row) == len(heads) and all(row) for row in rows)


def named_by_tasks(node):
    """The variables that tasks set."""
    if isinstance(node, list):
        return {name for item in node for name in named_by_tasks(item)}
    if not isinstance(node, dict):
        return set()
    register = node.get("register", [])
    own = {*(node.get("vars") or {}), *([register] if isinstance(register, str) else [])}
    return own | {name for inner in node.values() for name in named_by_tasks(inner)}


def by_prefix(names):
    return {
        prefix: tuple(sorted(name[len(prefix) :] for name in names if name.startswith(prefix))) for prefix in PUBLIC
    }


def test_the_names_of_all_variables_are_known():
    """A name that is not would be called misspelled."""
    specs = [load(path)["argument_specs"] for path in (ROOT / "roles").glob("*/meta/argument_specs.yml")]
    public = {name for spec in specs for entry in spec.values() for name in entry.get("options", {})}
    own = {name for path in (ROOT / "roles").glob("*/vars/**/*.yml") for name in load(path)}
    own |= {name for path in (ROOT / "roles").glob("*/tasks/*.yml") for name in named_by_tasks(load(path))}
    assert by_prefix(public) == PUBLIC
    assert by_prefix(own - public) == INTERNAL
