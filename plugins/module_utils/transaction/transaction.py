# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A transaction on a mail host: stage, check, swap, activate; and the old files back where that fails."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .._system import files as disk
from .._system.beside import in_the_way
from .._system.image import Change, Image
from .._system.obstacles import Wanted, explain, obstacles
from .._system.own_folder import claim, refuse_foreign, refuse_volatile
from .._system.private import private_folder
from .._system.process import filled
from .._system.stage import Stage, products, remove_products
from ..aliases.apply import apply as apply_aliases
from ..aliases.compile import SUFFIXES, as_new
from ..errors import OverdueError, UserError
from ..secrecy import contents, hide_all
from .again import AGAIN
from .diffs import diffs
from .end import Ended, confirm, roll_back, roll_back_as_told
from .journal import CONFIRMED, PENDING, ROLLED_BACK, UNCHANGED, Journal
from .payload import unpack
from .plan import activation, asked_mode, compiled, mistakes
from .program import program
from .service import Service
from .store import Store
from .switch import Switch
from .timer import Timer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .._system.host import Host

OWN_TIME = 300  # seconds for what is confirmed as soon as the service answers
WORDS = 20  # lines of the log that a failure shows
ROOM = 1 << 20  # octets in the directory of state, for what is staged there, beside the files that a journal keeps
DERIVED = 1 << 20  # octets of a file that is kept because scripts of the MTA make it


def apply(host: Host, params: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    """The result of the module config_transaction for ``state=apply``."""
    files = unpack(params["files"], params["contents"])
    try:
        return Transaction(host, {**params, "files": files, "contents": ""}).run(check_mode)
    except OverdueError as error:  # a change that has begun has no deadline
        raise UserError(f"{error}; nothing was changed") from error


class EditedError(UserError):
    """Somebody else has changed a file since it was looked at."""


class Transaction:
    """One change of the configuration and the aliases, by the options of the module config_transaction."""

    def __init__(self, host: Host, params: Mapping[str, Any]) -> None:
        self._host, self._params = host, params
        self._unit = params["service"] or {}
        self._service = Service(host, self._unit, params["answers"], params["timeout"])
        self._store = Store(params["state_dir"])
        self._timer = Timer(host, self._store)
        self._seconds = params["confirm_timeout"] or OWN_TIME
        self._untouched = ", and nothing was changed"
        self._owed = False  # whether the service has to be told, whatever the files say
        self._unread: dict[str, str] = {}
        self._left_out: list[str] = []
        self._made: dict[str, str] = {}  # what was compiled, and from which file
        self._id = self._store.new_id()
        wrong = mistakes(params["files"])
        if wrong:
            raise UserError("\n".join(wrong))
        self._look()

    def _look(self) -> None:
        """Compare what is there with what is wanted."""
        self._changes = [disk.change(file) for file in self._params["files"]]
        self._stale = {change.path for change in self._changes if self._uncompiled(change)}
        self._aliases = self._apply_aliases(True) if self._params["aliases"] else None

    def run(self, check_mode: bool) -> dict[str, Any]:
        """The result of the module; raises UserError where the old configuration stayed, or came back.

        No text of it quotes a file that is secret: what an MTA says of a bad one may name the line.
        """
        try:
            result = self._run(check_mode)
        except UserError as error:
            given = error.result
            words, *warnings = self._hidden([str(error), *given.get("warnings", []), *self._left_out])
            raise UserError(words, **{**given, "warnings": warnings}) from error
        return {**result, "warnings": self._hidden([*result["warnings"], *self._left_out])}

    def _hidden(self, texts: Sequence[str]) -> list[str]:
        secret = (change for change in self._changes if change.secret)
        images = (image for change in secret for image in (change.before, change.after) if image)
        return hide_all(texts, contents(image.content for image in images))

    def _run(self, check_mode: bool) -> dict[str, Any]:
        refuse_foreign(self._store.folder)
        refuse_volatile(self._store.folder)
        seen = self._store.look()
        self._owed = seen.due
        if not seen.journal and not self._due():
            return self._unchanged(check_mode)
        self._timer.refuse_another(pending=bool(seen.journal or seen.bad))
        if check_mode:
            wanted = self._refuse_obstacles()
            with self._staged() as stage:
                self._check(stage, lenient=True)
            foreseen = in_the_way(want.target for want in wanted)
            warnings = [*seen.warnings, *_unfinished(seen.journal, "a run rolls it back"), *foreseen]
            warnings += [] if seen.journal else self._restarted("a run restarts the service")
            return self._result(PENDING, warnings=warnings)
        with self._store.lock():
            claim(self._store.folder)
            seen, ended = self._store.look(), Ended()
            warnings, unfinished = self._store.put_aside(seen.bad), seen.journal
            if unfinished:
                self._host.begin_change()
                ended = roll_back_as_told(self._host, self._store, unfinished)
            elif seen.bad:
                self._timer.disarm()
            warnings += [*_unfinished(unfinished, "it was rolled back first"), *ended.warnings, *self._store.tidy()]
            Switch(self._host, self._store.folder, {}).forget()
            self._owed = self._store.mark.due or bool(seen.bad)
            warnings += self._restarted("the service was restarted")
            self._id = self._store.new_id()
            self._look()
            if not self._due():
                return self._result(UNCHANGED, changed=bool(unfinished), kept=ended.kept, warnings=warnings)
            try:
                self._refuse_obstacles()
                result = self._change()
            except UserError as error:
                error.result["warnings"] = [*warnings, *error.result.get("warnings", [])]
                raise
            return {**result, "warnings": [*warnings, *result["warnings"]]}

    def _restarted(self, what: str) -> list[str]:
        """That the service has to be told is no wish of the user's: a warning."""
        why = "an earlier change or rollback did not reach the service, or was interrupted"
        return [f"{why}; {what}"] if self._owed else []

    def _refuse_obstacles(self) -> list[Wanted]:
        """Raise UserError where it can be seen that what is to be changed cannot be; what that is."""
        wanted = self._to_replace()
        found = obstacles(wanted)
        if found:
            raise UserError(f"{'; '.join(found)}. Nothing was changed")
        return wanted

    def _to_replace(self) -> list[Wanted]:
        """The files that the change writes, and those that programs write for it."""
        changed = [change for change in self._changes if change.changed]
        wanted = [Wanted(change.path, _octets(change), parents=True) for change in changed]
        for change in self._changes:
            file = self._file(change.path)
            if file["compile"] and (change.changed or change.path in self._stale):
                made = products(change.path, file["product"])
                wanted += [Wanted(product, disk.size(product), parents=True) for product in made]
        if self._aliases and self._aliases["changed"]:
            tables = {path: self._host.stat(path) for path in self._alias_files()}
            wanted += [Wanted(path, found.size) for path, found in tables.items() if found]
        kept = sum(len(change.before.content) for change in changed if change.before)
        wanted.append(Wanted(f"{self._store.folder}/stage", ROOM + 2 * kept, parents=True))
        if self._params["replaces"]:
            wanted += Switch.writes(self._host, self._params["replaces"])
        return [*wanted, *(Wanted(path, parents=True) for path in self._timer.paths)]

    def _unchanged(self, check_mode: bool) -> dict[str, Any]:
        """Nothing is to be changed. Mail that nobody took is offered once more, and what stays is named."""
        switch = Switch(self._host, self._store.folder, {})
        waiting = switch.waiting
        kept = dict.fromkeys(waiting, "the next run that is not in check mode tries it again")
        if waiting and not check_mode:
            self._host.begin_change()
            with self._store.lock():
                kept = kept if self._store.pending() else switch.settle(self._params["answers"])
        ended = Ended(kept=kept, unread=switch.unread)
        return self._result(UNCHANGED, changed=switch.waiting != waiting, kept=kept, warnings=ended.warnings)

    def _due(self) -> bool:
        """Whether there is anything to do."""
        differs = bool(self._stale) or any(change.changed for change in self._changes)
        edited = bool(self._aliases and self._aliases["changed"]) or bool(self._params["replaces"])
        return differs or edited or self._owed or not (self._service.enabled and self._service.active)

    def _uncompiled(self, change: Change) -> bool:
        """Whether a table has nothing compiled from it that is as new as it is and has the mode that was asked for."""
        file = self._file(change.path)
        if not file["compile"] or not change.before:
            return False
        source, *made = (self._host.stat(path) for path in (change.path, *products(change.path, file["product"])))
        mode, now = asked_mode(file), time.time()
        return not any(
            source and product and as_new(product.mtime, source.mtime, now) and mode in (None, product.mode)
            for product in made
        )

    def _file(self, path: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = next(file for file in self._params["files"] if file["path"] == path)
        return found

    @contextlib.contextmanager
    def _staged(self) -> Iterator[Stage]:
        """A copy of the directory that is staged, with the new files in it; removed at the end."""
        with private_folder(self._store.folder) as folder:
            stage = Stage(f"{folder}/stage", self._params["stage"] or "")
            self._left_out = stage.copy()
            for change in self._changes:
                stage.write(change.path, change.after, self._file(change.path)["product"])
            yield stage

    def _compile(self, stage: Stage) -> list[Change]:
        """Compile every table in the stage; the products, as they have to be in place."""
        found = []
        changed = {change.path for change in self._changes if change.changed}
        for change in self._changes:
            file = self._file(change.path)
            new = changed.intersection([change.path, *file.get("compile_with", [])])
            if file["compile"] and (new or change.path in self._stale):
                path, place = stage.place(change.path), file["product"] or ""
                staged = place and stage.place(place)
                remove_products(path, staged)
                self._must(file["compile"], stage, path, staged)
                for made in products(path, staged):
                    live = place or change.path + made[len(path) :]
                    image = disk.read_image(made)
                    if image:
                        self._made[live] = change.path
                        made_now = compiled(image, change.after, file)
                        found.append(Change(live, disk.read_image(live), made_now, change.secret))
        return found

    def _check(self, stage: Stage, lenient: bool = False) -> None:
        """Let the MTA check what is staged; ``lenient`` where the MTA may not be there yet."""
        for argv in self._params["check"]:
            if not (lenient and not self._host.which(argv[0])):
                self._must(argv, stage)

    def _must(self, argv: Sequence[str], staged: Stage, path: str = "", product: str = "") -> None:
        since, stage = int(time.time()), staged.path
        done = self._host.run(filled(argv, stage=stage, path=path, product=product), timeout=self._params["timeout"])
        live = (self._params["stage"] or "").rstrip("/")
        if done.timed_out:
            raise UserError(f"{done.why.replace(stage, live)}{self._untouched}; allow more with mta_command_timeout")
        if done.rc:
            said = (done.out.strip(), done.err.strip(), self._reason(since))
            words = "\n".join(filter(None, said)).replace(stage, live)
            raise UserError(
                f"the new configuration is wrong{self._untouched}: "
                f"`{done.command.replace(stage, live)}` says:\n{words or done.rc}"
            )

    def _change(self) -> dict[str, Any]:
        if self._params["replaces"]:
            return self._replace(self._params["replaces"])
        changes = self._prepared()
        how = "restart" if self._owed else activation(self._changes, self._stale, self._unit)
        self._refuse_others(changes)
        journal = self._journal(changes, how)
        self._store.refuse_too_large(journal)
        self._host.begin_change()
        self._timer.arm(self._id, self._seconds, program())
        self._store.begin(journal)
        return self._carry_out(journal, changes, how)

    def _replace(self, replaces: Mapping[str, Any]) -> dict[str, Any]:
        """Put another MTA in the place of the one that serves. It can check its files when it is there, not before;
        until it answers nothing but this process stands between the host and the way back."""
        alias_files = self._alias_files() if self._params["aliases"] else []
        switch = Switch.planned(self._host, self._store.folder, replaces, alias_files, self._id)
        switch.fetch()
        images = {disk.real(path): disk.read_image(path) for path in [*self._paths(), *alias_files]}
        serving = Service(self._host, switch.service, self._params["answers"], self._params["timeout"])
        journal = replace(
            self._journal([], "restart"),
            images=images,
            switch=switch.data,
            service=switch.service,
            answered=serving.answering,
            activation="restart",
        )
        self._store.refuse_too_large(journal)
        self._host.begin_change()
        self._timer.arm(self._id, OWN_TIME, program())
        self._store.begin(journal)
        try:
            switch.deny_start()
        except OSError as error:
            self._call_off(journal)
            switch.forget()
            raise UserError(f"{explain(error)}. Nothing was changed") from error
        self._timer.watch(self._id)
        since, self._untouched = int(time.time()), ""
        try:
            self._unread = switch.away()
            self._look()
            changes = self._prepared()
            images = {**self._images(changes), **images}
            journal = replace(journal, images=images, deadline=time.time() + self._seconds)
            self._store.begin(journal)
            self._timer.arm(self._id, self._seconds, program())
            self._timer.unwatch()
        except (OSError, UserError) as error:
            self._fail(journal, explain(error), since)
        return self._carry_out(journal, changes, "restart")

    def _prepared(self) -> list[Change]:
        """All that is to be put in place, when the MTA's own check has passed it."""
        with self._staged() as stage:
            made = self._compile(stage)
            self._check(stage)
        return [*self._changes, *made]

    def _carry_out(self, journal: Journal, changes: Sequence[Change], how: str) -> dict[str, Any]:
        since = int(time.time())
        try:
            wrong = self._put_in_place(journal, changes, how)
        except EditedError:
            self._call_off(journal)
            raise
        if wrong:
            self._fail(journal, wrong, since)
        if self._params["confirm_timeout"]:
            return self._result(PENDING, how, deadline=journal.deadline, warnings=self._warnings())
        ended = confirm(self._host, self._store, journal)
        return self._result(CONFIRMED, how, kept=ended.kept, warnings=[*self._warnings(), *ended.warnings])

    def _call_off(self, journal: Journal) -> None:
        """End a transaction that has changed nothing."""
        if not self._owed:
            self._store.mark.clear()
        self._store.end(journal, ROLLED_BACK)
        self._timer.disarm()

    def _warnings(self) -> list[str]:
        return [*self._service.warnings, *Ended(unread=self._unread).warnings]

    def _refuse_others(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if disk.read_image(change.path) != change.before:
                raise EditedError(
                    f"{change.path} was changed by somebody else meanwhile; nothing was changed: try again"
                )

    def _journal(self, changes: Sequence[Change], how: str) -> Journal:
        images = {**self._others(), **self._images(changes)}
        deadline = time.time() + self._seconds
        how = how if how == "restart" else "reload"
        answers, answered, seconds = list(self._params["answers"]), self._service.answering, self._params["timeout"]
        # where it listened before is not what was asked for now
        service = {**self._unit, "listens": []} if self._unit else {}
        return Journal(self._id, images, deadline, how, service, answers, answered, seconds)

    def _images(self, changes: Sequence[Change]) -> dict[str, Image | None]:
        return {disk.real(change.path): change.before for change in changes if change.changed}

    def _others(self) -> dict[str, Image | None]:
        """What a rollback brings back besides what is put in place here: the aliases, if these change, and what scripts
        of the MTA have made of the configuration, as far as that can be read without waiting."""
        edited = self._aliases and self._aliases["changed"]
        found = {path: disk.read_image(path) for path in self._alias_files()} if edited else {}
        for path in self._params["derived"]:
            with contextlib.suppress(OSError):
                if disk.size(path) <= DERIVED:
                    found[disk.real(path)] = disk.read_image(path, wait=False)
        return found

    def _paths(self) -> list[str]:
        """Where the files belong, and what is made of them."""
        return [file[name] for file in self._params["files"] for name in ("path", "product") if file[name]]

    def _alias_files(self) -> list[str]:
        """The table of aliases, and all that may be compiled from it."""
        path = self._params["aliases"]["path"]
        named = self._params["aliases"]["compiled"] or [path + suffix for suffix in SUFFIXES]
        return [disk.real(found) for found in (path, *named)]

    def _put_in_place(self, journal: Journal, changes: Sequence[Change], how: str) -> str:
        """Swap, activate, and write the aliases; an empty string, or what went wrong."""
        try:
            changed = self._images(changes)
            for path in journal.images:
                if path not in changed:
                    disk.keep(path)
            disk.prepare(changes)
            # where another MTA is put in place nothing serves, and there is no way but on
            if not self._params["replaces"]:
                self._refuse_others(changes)
            disk.swap(changes)
            for product, source in self._made.items():
                disk.freshen(product, source)
            # a Postfix that has found no table looks for none again; what serves already keeps the one that it has
            first = bool(self._params["replaces"])
            if first:
                self._write_aliases()
            wrong = self._service.activate(how)
            if not wrong and not first:
                self._write_aliases()
            if not wrong:
                self._store.mark.reach()
            return wrong
        except EditedError:
            raise
        except (OSError, UserError) as error:
            return explain(error)

    def _write_aliases(self) -> None:
        if self._aliases:
            self._aliases = self._apply_aliases(False)

    def _apply_aliases(self, check_mode: bool) -> dict[str, Any]:
        return apply_aliases(self._host, self._params["aliases"], check_mode, self._store.folder)

    def _fail(self, journal: Journal, wrong: str, since: int) -> None:
        """Bring the old files back, and say what went wrong."""
        reason, state, ended = self._reason(since), ROLLED_BACK, Ended()
        try:
            ended = roll_back(self._host, self._store, journal)
            back = "the old one is back"
            if ended.still:
                self._timer.again(journal.transaction)
                back += f", and does not answer either: {ended.still}; {AGAIN}"
        except (OSError, UserError) as error:
            again = time.strftime("%H:%M:%S", time.localtime(journal.deadline))
            back = f"and the old one is not back: {explain(error)}; the host tries again at {again}, or the next run"
            state = PENDING
        raise UserError(
            "\n".join(filter(None, (f"the new configuration did not hold: {wrong}; {back}.", reason))),
            **self._result(
                state,
                journal.activation,
                changed=state == PENDING,
                kept=ended.kept,
                warnings=[*self._service.warnings, *ended.warnings],
            ),
        )

    def _reason(self, since: int) -> str:
        """What the log says since the activation, its last lines."""
        argv = self._params["reason"]
        if not argv:
            return ""
        done = self._host.run(filled(argv, since=str(since)))
        return f"the log was not read: {done.why}" if done.timed_out else "\n".join(done.out.splitlines()[-WORDS:])

    def _result(self, state: str, how: str = "none", changed: bool | None = None, **more: Any) -> dict[str, Any]:
        aliases = dict(self._aliases or {})
        edits = aliases.pop("diff", [])
        stale = [change.path for change in self._changes if not change.changed and change.path in self._stale]
        compiled_anew = [{"prepared": f"{path} compiled anew\n"} for path in stale]
        return {
            "changed": state != UNCHANGED if changed is None else changed,
            "state": state,
            "transaction": "" if state == UNCHANGED else self._id,
            "deadline": 0,
            "kept": {},
            "warnings": [],
            "activation": how,
            "files": [{"path": change.path, "changed": change.changed} for change in self._changes],
            "diff": [*diffs(self._changes), *compiled_anew, *edits],
            **({"aliases": aliases} if self._aliases else {}),
            **more,
        }


def _octets(change: Change) -> int:
    """What is written beside a file: its copy, and the new one."""
    return len(change.after.content) + (len(change.before.content) if change.before else 0)


def _unfinished(journal: Journal | None, what: str) -> list[str]:
    return [f"transaction {journal.transaction} of this host was not finished; {what}"] if journal else []
