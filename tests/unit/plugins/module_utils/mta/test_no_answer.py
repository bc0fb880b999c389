# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An answer that timed out is none: it is never read as an empty one, and asked for again."""

from __future__ import annotations

import pathlib
import re

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system.host import Completed, NoAnswerError
from ansible_collections.mailops.postmaster.plugins.module_utils.mta import sendmail_tools
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.exim_route import Routers
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.info import describe
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.postfix_tables import Key, Tables
from ansible_collections.mailops.postmaster.plugins.module_utils.mta.sendmail_tools import Tools
from fakes import FakeHost

# who asks, and the program that does not answer
QUESTIONS = {
    "an alias of Sendmail": (lambda host: Tools(host, []), lambda tools: tools.alias("postmaster"), "sendmail -bt"),
    "a route of Sendmail": (lambda host: Tools(host, []), lambda tools: tools.route("a@b.example"), "sendmail -bt"),
    "a local name of Sendmail": (lambda host: Tools(host, []), lambda tools: tools.onward("alice"), "sendmail -bt"),
    "a mailbox of Sendmail": (lambda host: Tools(host, []), lambda tools: tools.stays("alice"), "sendmail -bv -t"),
    "an expansion of Exim": (lambda host: Routers(host, {}, [], []), lambda exim: exim.expand("${lc:A}"), "exim4 -be"),
    "a table of Postfix": (
        lambda host: Tables(host, "/etc/postfix"),
        lambda tables: tables.find(["inline:{a=b}"], [Key("postmaster")]),
        "postmap -c /etc/postfix -q - inline:{a=b}",
    ),
    "the keys of a Postfix": (
        lambda host: Tables(host, "/etc/postfix"),
        lambda tables: tables.keys("hash:/etc/aliases"),
        "postmap -c /etc/postfix -s hash:/etc/aliases",
    ),
    "a host": (lambda host: host, describe, "postconf -x"),
}


@pytest.mark.parametrize("said", ["", "half of it\n"])
@pytest.mark.parametrize("question", QUESTIONS)
def test_an_answer_that_timed_out_is_an_error_that_names_the_program_each_time(question, said):
    make, ask, command = QUESTIONS[question]
    host = FakeHost()
    host.run = lambda argv, stdin="", timeout=30.0: Completed(tuple(argv), 124, said + stdin[:0], "", True, timeout)
    host.deadline = None
    asker = make(host)
    for _time in range(2):
        with pytest.raises(NoAnswerError, match=f"`{re.escape(command)}.*` did not end within [0-9]+ s"):
            ask(asker)


# what looks at the time-out itself: it asks once more without the address in question, or asks how long something takes
LOOKS = {"exim_oracle.py", "sendmail_name.py"}


def test_no_adapter_reads_what_a_program_says_without_asking_whether_it_has_answered():
    folder = pathlib.Path(sendmail_tools.__file__).parent
    assert {path.name for path in folder.glob("*.py") if "host.run(" in path.read_text(encoding="utf-8")} == LOOKS
