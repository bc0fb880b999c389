# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The account of an MTA owns its spool. It gets nothing from there that it could not read before, and blocks nothing.

As root the spools are those of another account, and what is planted is root's; as somebody else only the links, the
FIFOs and the contents are hostile.
"""

from __future__ import annotations

import contextlib
import io
import os
import pathlib
import resource
import tarfile
import tempfile
import threading
import time
from dataclasses import replace

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils._system.host import Completed, Host
from ansible_collections.mailops.postmaster.plugins.module_utils._system.mounter import NOBODY
from ansible_collections.mailops.postmaster.plugins.module_utils._system.owner import rights_at
from ansible_collections.mailops.postmaster.plugins.module_utils.queue import exim, opensmtpd, postfix, sendmail
from ansible_collections.mailops.postmaster.plugins.module_utils.queue import spool as module
from ansible_collections.mailops.postmaster.plugins.module_utils.queue.saved import Saved, load

ROOT = os.geteuid() == 0
OWNER = 64321 if ROOT else os.geteuid()  # an account that owns nothing else
TOKEN = b"for root's eyes only"
ENDS = 15  # seconds of a processor

EXIM_ID = "1xVUwJ-000000000JW-1Hrz"
EXIM_H = f"{EXIM_ID}-H\nDebian-exim 100 102\n<>\n1795443759 0\nXX\n1\na@b.example\n\n011P Subject: x\n".encode()


def record(kind, data):
    """A record as Postfix writes it, of up to 16383 octets."""
    return kind.encode() + bytes([len(data) & 0x7F | 0x80, len(data) >> 7]) + data


POSTFIX = (
    record("S", b"") + record("R", b"a@b.example") + record("M", b"") + record("N", b"body") + record("X", b"") + b"E\0"
)
# where each MTA keeps a message: file to contents; the first is its key
FILES = {
    "exim": {f"input/{EXIM_ID}-H": EXIM_H, f"input/{EXIM_ID}-D": b"1\nbody\n", f"input/{EXIM_ID}-J": b"c@d.example\n"},
    "postfix": {"active/4bAAAAzzzz": POSTFIX, "bounce/4/4bAAAAzzzz": b"recipient=gone@b.example\n"},
    "opensmtpd": {
        "queue/0a/0af6cb3f/0af6cb3fdfd74cbf": b"type: mta\nsender: @\nrcpt: a@b.example\ndest: a@b.example\n",
        "queue/0a/0af6cb3f/message": b"body\n",
    },
    "sendmail": {"mqueue/qf6ANEPvrJ003824": b"V8\nS<>\nRPFD:a@b.example\n.\n", "mqueue/df6ANEPvrJ003824": b"body\n"},
}
SPOOLS = {
    "exim": (exim.SPOOL, ("input",)),
    "postfix": (postfix.SPOOL, postfix.FOLDERS),
    "opensmtpd": (opensmtpd.SPOOL, ("queue", "offline")),
    "sendmail": (sendmail.SPOOL, ("mqueue", "mqueue-client")),
}
EACH = [(mta, name) for mta, files in FILES.items() for name in files]


class System(Host):
    """Exim is asked where mail for anybody ends: at himself."""

    def run(self, argv, stdin="", timeout=30.0):
        assert (argv, timeout > 0) == (["exim4", "-bt"], True)
        return Completed(tuple(argv), 0, "".join(f"> {asked}\n" for asked in stdin.split("\n")[:-1]) + "> \n", "")


def worked():
    """Seconds that this process and its children have worked: on a machine that others use, too, all take longer."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(found.ru_utime + found.ru_stime for found in both)


class Place:
    """A spool of an account, a file that only root can read, and the directory of what is saved."""

    def __init__(self, path):
        self.path, self.secret = path, path / "secret"
        path.chmod(0o755)
        self.secret.write_bytes(TOKEN)
        self.secret.chmod(0o600)
        self.saved = Saved(System(), str(path / "state" / "queue"))
        (path / "state").mkdir(mode=0o700)
        (path / "spool").mkdir()

    def spool(self, mta):
        spool, folders = SPOOLS[mta]
        return replace(spool, folders=tuple(str(self.path / "spool" / mta / folder) for folder in folders))

    def fill(self, mta, **changed):
        for name, content in {**FILES[mta], **changed}.items():
            file = self.path / "spool" / mta / name
            file.parent.mkdir(parents=True, exist_ok=True)
            new = file.with_name("new")
            new.write_bytes(content)
            new.chmod(0o700)
            new.rename(file)
        self.own(mta)
        return self

    def own(self, mta):
        top = self.path / "spool" / mta
        for folder, folders, files in os.walk(top):
            for name in ["", *folders, *files]:
                os.chown(os.path.join(folder, name), OWNER, OWNER, follow_symlinks=False)
        # only who owns that one, too, as Exim does, can exchange the folders in it
        exchanged = any(path.is_symlink() for path in top.iterdir())
        os.chown(top, *((OWNER, OWNER) if exchanged else (os.geteuid(), os.getegid())))

    def save(self, mta):
        begun = worked()
        unread = self.saved.save(self.spool(mta))
        assert worked() - begun < ENDS
        return unread

    @property
    def kept(self):
        """All that was read of the spools."""
        return b"".join(path.read_bytes() for path in (self.path / "state").rglob("*") if path.is_file())

    def left(self, mta):
        return sorted(path.name for path in (self.path / "spool" / mta).rglob("*") if not path.is_dir())


@pytest.fixture
def place():
    # pytest's own directory can be entered by nobody but root, whoever works in it now
    with tempfile.TemporaryDirectory() as folder:
        yield Place(pathlib.Path(folder))


def link(place, file):
    file.symlink_to(place.secret)


def hard_link(place, file):
    file.hardlink_to(place.secret)


def link_of_a_folder(place, file):
    (place.path / "elsewhere").mkdir(exist_ok=True)
    (place.path / "elsewhere" / file.name).write_bytes(TOKEN)
    (place.path / "elsewhere" / file.name).chmod(0o600)
    (place.path / "elsewhere").chmod(0o700)
    file.parent.rename(file.parent.with_name("was"))
    file.parent.symlink_to(place.path / "elsewhere")


def sparse(_place, file):
    with file.open("wb") as written:
        written.truncate(2 << 40)


PLANTED = {
    "a link": link,
    "a link to itself": lambda _place, file: file.symlink_to(file),
    "a link to a device": lambda _place, file: file.symlink_to("/dev/zero"),
    "a FIFO": lambda _place, file: os.mkfifo(file),
    "a directory": lambda _place, file: file.mkdir(),
    "2 TB without blocks": sparse,
    **({"a hard link": hard_link, "a folder that is a link": link_of_a_folder} if ROOT else {}),
}


@pytest.mark.parametrize("planted", PLANTED)
@pytest.mark.parametrize(("mta", "name"), EACH, ids=[f"{mta}-{name.rpartition('/')[2]}" for mta, name in EACH])
def test_what_is_planted_in_a_spool_gives_nothing_away_and_blocks_nothing(place, mta, name, planted):
    place.fill(mta)
    file = place.path / "spool" / mta / name
    file.unlink()
    PLANTED[planted](place, file)
    place.own(mta)
    there = place.left(mta)
    unread = place.save(mta)
    assert TOKEN not in place.kept
    if unread:
        assert place.left(mta) == there, "nothing of what cannot be read is lost"
    place.saved.give_back(place.spool(mta))
    place.saved.give_back_unread(place.spool(mta))
    assert place.secret.read_bytes() == TOKEN
    assert TOKEN not in b"".join(path.read_bytes() for path in kept_files(place, mta))


def kept_files(place, mta):
    """The files of a spool that its account can read."""
    return [
        path
        for path in (place.path / "spool" / mta).rglob("*")
        if path.is_file() and not path.is_symlink() and path.stat().st_nlink == 1 and path.stat().st_size < 1 << 20
    ]


@pytest.mark.parametrize("mta", FILES)
def test_what_is_as_its_mta_wrote_it_is_saved_beside_what_is_planted(place, mta):
    place.fill(mta)
    first = place.path / "spool" / mta / next(iter(FILES[mta]))
    planted = first.parent.parent / "0b" / "0bf6cb3f" if mta == "opensmtpd" else first.with_name(other(first.name))
    planted.parent.mkdir(exist_ok=True)
    planted.symlink_to(place.secret)
    place.own(mta)
    ((where, why),) = place.save(mta).items()
    assert (where, "is a link" in why or "not a directory" in why.lower()) == (str(planted), True), why
    assert [load(path).mta for path in place.saved.paths()] == [mta]
    assert TOKEN not in place.kept


def other(name):
    return name.replace("6ANEPvrJ", "6ANEPvrK").replace("1xVUwJ", "1xVUwK").replace("4bAAAA", "4bAAAB")


@pytest.mark.parametrize("mta", FILES)
def test_a_race_of_renames_gives_nothing_away(place, mta):
    """The account exchanges the file and its folder all the time, while the queue is saved and given back."""
    place.fill(mta)
    name = list(FILES[mta])[-1]
    file, end = place.path / "spool" / mta / name, time.monotonic() + 2
    bait = file.with_name("bait")
    bait.symlink_to(place.secret)
    place.own(mta)

    def exchange():
        while time.monotonic() < end:
            for one, another in ((file, "was"), (bait, file.name), (file, "bait"), ("was", file.name)):
                with contextlib.suppress(OSError):
                    os.rename(file.parent / one, file.parent / another)

    racing, tried = threading.Thread(target=exchange), 0
    racing.start()
    try:
        while time.monotonic() < end:
            place.saved.save(place.spool(mta))
            place.saved.give_back(place.spool(mta))
            tried += 1
            assert TOKEN not in place.kept
            for path in place.saved.paths():
                os.unlink(path)
            with contextlib.suppress(OSError):  # what is written anew is exchanged, too
                place.fill(mta)
    finally:
        racing.join()
    assert place.secret.read_bytes() == TOKEN
    print(f"{mta}: {tried} looks while {name} was exchanged")


def test_names_with_control_characters_are_shown_clean(place):
    place.fill("exim", **{f"input/\x1b[31m\nred/{EXIM_ID.replace('J', 'K')}-H": b"?"})
    ((_where, why),) = place.save("exim").items()
    unread = place.saved.archives()
    assert "\x1b" not in "".join([*unread, why])
    (place.path / "spool" / "exim" / "input" / "x\x1b").mkdir()
    (place.path / "spool" / "exim" / "input" / "x\x1b" / f"{EXIM_ID.replace('J', 'L')}-H").symlink_to("/")
    place.own("exim")
    assert not [text for found in place.save("exim").items() for text in found if "\x1b" in text or "\n" in text]


# Contents of which none may take long, need much memory, or end otherwise than as a message or as unreadable.
MANY = 100_000
EXIM_HEAD = b"H\nexim 1 1\n<>\n1 0\n"
EXIM_TAIL = b"XX\n1\na@b.example\n\n"
SENDMAIL_HEAD = b"V8\nS<>\n"
CONTENTS = {
    "exim": [
        b"\0" * 1_000_000,
        EXIM_HEAD + b"-a\n" * MANY + b"XX\n1\na@b.example\n\n",
        EXIM_HEAD + b"-(" * MANY,
        EXIM_HEAD + b"-(\n" * MANY,
        EXIM_HEAD + b"-aclm 0 99999999999999999999\n",
        EXIM_HEAD + b"-aclm 0 " + b"9" * MANY + b"\n",
        EXIM_HEAD + b"XX\n-5\n",
        EXIM_HEAD + b"XX\n" + b"9" * MANY + b"\n",
        EXIM_HEAD + b"XX\n999999999\n",
        EXIM_HEAD + b"YY x\n" * MANY,
        EXIM_HEAD + b"XX\n%d\n" % MANY + b"a@b.example\n" * MANY + b"\n011P Subject: x\n",
        EXIM_HEAD + b"NN x@y\n%d\n" % MANY + b"a@b.example\n" * MANY + b"\n011P Subject: x\n",
        EXIM_HEAD + b"NN x@y\n1\na\0b@c.example\n\n011P Subject: x\n",
        EXIM_HEAD + b"XX\n1\n" + b" " * MANY + b"#x\n\n",
        EXIM_HEAD + b"XX\n1\na b " + b"1" * MANY + b",x#1\n\n",
        EXIM_HEAD + b"XX\n1\na@b.example\n\n" + b"000P " * MANY,
        EXIM_HEAD + b"XX\n1\na@b.example\n\n" + b"9" * MANY,
        EXIM_HEAD + b"XX\n1\na@b.example\n\n999999999P x\n",
    ],
    "postfix": [
        b"\0" * 1_000_000,
        b"\xff" * 1_000_000,
        b"S" + b"\xff" * 1_000_000,
        record("S", b"") + record("p", b"%15d" % 0) * 50_000 + record("p", b"%15d" % 1),
        record("S", b"") + record("p", b"%15d" % 3),
        record("S", b"") + record("R", b"a@b.example") * 5 + record("p", b"%15d" % 3),
        record("p", b"-5"),
        record("p", b"9" * 16_000),
        record("p", b"%15d" % 10**14),
        # each pointer leads to the same long record once more
        b"".join(record("N", b"x" * 16_000) + record("p", b"%15d" % (3 * at)) for at in range(300)),
        record("S", b"") + record("M", b"") + b"N\0" * MANY + record("X", b"") + b"E\0",
        record("S", b"") + record("R", b"a@b.example") * 1_000_000 + b"E\0",
        record("S", b"") + record("R", b"\0\x1b[2J") + b"E\0",
        record("S", b'"' * 16_000) + record("R", b"." * 16_000) + b"E\0",
    ],
    "opensmtpd": [
        b"\0" * 1_000_000,
        b"type: mta\n" * MANY,
        b"type: mda\nsender: @\nrcpt: x\ndest: " + b"+@" * MANY + b"\nmda-user: " + b"(" * 1000 + b"\n",
        b"type: mda\nsender: \x1b[2J\nrcpt: x\ndest: \0\n",
        b": \n" * MANY,
    ],
    "sendmail": [
        b"\0" * 1_000_000,
        b"\n.\n" * MANY,
        SENDMAIL_HEAD + b"R:a@b.example\n" * MANY + b".\n",
        SENDMAIL_HEAD + b"R:" + b"<" * MANY + b"\n.\n",
        SENDMAIL_HEAD + b"R:" + b"<" * MANY + b">\n.\n",
        SENDMAIL_HEAD + b"R:<x>" + b" " * MANY + b"y\n.\n",
        SENDMAIL_HEAD + b"R:a@b.example\nH??" + b"\n\t" * MANY + b"\n.\n",
        SENDMAIL_HEAD + b"R:a@b.example\n" + b"H??a: b\n" * MANY + b".\n",
        SENDMAIL_HEAD + b"R:a@b.example\nH??" + b"bcc " * MANY + b"\n.\n",
        SENDMAIL_HEAD + b"H" * MANY + b"\n.\n",
        SENDMAIL_HEAD + b"\n \n" * MANY + b".\n",
    ],
}
BAD = [(mta, number) for mta, contents in CONTENTS.items() for number in range(len(contents))]


@pytest.mark.parametrize(("mta", "number"), BAD)
def test_whatever_a_file_says_the_queue_is_saved_in_bounded_time_and_nothing_is_lost(place, mta, number):
    content = CONTENTS[mta][number]
    place.fill(mta, **{next(iter(FILES[mta])): content})
    unread = place.save(mta)
    saved = place.saved.paths()
    assert len(saved) + len(unread) <= 1
    assert saved or len(place.left(mta)) == len(FILES[mta])
    if unread:
        ((where, why),) = unread.items()
        assert (where.endswith(".tar"), why != "", "\x1b" in why) == (True, True, False)
        assert content in place.kept


@pytest.mark.parametrize(
    ("parse", "why"),
    [(lambda _raw: bytes(2 << 30), "octets of memory"), (lambda _raw: time.sleep(60), "did not answer within 0.5 s")],
)
def test_a_file_that_needs_too_much_memory_or_time_is_unreadable(place, monkeypatch, parse, why):
    place.fill("postfix")
    monkeypatch.setattr(postfix, "parse", parse)
    monkeypatch.setattr(module, "SECONDS", 0.5)
    ((_archive, said),) = place.save("postfix").items()
    assert (why in said, POSTFIX in place.kept) == (True, True)


def seconds(work):
    begun = time.process_time()
    work()
    return time.process_time() - begun


GROWING = {
    "options of Exim": lambda size: exim.parse(EXIM_HEAD + b"-a b\n" * size + EXIM_TAIL),
    "brackets in options of Exim": lambda size: exim.parse(EXIM_HEAD + b"-(\n" * size + EXIM_TAIL),
    "fields of Exim": lambda size: exim.parse(EXIM_HEAD + EXIM_TAIL + b"000P " * size),
    "blanks behind an address of Exim": lambda size: exim.address(" " * size + "#x"),
    "records of Postfix": lambda size: postfix.parse(record("S", b"") + b"N\0" * size + b"E\0"),
    "pointers of Postfix": lambda size: list(postfix.records(b"p\x02 0" * size + b"E\0")) and None,
    "brackets of Sendmail": lambda size: sendmail.bare("<" * size),
    "lines of Sendmail": lambda size: sendmail.parse(SENDMAIL_HEAD + b"H??a: b\n" * size + b".\n"),
    "fields of OpenSMTPD": lambda size: opensmtpd.fields(
        FILES["opensmtpd"]["queue/0a/0af6cb3f/0af6cb3fdfd74cbf"] * size
    ),
}


@pytest.mark.parametrize("what", GROWING)
def test_ten_times_as_much_takes_about_ten_times_as_long(what):
    small, large = (
        min(seconds(lambda size=size: GROWING[what](size)) for _try in range(3)) for size in (2_000, 20_000)
    )
    assert large < 40 * max(small, 0.0005), f"{small:.4f} s, {large:.4f} s"


def archive(place, mta, name, **member):
    """An archive as tar made it as root."""
    folder = place.path / "state" / "queue.unread"
    folder.mkdir(exist_ok=True)
    with tarfile.open(folder / f"{mta}.x.tar", "w", format=tarfile.GNU_FORMAT) as written:
        found = tarfile.TarInfo(name)
        found.size, found.uid, found.gid, found.mode = len(TOKEN), OWNER, OWNER, 0o600
        for field, value in member.items():
            setattr(found, field, value)
        written.addfile(found, io.BytesIO(TOKEN if found.isreg() else b""))
    return folder / f"{mta}.x.tar"


@pytest.mark.parametrize("mta", FILES)
def test_what_an_earlier_version_has_archived_comes_back(place, mta):
    place.fill(mta)
    file = place.path / "spool" / mta / next(iter(FILES[mta]))
    file.unlink()
    path = archive(place, mta, str(file), mode=0o640)
    assert place.saved.give_back_unread(place.spool(mta)) == {}
    assert (file.read_bytes(), file.stat().st_uid, file.stat().st_mode & 0o777) == (TOKEN, OWNER, 0o640)
    assert (path.exists(), file.stat().st_nlink) == (False, 1)


@pytest.mark.parametrize(
    ("name", "member"),
    [
        ("/etc/cron.d/x", {}),
        ("{input}/../../../../etc/cron.d/x", {}),
        ("{input}/../x-H", {}),
        ("{input}", {}),
        ("../x", {}),
        ("{input}/x-H", {"type": tarfile.SYMTYPE, "linkname": "/etc/shadow", "size": 0}),
        ("{input}/x-H", {"type": tarfile.LNKTYPE, "linkname": "/etc/shadow", "size": 0}),
        ("{input}/x-H", {"type": tarfile.FIFOTYPE, "size": 0}),
        ("{input}/x-H", {"type": tarfile.CHRTYPE, "size": 0}),
        *([("{input}/x-H", {"uid": 0, "gid": 0}), ("{input}/away/x-H", {})] if ROOT else []),
    ],
)
def test_what_an_archive_must_not_do_stays_in_it_and_is_named(place, name, member):
    place.fill("exim")
    (place.path / "away").mkdir(mode=0o755)
    (place.path / "spool" / "exim" / "input" / "away").symlink_to(place.path / "away")
    place.own("exim")
    before = place.left("exim")
    path = archive(place, "exim", name.format(input=place.path / "spool" / "exim" / "input"), **member)
    ((where, why),) = place.saved.give_back_unread(place.spool("exim")).items()
    assert (where, path.exists(), why != "") == (str(path), True, True)
    assert (place.left("exim"), list((place.path / "away").iterdir())) == (before, [])


def test_an_archive_that_is_none_stays(place):
    place.fill("exim")
    archive(place, "exim", "x").write_bytes(b"no archive" * 100)
    assert len(place.saved.give_back_unread(place.spool("exim"))) == 1


def test_a_queue_that_its_account_closes_blocks_no_change(place):
    place.fill("exim")
    folder = place.path / "spool" / "exim" / "input"
    folder.chmod(0o500)
    unread = place.save("exim")
    folder.chmod(0o700)
    assert (len(unread) + len(place.saved.paths()), len(place.left("exim"))) in ((1, 3), (1, 0))


RIGHTS = [
    ("root's", 0, 0o755, None),
    ("an account's", OWNER, 0o700, OWNER),
    ("root's, and everybody may write", 0, 0o777, NOBODY),
    ("root's, and everybody may add", 0, 0o1777, None),
]


@pytest.mark.parametrize(("what", "uid", "mode", "rights"), RIGHTS if ROOT else RIGHTS[1:2])
def test_the_first_directory_that_is_not_root_s_alone_decides_whose_rights_count(place, what, uid, mode, rights):
    folder = place.path / "there"
    (folder / "below").mkdir(parents=True)
    folder.chmod(mode)
    os.chown(folder, uid, uid)
    (place.path / "link").symlink_to(folder)
    for path in (folder, folder / "below" / "not yet", place.path / "link" / "below"):
        found = rights_at(str(path))
        assert (found and found.uid) == rights, what


@pytest.mark.parametrize(
    "text", ["a@" * MANY + " x", "a@b" * MANY + " x", "@" * MANY + " x", "a@b" + " " * MANY + "[x"]
)
def test_where_mail_ends_is_found_in_one_pass(text):
    begun = worked()
    assert exim.END.fullmatch(text) is None
    assert worked() - begun < ENDS
