# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever happens, a module ends with a result, and the result is a sentence: never a traceback, never silence."""

from __future__ import annotations

import contextlib
import pathlib
import secrets
import threading

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils.verdict import ORDER
from hostile_servers import HOSTILE
from mail_servers import Mail, Server, mbox_entry
from weight import Weight

DEEP = b'{"ANSIBLE_MODULE_ARGS": {"servers": ["mx.example.org"], "domains": %s%s}}' % (b"[" * 3000, b"]" * 3000)
REPLACED = """
import sys
sys.path[:0] = sys.argv[1:3]
from ansible_collections.mailops.postmaster.plugins.module_utils.smtp import probe
def work(params, check_mode):
    {}
probe.probe_servers = work
"""

WRONG = [
    ("raise MemoryError", "there was not enough memory"),
    ("work(params, check_mode)", "nested too deeply"),
    ("'\\udc80'.encode()", "UnicodeEncodeError in"),
    ("open('/etc/hostname/x')", "/etc/hostname/x: Not a directory"),
    ("return None", "TypeError in runner.py line"),
    ("return {'x': [[]] * (1 << 40)}", "there was not enough memory"),
    ("a = []; [a := [a] for _ in range(100000)]; return {'x': a}", "nested too deeply"),
    ("while True: pass", "the module had not ended after 1 s, its deadline"),
    (
        "import signal, time; signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM}); time.sleep(600)",
        "the module had not ended after 1 s, its deadline: it waits for the system, and was ended",
    ),
]


@pytest.mark.parametrize(("body", "said"), WRONG)
def test_whatever_goes_wrong_in_a_module_is_a_sentence(spawn_module, held, body, said):
    params = {"servers": ["mx.example.org"], "deadline": 1}
    run = spawn_module("smtp_probe", params, before=REPLACED.format(body))
    assert run.result["failed"]
    assert said in run.result["msg"]
    assert "\n" not in run.result["msg"]
    assert run.result.get("verdict") == ("inconclusive" if "its deadline" in said else None)
    held(run, [body], deadline=1)


def test_arguments_that_are_nested_too_deeply_are_a_sentence(spawn_module):
    run = spawn_module("smtp_probe", DEEP)
    assert run.result["failed"]
    assert run.megabytes < 300


DEADLINE = 20  # seconds; a machine that is busy needs some for itself
PATIENT = 60  # the same, where this process delivers as well, and has to keep up
TIMEOUT = 0.5


@pytest.fixture
def hostile(serve):
    """The ports of all hostile servers, by name."""
    return {name: serve(server) for name, server in HOSTILE.items()}


@pytest.fixture
def held(spawn_module):
    """``held(run, tried)``: a module kept its limits, beside what a start of Python costs; prints what was tried."""
    start = spawn_module("smtp_probe", {"servers": []}).seconds

    def check(run, tried, deadline=DEADLINE):
        print(f"{run.seconds:.1f} s (start: {start:.1f} s), {run.megabytes:.0f} MB", *tried, sep="\n")
        assert run.seconds - 3 * start < deadline + 5
        assert run.megabytes < 300

    return check


def test_the_probe_of_all_hostile_servers_keeps_its_limits_and_has_a_verdict_for_each(spawn_module, hostile, held):
    params = {
        "servers": [f"127.0.0.1:{port}" for port in hostile.values()],
        "domains": ["example.org", "example.net"],
        "helo": "probe.example",
        "send": True,
        "send_forms": "all",
        "timeout": TIMEOUT,
        "deadline": DEADLINE,
    }
    run = spawn_module("smtp_probe", params)
    verdicts = {name: server["verdict"] for name, server in zip(hostile, run.result["servers"])}
    held(run, verdicts.items())
    assert set(verdicts) == set(HOSTILE)
    assert set(verdicts.values()) <= set(ORDER)
    assert run.result["verdict"] in ORDER


MAIL_HOST = """
import sys
sys.path[:0] = [*sys.argv[1:3], {tests!r}]
import fake_mta
from ansible_collections.mailops.postmaster.plugins.module_utils import prove
from ansible_collections.mailops.postmaster.plugins.module_utils.smtp import callouts
callouts.TIMEOUT = {timeout}
class Mta(fake_mta.Mta):
    ends = {ends}
fake_mta.use(Mta, {ports})
"""
TESTS = pathlib.Path(__file__).parents[1]


def mail_host(ends=(("mailbox", "/nonexistent/alice"),), ports=()):
    """What makes a process a mail host whose mail ends there, and whose servers listen on those ports."""
    return MAIL_HOST.format(tests=str(TESTS), timeout=TIMEOUT, ends=ends, ports=ports)


MANY = 'tuple(("remote", f"a@far{n}.example", f"[127.0.0.1]:{n % 100 + 1001}") for n in range(10000))'


def test_the_proof_of_a_host_whose_mail_goes_to_all_hostile_servers_keeps_its_limits(spawn_module, hostile, held):
    ends = [("remote", f"{number}@far.example", f"[127.0.0.1]:{port}") for number, port in enumerate(hostile.values())]
    run = spawn_module("postmaster_check", {"deadline": DEADLINE, "report_only": True}, before=mail_host(tuple(ends)))
    held(run, HOSTILE)
    assert run.result["verdict"] in ORDER
    assert not run.result["failed"]
    (found,) = [domain for domain in run.result["domains"] if domain["domain"] == "example.org"]
    assert len(found["resolves"]["addresses"][0]["destinations"]) == len(HOSTILE)


def test_the_proof_of_a_host_that_has_all_hostile_servers_keeps_its_limits(spawn_module, hostile, held):
    before = mail_host(ports=tuple(hostile.values()))
    run = spawn_module("postmaster_check", {"deadline": DEADLINE, "timeout": 1, "report_only": True}, before=before)
    held(run, HOSTILE)
    assert run.result["verdict"] in ORDER
    assert [domain["domain"] for domain in run.result["domains"]][:2] == ["example.org", "mx.example.org"]
    assert run.result["domains"][0]["resolves"]["verdict"] == "pass"


def test_ten_thousand_remote_addresses_keep_the_limits(spawn_module, held):
    run = spawn_module("postmaster_check", {"deadline": DEADLINE, "report_only": True}, before=mail_host(MANY))
    held(run, [run.result["summary"]])
    assert run.result["verdict"] == "inconclusive"
    assert "other hosts are asked about 100 addresses at most" in "".join(run.result["findings"])


TWO = """
class Two(Mta):
    domains = ("example.org", "example.net")
    def step(self, node):
        hers = str(node).endswith("@example.org")
        ends = [f"{home}/m{{number}}" for number in range(100)] if hers else ["{home}/bob"]
        return fake_mta.Step(destinations=tuple(fake_mta.Destination("mailbox", end) for end in ends))
fake_mta.use(Two, {ports})
"""


def links(home, number):
    (home / f"m{number}").symlink_to("Maildir")
    return home / f"m{number}"


def mboxes(home, number):
    return home / f"m{number}"


def maildirs(home, number):
    for folder in ("new", "cur"):
        (home / f"m{number}" / folder).mkdir(parents=True)
    return home / f"m{number}"


def put(box, content):
    """Deliver a message to a mailbox as an MTA does."""
    if (box / "new").is_dir():
        (box / "new" / secrets.token_hex(8)).write_bytes(content)
    else:
        with box.open("ab") as file:
            file.write(mbox_entry(content))


@contextlib.contextmanager
def filling(folder, most=100_000):
    """Somebody makes files as fast as he can."""
    ended = threading.Event()

    def fill():
        for number in range(most):
            if ended.is_set():
                return
            (folder / f"{number}.x").touch()

    thread = threading.Thread(target=fill, daemon=True)
    thread.start()
    yield
    ended.set()
    thread.join()


@pytest.mark.parametrize("fills", [False, True], ids=["and no more", "and one that grows"])
@pytest.mark.parametrize("make", [links, mboxes, maildirs])
def test_who_has_his_mail_put_into_100_mailboxes_costs_no_other_domain_its_verdict(
    spawn_module, serve, held, tmp_path, make, fills
):
    home = tmp_path / "alice"
    for folder in ("new", "cur"):
        (home / "Maildir" / folder).mkdir(parents=True)
    hers = [make(home, number) for number in range(100)]

    class Delivering(Mail):
        def rcpt(self, address, sender, before):
            return "250 2.1.5 Ok" if address == "postmaster@mx.example.org" else super().rcpt(address, sender, before)

        def data(self, envelope):
            for box in hers if "example.org" in envelope.rcpt_tos[0].lower().split("@") else [home / "bob"]:
                put(box, envelope.content)
            return super().data(envelope)

    port = serve(lambda: Server(Delivering(), decode_data=False))
    before = mail_host() + TWO.format(home=home, ports=[port])
    grows = filling(home / ("m0" if make is maildirs else "Maildir") / "new") if fills else contextlib.nullcontext()
    with Weight() as weight, grows:
        params = {"deadline": PATIENT, "timeout": 15, "report_only": True, "unread_days": 7, "send_forms": "all"}
        run = spawn_module("postmaster_check", params, before=before)
    verdicts = {domain["domain"]: domain["verdict"] for domain in run.result["domains"]}
    tried = [make.__name__, f"{weight.megabytes:.0f} MB in {weight.processes} processes", *verdicts.items()]
    held(run, tried, PATIENT)
    assert weight.megabytes < 300
    assert verdicts["example.net"] == "pass"
    assert verdicts["example.org"] in ("inconclusive", "fail")
    assert "of one address no more than" in "".join(run.result["findings"])
