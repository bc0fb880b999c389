# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SMTP servers that want to hold their client up, fill its memory, crash it or deceive it: ``HOSTILE``, by name."""

from __future__ import annotations

import asyncio

from mail_servers import Script

OK = b"250 Ok\r\n"
EHLO = b"250-mx.example.org\r\n"


class Hostile(Script):
    """A server that can say one thing again and again, as fast as it is read or with a pause between."""

    def connection_made(self, transport):
        self.loop, self.paused = asyncio.get_running_loop(), False
        super().connection_made(transport)

    def pause_writing(self):
        self.paused = True

    def resume_writing(self):
        self.paused = False

    def repeat(self, piece, pause=0.0):
        if self.transport.is_closing():
            return
        if not self.paused:
            self.transport.write(piece)
        self.loop.call_later(pause or 0.0001, self.repeat, piece, pause)


def offers(lines):
    """What it says to EHLO, and else 250."""

    class Offering(Hostile):
        def answer(self, line):
            return EHLO + lines + b"250 HELP\r\n" if line.startswith(b"EHLO") else OK

    return Offering


def greets(words, piece=b"", pause=0.0):
    class Greeting(Hostile):
        greeting = words

        def connection_made(self, transport):
            super().connection_made(transport)
            if piece:
                self.repeat(piece, pause)

    return Greeting


def repeats(verb, first, piece, pause=0.0):
    """Once it hears ``verb`` it says ``first`` and then ``piece`` without end."""

    class Repeating(Hostile):
        def answer(self, line):
            if not line.startswith(verb):
                return OK
            self.transport.write(first)
            self.repeat(piece, pause)
            return b""

    return Repeating


def says(words, verb=b""):
    """What it says to each command that begins with ``verb``."""

    class Saying(Hostile):
        def answer(self, line):
            return words if line.startswith(verb) else OK

    return Saying


def resets(verb):
    class Resetting(Hostile):
        def answer(self, line):
            if line.startswith(verb):
                self.transport.abort()
            return OK

    return Resetting


class Deaf(Hostile):
    """Reads nothing after its greeting."""

    def connection_made(self, transport):
        super().connection_made(transport)
        transport.pause_reading()


class Echo(Hostile):
    def answer(self, line):
        return line + b"\r\n"


class NeverCloses(Hostile):
    def eof_received(self):
        return True

    def answer(self, line):
        return b"" if line == b"QUIT" else OK


class ManyAnswers(Hostile):
    def answer(self, _line):
        return OK * 100


VERBS = (b"EHLO", b"MAIL", b"RCPT", b"RSET", b"VRFY", b"QUIT")
WHOLE = b"".join(b"250-" + b"x" * 110 + b"\r\n" for _number in range(500))

HOSTILE = {
    "SIZE of 2,000 digits": offers(b"250-SIZE " + b"9" * 2000 + b"\r\n"),
    "SIZE of 5,000 digits": offers(b"250-SIZE " + b"9" * 5000 + b"\r\n"),
    "SIZE in Arabic digits": offers("250-SIZE ١٢٣\r\n".encode()),
    "SIZE in superscript": offers("250-SIZE ²\r\n".encode()),
    "SIZE with a sign": offers(b"250-SIZE -1\r\n"),
    "SIZE of 20 digits": offers(b"250-SIZE 99999999999999999999\r\n"),
    "thousands of extensions": offers(b"".join(b"250-X%d\r\n" % number for number in range(5000))),
    "500 extensions": offers(b"".join(b"250-X%d\r\n" % number for number in range(500))),
    "EHLO lines without end": repeats(b"EHLO", EHLO, b"250-X\r\n" * 1000),
    "a million continuation lines": offers(b"250-X\r\n" * 1_000_000),
    "a greeting without end": greets(b"220-mx\r\n", b"220-more\r\n" * 1000),
    "no greeting": greets(b""),
    "a greeting octet by octet": greets(b"2", b"2", 0.2),
    "a line without end": repeats(b"MAIL", b"250-", b"x" * 10_000),
    "an octet now and then": repeats(b"MAIL", b"2", b"5", 0.2),
    "a line now and then": repeats(b"MAIL", EHLO, b"250-still thinking\r\n", 0.2),
    "a reply octet by octet": repeats(b"RCPT", b"250-", b"x", 0.001),
    "an empty line for everything": says(b"\r\n"),
    "NULs in a reply": says(b"250 \0\0\0\r\n"),
    "NULs without end": repeats(b"EHLO", b"", b"\0" * 10_000),
    "code 000": says(b"000 Ok\r\n"),
    "code 25": says(b"25 Ok\r\n"),
    "code 999": says(b"999 Ok\r\n"),
    "code 2500": says(b"2500 Ok\r\n"),
    "code in Arabic digits": says("٢٥٠ Ok\r\n".encode()),
    "code 354 for everything": says(b"354 go on\r\n"),
    "code 421 for everything": says(b"421 later\r\n"),
    "code 599 for everything": says(b"599 \r\n"),
    "a code that changes": says(b"250-one\r\n550 two\r\n"),
    "lone CR": says(b"250 Ok\r"),
    "CR within a line": says(b"250 Ok\r250 Ok\r\n"),
    "LF before CR": says(b"250 Ok\n\r"),
    "terminal controls": says("250 \x1b]0;title\x07\x9b2J\u202egnp.exe\r\n".encode()),
    "no UTF-8": says(b"250 \xff\xfe\xed\xa0\x80\r\n"),
    "a book for each answer": says(WHOLE + b"250 end\r\n"),
    "a book for each refusal": says(WHOLE.replace(b"250", b"550") + b"550 end\r\n", b"RCPT"),
    "100 replies to each command": ManyAnswers,
    "replies before the commands": greets(b"220 mx\r\n" + OK * 100, OK * 100),
    "what it is told": Echo,
    "nothing is read": Deaf,
    "no reply to QUIT, and no end": NeverCloses,
    "QUIT answered octet by octet": repeats(b"QUIT", b"2", b"2", 0.2),
    "TLS from the first octet": greets(b"\x15\x03\x01\x00\x02\x02\x28"),
    "STARTTLS that stalls": offers(b"250-STARTTLS\r\n"),
    "PIPELINING that answers once": says(EHLO + b"250 PIPELINING\r\n", b"EHLO"),
    "closed at once": greets(None),
    **{f"closed at {verb.decode()}": says(None, verb) for verb in VERBS},
    **{f"reset at {verb.decode()}": resets(verb) for verb in VERBS},
    **{f"silent at {verb.decode()}": says(b"", verb) for verb in VERBS},
}
