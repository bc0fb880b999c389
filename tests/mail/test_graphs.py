# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What address_resolve says of generated alias graphs, against what really happens to a message for each of them.

``GRAPHS_SEED`` in the environment gives other graphs than those of every run.
"""

from __future__ import annotations

import json
import os
import random

import graphs
import pytest
from conftest import TRIED

SEED = int(os.environ.get("GRAPHS_SEED", "5321"))
COUNT = 300
SENDER = "carol"

WRITE = """
import json, os, subprocess, sys
work = json.load(sys.stdin)
os.makedirs(work["folder"], exist_ok=True)
for path, members in work["lists"].items():
    with open(path, "w") as file:
        file.write("".join(member + "\\n" for member in members))
with open("/etc/aliases") as file:
    good = file.read()
with open("/etc/aliases.good", "w") as file:
    file.write(good)
with open("/etc/aliases", "w") as file:
    file.write(good + "".join("%s: %s\\n" % (name, ", ".join(members)) for name, members in work["entries"].items()))
if work["rebuild"]:
    subprocess.run(work["rebuild"], check=True, stdout=subprocess.DEVNULL)
"""
MEND = """
import os, subprocess, sys
os.rename("/etc/aliases.good", "/etc/aliases")
os.utime("/etc/aliases")
if sys.argv[1:]:
    subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
"""
FIND = """
import json, re, sys
found = {}
for account in sys.argv[1:]:
    try:
        with open("/var/mail/" + account, errors="replace") as file:
            text = file.read()
    except FileNotFoundError:
        text = ""
    heads = "\\n".join(message.partition("\\n\\n")[0] for message in re.split("^From ", text, flags=re.M))
    # a person has a message of that token; the sender has it back
    found[account] = re.findall("^X-Token: ([0-9a-f]+)$", text if account == sys.argv[-1] else heads, re.M)
json.dump(found, sys.stdout)
"""


@pytest.fixture(scope="module")
def judged(lab):
    """For each graph: the walk, whether the server refused or the sender got a DSN, and who has the message."""
    draw = random.Random(SEED)
    shapes = [shape for shape in graphs.SHAPES if shape not in lab.facts.get("lab_shapes_refused", [])]
    made = [graphs.graph(draw, number, lab.names["L"], shapes) for number in range(COUNT)]
    mail_host, rebuild = lab.runner.get_host(lab.name), lab.rebuild()
    work = {
        "folder": graphs.LISTS,
        "lists": {path: members for graph in made for path, members in graph.lists.items()},
        "entries": {name: members for graph in made for name, members in graph.entries.items()},
        "rebuild": rebuild,
    }
    mail_host.check_output("printf %%s %s | sudo python3 -c %s", json.dumps(work), WRITE)
    try:
        addresses = [f"{graph.root}@{lab.names['L']}" for graph in made]
        module = ("mailops.postmaster.address_resolve", f"addresses={','.join(addresses)}")
        resolved = lab.runner.run_module(lab.name, *module, check=False)
        mails = [("EHLO", f"{SENDER}@{lab.names['H']}", address) for address in addresses]
        sent = [reply for first in range(0, COUNT, 100) for reply in lab.send(mails[first : first + 100])]
        lab.settle(lab.name)
        found = json.loads(mail_host.check_output("sudo python3 -c %s" + " %s" * 3, FIND, *graphs.ACCOUNTS, SENDER))
    finally:
        mail_host.check_output("sudo python3 -c %s" + " %s" * len(rebuild), MEND, *rebuild)
    return [
        (graph, walk, code != 250 or token in found[SENDER], {name for name in graphs.ACCOUNTS if token in found[name]})
        for graph, walk, (token, code, _text) in zip(made, resolved["addresses"], sent, strict=True)
    ]


def test_the_walk_and_what_really_happens_agree_on_every_graph(lab, judged, record_property):
    """A loop is one, too, where the MTA delivers to all others on the way and says nothing of it: those are counted."""
    lost, forgiven, differ = 0, 0, []
    for graph, walk, returned, boxes in judged:
        ends = {end["value"].rpartition("/")[2] for end in walk["destinations"] if end["kind"] == "mailbox"}
        rows = {problem["id"] for problem in walk["problems"] if problem["verdict"] == "fail"}
        lost += returned
        if rows == {"R1"} and not returned and boxes == ends != set():
            forgiven += 1
        elif bool(rows) != returned or not boxes <= ends or (not rows and boxes != ends):
            problems = [problem["message"] for problem in walk["problems"]]
            really = f"{sorted(boxes)}, {'returned' if returned else 'not returned'}"
            differ.append(f"{graph.text()}\n  walk: {sorted(ends)} {problems}\n  really: {really}")
    record_property(TRIED, f"{lab.name}: {len(judged)} alias graphs of seed {SEED}: mail for {lost} came back")
    record_property(TRIED, f"{lab.name}: {forgiven} loops did no harm; walk and reality differ on {len(differ)}")
    assert COUNT / 10 < lost < COUNT / 2
    assert forgiven < COUNT / 50
    assert not differ, "\n".join(differ)
