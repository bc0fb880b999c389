# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SMTP servers for the tests: one that keeps every rule, and what makes others of it."""

from __future__ import annotations

import asyncio
import re
import threading

from aiosmtpd.smtp import SMTP

SERVED, RELAYED = ("example.org", "example.net"), ("example.com",)
NAME = "mx.example.org"


class Hooks:
    """Gives a method called ``on_rcpt`` the name that aiosmtpd looks for: the ``prefix`` and ``RCPT``."""

    prefix = ""

    def __init_subclass__(cls):
        for name, method in list(vars(cls).items()):
            if name.startswith("on_"):
                setattr(cls, cls.prefix + name[3:].upper(), method)


class Mail(Hooks):
    """What a compliant server says to the commands about mail; each word of it can be overridden."""

    prefix = "handle_"
    pipelining = True
    names = ("postmaster", "abuse")

    def __init__(self):
        self.messages, self.commands, self.sessions = [], [], 0

    def mail(self, _sender):
        return "250 2.1.0 Ok"

    def rcpt(self, address, _sender, _before):
        local, domain = self.parse(address)
        if domain not in ("", "[127.0.0.1]", NAME, *SERVED, *RELAYED) or re.search("[@%!]", local):
            return "554 5.7.1 Relay access denied"
        if domain in RELAYED or local.lower() in self.names:
            return "250 2.1.5 Ok"
        return "550 5.1.1 User unknown"

    def vrfy(self, address):
        return "252 2.0.0 " + address

    def data(self, _envelope):
        return "250 2.0.0 Ok: queued as 4F3C2"

    @staticmethod
    def parse(address):
        local, _at, domain = re.sub("^@[^:]*:", "", address).rpartition("@")
        local, domain = (local, domain) if _at else (domain, "")
        return re.sub(r"\\(.)", r"\1", local.strip('"')), domain

    # The hooks of aiosmtpd, which call the words above.

    async def on_ehlo(self, _server, session, _envelope, hostname, responses):
        session.host_name = hostname
        return [*responses[:-1], *(["250-PIPELINING"] * self.pipelining), responses[-1]]

    async def on_mail(self, _server, _session, envelope, address, _options):
        answer = self.mail(address.strip("<>"))
        if answer.startswith("2"):
            envelope.mail_from = address
        return answer

    async def on_rcpt(self, _server, _session, envelope, address, _options):
        answer = self.rcpt(address, envelope.mail_from.strip("<>"), list(envelope.rcpt_tos))
        if answer.startswith("2"):
            envelope.rcpt_tos.append(address)
        return answer

    async def on_vrfy(self, _server, _session, _envelope, address):
        return self.vrfy(address)

    async def on_data(self, _server, _session, envelope):
        self.messages.append(envelope)
        return self.data(envelope)


class Server(Hooks, SMTP):
    """Takes every path that RFC 5321 knows, where aiosmtpd takes mailboxes only. ``limits``: commands per session."""

    prefix = "smtp_"
    limits = None

    def __init__(self, mail, **options):
        loop = asyncio.get_running_loop()
        super().__init__(mail, hostname=NAME, loop=loop, command_call_limit=self.limits, **options)

    def _getaddr(self, arg):
        found = re.fullmatch("<([^>]*)>(.*)|(.*)", arg)
        return found.group(1) or found.group(3) or "<>", found.group(2) or ""

    def connection_made(self, transport):
        self.event_handler.sessions += 1
        super().connection_made(transport)

    async def _call_handler_hook(self, command, *args):
        self.event_handler.commands.append(command)
        return await super()._call_handler_hook(command, *args)


class Script(asyncio.Protocol):
    """A server that answers with what it is given: ``greeting``, and ``answer`` for each line; None hangs up."""

    greeting: bytes | None = b"220 script\r\n"

    def __init__(self):
        self.rest = b""

    def answer(self, _line: bytes) -> bytes | None:
        return b"250 Ok\r\n"

    def connection_made(self, transport):
        self.transport = transport
        self._say(self.greeting)

    def data_received(self, data):
        *lines, self.rest = (self.rest + data).split(b"\r\n")
        for line in lines:
            self._say(self.answer(line))

    def _say(self, words):
        if words is None:
            self.transport.close()
        elif not self.transport.is_closing():
            self.transport.write(words)


class Loop:
    """An event loop in a thread of its own, and the servers that run in it."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def _run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(10)

    def start(self, factory, host="127.0.0.1"):
        server = self._run(self.loop.create_server(factory, host, 0))
        return server, server.sockets[0].getsockname()[1]

    def start_datagrams(self, factory):
        transport, _protocol = self._run(self.loop.create_datagram_endpoint(factory, ("127.0.0.1", 0)))
        return transport.get_extra_info("sockname")[1]

    def stop(self, server):
        self.loop.call_soon_threadsafe(server.close)


def mbox_entry(content):
    """A message as what delivers mail appends it to an mbox, with the lines quoted that begin with From."""
    text = content.replace(b"\r\n", b"\n").replace(b"\nFrom ", b"\n>From ")
    return b"From a Mon Jan  1 00:00:00 2026\n" + text + b"\n"
