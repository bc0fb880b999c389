# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A journal that cannot be read is in nobody's way; one of before is followed, one of a later version left alone."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import pathlib
import tracemalloc
import zlib

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system.image import Image
from ansible_collections.mailops.postmaster.plugins.module_utils.errors import UserError
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction import journal, store, undo
from ansible_collections.mailops.postmaster.plugins.module_utils.transaction.journal import (
    FIELDS,
    LARGE,
    BadJournalError,
    Journal,
    NewerJournalError,
)

OLD, NEW = "interfaces = loopback\n", "interfaces = all\n"
WITHOUT_VERSION = pathlib.Path(__file__).parent / "journals" / "without_version.json"
GOOD = json.loads(Journal("1-2", {"/etc/x": None}).dump())
IMAGE = {"content": "", "uid": 0, "gid": 0, "mode": 420}
PACKAGES = {"wanted": [], "added": [], "before": {}, "manual": []}
SWITCH = {"old": "exim", "new": "postfix", "aliases": [], "packages": PACKAGES}
CUT_OFF = base64.b64encode(zlib.compress(b"a" * 1000)[:-8]).decode()


def changed(**fields):
    return json.dumps({**GOOD, **fields}).encode()


# What is there in place of a journal, and what is said of it.
BAD = {
    "a brace": (b"{", "is cut off"),
    "cut off": (changed()[:-20], "is cut off"),
    "cut off behind an inner brace": (b'{"images": {}', "is not JSON"),
    "empty": (b"", "is empty"),
    "binary": (bytes(range(256)) * 10, "does not begin as a journal does"),
    "braces around what is no text": (b"{" + bytes(range(256)) + b"}", "is not JSON"),
    "a list": (b"[]", "does not begin"),
    "nested without end": (b'{"a": ' + b"[" * 100000 + b"]" * 100000 + b"}", "is not JSON"),
    "an absurd number": (b'{"deadline": ' + b"1" * 5000 + b', "transaction": "1", "images": {}}', ""),
    "no fields": (b"{}", "has no transaction and no images"),
    "no images": (json.dumps({"transaction": "1-2"}).encode(), "has no images"),
    "a version that is none": (changed(version="new"), "has a version that is not allowed"),
    "a version that is a number": (changed(version=1.0), "has a version that is not allowed"),
    "an id that is a path": (changed(transaction="../../etc/x"), "not allowed in transaction"),
    "an id with a point": (changed(transaction="1.2"), "not allowed in transaction"),
    "an id that is a number": (changed(transaction=12), "not allowed in transaction"),
    "images that are a list": (changed(images=[]), "not allowed in images"),
    "a relative path": (changed(images={"x": None}), "not allowed in images"),
    "a NUL in a path": (changed(images={"/x\0": None}), "not allowed in images"),
    "an image that is a text": (changed(images={"/x": "y"}), "not allowed in images"),
    "an image without an owner": (changed(images={"/x": {**IMAGE, "uid": None}}), "not allowed in images"),
    "a mode that is none": (changed(images={"/x": {**IMAGE, "mode": 1 << 20}}), "not allowed in images"),
    "a content that is no base64": (changed(images={"/x": {**IMAGE, "content": "?"}}), "not allowed in images"),
    "a large content that is not compressed": (
        changed(images={"/x": {**IMAGE, "content": "YQ==", "packed": True}}),
        "not allowed in images",
    ),
    "a large content that is cut off": (
        changed(images={"/x": {**IMAGE, "content": CUT_OFF, "packed": True}}),
        "not allowed in images: is cut off",
    ),
    "packed in a way that is none": (changed(images={"/x": {**IMAGE, "packed": "zip"}}), "not allowed in images"),
    "a deadline that is a text": (changed(deadline="soon"), "not allowed in deadline"),
    "a deadline that is none": (changed(deadline=float("nan")), "not allowed in deadline"),
    "no timeout": (changed(timeout=0), "not allowed in timeout"),
    "a truth for a timeout": (changed(timeout=True), "not allowed in timeout"),
    "an activation that is not known": (changed(activation="explode"), "not allowed in activation"),
    "an activation that is a list": (changed(activation=[]), "not allowed in activation"),
    "a service without a restart": (changed(service={"name": "x", "reload": []}), "not allowed in service"),
    "a service of numbers": (changed(service={"name": 1, "reload": [], "restart": []}), "not allowed in service"),
    "a listener that is a text": (changed(answers=["x"]), "not allowed in answers"),
    "a port that is none": (
        changed(answered=[{"address": "::1", "port": 65536, "greeting": ""}]),
        "not allowed in answered",
    ),
    "a switch of nothing": (changed(switch={"old": "exim"}), "not allowed in switch"),
    "a switch of packages that are none": (changed(switch={**SWITCH, "packages": {}}), "not allowed in switch"),
    "a switch to what is not known": (
        changed(switch={**SWITCH, "new": "qmail"}),
        "names an MTA that is not known: qmail",
    ),
    "several of them": (changed(timeout=0, answers=0), "not allowed in answers and in timeout"),
}


@pytest.fixture
def timer(system, state, monkeypatch):
    """The program that the host runs by itself."""
    monkeypatch.setattr(undo, "Host", lambda: system)
    said = []
    monkeypatch.setattr(undo, "_say", said.append)
    return lambda: (undo.main([str(state)]), said)


def huge(path):
    with path.open("wb") as file:
        file.truncate(100 << 20)


def huge_text(path):
    path.write_bytes(b"{" + b" " * (10 << 20) + b"}")


# What else can be there.
KINDS = {
    "a directory": (lambda path: path.mkdir(), "is a directory"),
    "a full directory": (lambda path: (path.mkdir(), (path / "x").touch()), "is a directory"),
    "a FIFO": (os.mkfifo, "is a FIFO"),
    "a link": (lambda path: path.symlink_to("/etc/passwd"), "is a link"),
    "100 MB of nothing": (huge, "does not begin"),
    "10 MB of blanks": (huge_text, "has no transaction"),
    **{name: (lambda path, raw=raw: path.write_bytes(raw), said) for name, (raw, said) in BAD.items()},
}


def aside(state):
    return sorted(path.name for path in state.iterdir() if "bad" in path.name)


@pytest.mark.parametrize("name", ["pending", "undoing"])
@pytest.mark.parametrize(("make", "said"), KINDS.values(), ids=KINDS)
def test_a_bad_journal_is_put_aside_and_the_change_goes_on(transact, live, state, name, make, said):
    state.mkdir(mode=0o700)
    make(state / f"{name}.json")
    foreseen = transact(check_mode=True)
    assert said in foreseen["warnings"][0]
    assert "a run puts it aside" in foreseen["warnings"][0]
    assert aside(state) == []
    result = transact()
    assert (result["state"], (live / "main.cf").read_text()) == ("confirmed", NEW)
    assert said in result["warnings"][0]
    assert f"put aside as {state}/{name}.bad-1.json" in result["warnings"][0]
    assert aside(state) == [f"{name}.bad-1.json"]
    assert transact()["warnings"] == []


def test_a_second_bad_one_takes_no_place_of_the_first(transact, state):
    state.mkdir(mode=0o700)
    for number in (1, 2):
        (state / "pending.json").write_text("{" * number)
        transact(content=f"number = {number}\n")
    assert [(state / name).read_text() for name in aside(state)] == ["{", "{{"]


@pytest.mark.parametrize("wanted", ["confirm", "rollback"])
def test_a_bad_journal_is_in_the_way_of_no_end(transact, finish, state, system, wanted):
    name = transact(confirm_timeout=600)["transaction"]
    (state / "pending.json").write_text("{")
    assert finish(wanted, check_mode=True)["warnings"]
    assert aside(state) == []
    with pytest.raises(UserError, match=f"transaction {name} cannot be") as caught:
        finish(wanted, name)
    assert f"{state}/pending.bad-1.json" in caught.value.result["warnings"][0]
    assert ["systemctl", "--quiet", "stop", "mailops-postmaster-undo.timer"] in system.ran
    assert finish(wanted) == {"changed": False, "state": "unchanged", "transaction": ""}


def test_a_bad_journal_ends_the_timer_which_says_so(transact, timer, state, live):
    transact(confirm_timeout=600)
    (state / "pending.json").write_text("{")
    status, said = timer()
    assert (status, aside(state), (live / "main.cf").read_text()) == (0, ["pending.bad-1.json"], NEW)
    assert f"put aside as {state}/pending.bad-1.json" in said[0]
    assert timer() == (0, said)


def test_behind_a_bad_journal_the_other_one_is_found(transact, finish, state, live):
    transact(confirm_timeout=600)
    (state / "undoing.json").write_text("{")
    assert finish("rollback")["state"] == "rolled_back"
    assert (live / "main.cf").read_text() == OLD


@pytest.mark.parametrize(("make", "said"), KINDS.values(), ids=KINDS)
def test_a_bad_journal_of_a_transaction_that_has_ended_is_put_aside_and_its_end_stays_known(
    transact, finish, state, make, said
):
    name = transact(confirm_timeout=600)["transaction"]
    finish("rollback")
    ended = state / "transactions" / f"{name}.rolled_back.json"
    ended.unlink()
    make(ended)
    result = transact(content="a = b\n")
    assert said in result["warnings"][0]
    assert os.path.lexists(state / "transactions" / f"{name}.rolled_back.bad")
    assert not os.path.lexists(ended)
    assert transact(content="a = c\n")["warnings"] == []
    assert finish("rollback", name)["state"] == "rolled_back"
    for number in range(store.KEPT):
        transact(content=f"number = {number}\n")
    assert not os.path.lexists(state / "transactions" / f"{name}.rolled_back.bad")


@pytest.mark.parametrize("at", ["before it is looked for", "before it is read"])
@pytest.mark.parametrize("moved", ["pending", "undoing"])
def test_a_look_finds_a_journal_that_is_moved_meanwhile(transact, state, monkeypatch, at, moved):
    """The host itself rolls back while a run begins: without the lock, what is there can move at any time."""
    transact(confirm_timeout=600)
    found = store.Store(str(state))
    names = {
        "pending": (state / "pending.json", state / "undoing.json"),
        "undoing": (state / "undoing.json", state / "gone"),
    }
    old, new = names[moved]
    if moved == "undoing":
        (state / "pending.json").rename(old)
    real = {"before it is looked for": store.there, "before it is read": store.load}[at]
    moves = iter([True])

    def meanwhile(path):
        if path == str(old) and next(moves, False):
            old.rename(new)
        return real(path)

    monkeypatch.setattr(store, real.__name__, meanwhile)
    seen = found.look()
    assert (seen.journal is not None) == (moved == "pending")
    assert seen.bad == {}


@pytest.mark.parametrize("name", ["stage-x", "stage-a1b2c3_z"])
def test_a_file_with_the_name_of_a_stage_is_none_and_stays(transact, state, name):
    transact()
    (state / name).write_text("")
    assert transact(content="a = b\n")["state"] == "confirmed"
    assert (state / name).exists()


def test_every_field_of_a_journal_is_checked():
    assert list(FIELDS) == [field.name for field in dataclasses.fields(Journal)]


def test_a_journal_is_read_as_it_was_written():
    known = Journal("1-2", {"/x": None}, 5.0, "none", switch=SWITCH)
    assert Journal.load(known.dump()) == known


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.99", "2.0", "2.99"])
def test_what_a_later_version_adds_is_left_out_where_that_is_safe(version):
    found = Journal.load(changed(version=version, colour="blue", images={"/x": {**IMAGE, "acl": "x"}}))
    assert list(found.images) == ["/x"]


@pytest.mark.parametrize("version", ["3.0", "10.1"])
def test_the_first_number_of_a_later_version_says_that_it_is_not_for_this_one(version):
    with pytest.raises(NewerJournalError, match=version):
        Journal.load(changed(version=version, images="all is different"))


def test_a_program_of_before_reads_what_has_no_large_content():
    assert GOOD["version"] == ".".join(map(str, journal.PLAIN))


@pytest.mark.parametrize(
    ("octets", "version"), [(0, "1.0"), (LARGE - 1, "1.0"), (LARGE, "2.0"), (5 * LARGE, "2.0")], ids=str
)
def test_a_large_content_is_compressed_and_read_as_it_was(octets, version):
    known = Journal(
        "1-2", {"/large": Image(b"\n\xff" * (octets // 2) + b"a" * (octets % 2), 1, 2, 0o640), "/none": None}
    )
    raw = known.dump()
    assert (json.loads(raw)["version"], Journal.load(raw)) == (version, known)
    assert version == "1.0" or len(raw) < octets


def test_a_journal_costs_no_second_copy_of_a_large_content():
    known = Journal("1-2", {"/large": Image(b"name: user\n" * LARGE, 0, 0, 0o644)})
    tracemalloc.start()
    try:
        known.dump()
        assert tracemalloc.get_traced_memory()[1] < 11 * LARGE / 2
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("raw", [raw for raw, said in BAD.values() if "known" not in said])
def test_a_bad_journal_is_an_error_of_its_own(raw):
    with pytest.raises(BadJournalError):
        Journal.load(raw)


def test_a_pending_change_of_a_later_version_is_not_touched(transact, finish, timer, state, live):
    transact(confirm_timeout=600)
    raw = json.dumps({**json.loads((state / "pending.json").read_bytes()), "version": "3.0"})
    (state / "pending.json").write_text(raw)
    for way in (transact, lambda: transact(check_mode=True), lambda: finish("rollback"), lambda: finish("confirm")):
        with pytest.raises(UserError, match=r"later version .* \(journal 3\.0, this version knows 2\.0\)"):
            way()
    status, said = timer()
    assert (status, "later version" in said[0]) == (1, True)
    assert ((state / "pending.json").read_text(), (live / "main.cf").read_text()) == (raw, NEW)


def test_a_change_that_would_have_no_way_back_changes_nothing(transact, live, state, system, monkeypatch):
    (live / "main.cf").write_bytes(os.urandom(4000))
    before = (live / "main.cf").read_bytes()
    monkeypatch.setattr(store, "LIMIT", 5000)
    with pytest.raises(UserError, match=r"too large to be kept for a way back: .*/main\.cf \(4000 octets\)"):
        transact()
    assert ((live / "main.cf").read_bytes(), (state / "pending.json").exists(), system.told) == (before, False, [])
    with pytest.raises(UserError, match="too large"):
        store.Store(str(state)).begin(Journal("1-2", {"/x": Image(before, 0, 0, 0o644)}))


@pytest.fixture
def upgraded(live, state):
    """A change that a version without versions began, and that is pending."""
    text = WITHOUT_VERSION.read_text().replace("{live}", str(live))
    text = text.replace('"{uid}"', str(os.geteuid())).replace('"{gid}"', str(os.getegid()))
    (state / "transactions").mkdir(parents=True, mode=0o700)
    state.chmod(0o700)
    (state / "pending.json").write_text(text)
    (live / "main.cf").write_text(NEW)
    for name in ("table", "table.db"):
        (live / name).write_text("a b\n")
    return json.loads(text)["transaction"]


def names(live):
    return sorted(path.name for path in live.iterdir())


def test_a_change_is_confirmed_after_an_upgrade_of_the_collection(upgraded, finish, live):
    assert finish("confirm", upgraded)["state"] == "confirmed"
    assert ((live / "main.cf").read_text(), names(live)) == (NEW, ["main.cf", "master.cf", "table", "table.db"])
    assert finish("confirm", upgraded)["state"] == "confirmed"


ROLLED_BACK = {
    "asked to": lambda finish, _timer, name, _transact: finish("rollback", name),
    "by the timer": lambda _finish, timer, _name, _transact: timer(),
    "by the next run": lambda _finish, _timer, _name, transact: transact(content=OLD, files=[]),
}


@pytest.mark.parametrize("how", ROLLED_BACK)
def test_a_change_is_rolled_back_after_an_upgrade(upgraded, finish, timer, transact, system, live, how):
    ROLLED_BACK[how](finish, timer, upgraded, transact)
    assert ((live / "main.cf").read_text(), names(live)) == (OLD, ["main.cf", "master.cf"])
    assert system.told == ["start"]
    with pytest.raises(UserError, match=f"{upgraded} cannot be confirmed any more: it was rolled back"):
        finish("confirm", upgraded)


def test_what_an_earlier_version_has_kept_is_older_than_any_new_one(transact, upgraded, finish, state):
    finish("rollback", upgraded)
    for number in range(9, 4, -1):  # of a clock that ran ahead, in the order of their ends
        (state / "transactions" / f"999999999{number}-aaaaaaaa.confirmed.json").write_bytes(Journal("1-2", {}).dump())
    made = [transact(content=f"number = {number}\n")["transaction"] for number in range(7)]
    assert {path.name.partition(".")[0] for path in (state / "transactions").iterdir()} == set(made[-store.KEPT :])


ODD = [
    "x-1",
    "-",
    "1-2",
    "1-2-3",
    "1-aaaaaaaa.",
    "1-AAAAAAAA",
    "9" * 150 + "-1",
    "\u0663-aaaaaaaa",
    "1" * 16 + "-aaaaaaaa",
]


@pytest.mark.parametrize("name", ODD)
def test_a_journal_of_a_name_that_no_version_has_given_stays_and_counts_for_nothing(transact, state, name):
    (state / "transactions").mkdir(parents=True, mode=0o700)
    state.chmod(0o700)
    (state / "transactions" / f"{name}.confirmed.json").write_bytes(Journal("1-2", {}).dump())
    made = [transact(content=f"number = {number}\n")["transaction"] for number in range(6)]
    there = {path.name.removesuffix(".confirmed.json") for path in (state / "transactions").iterdir()}
    assert there == {name, *made[-store.KEPT :]}
