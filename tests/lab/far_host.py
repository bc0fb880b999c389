# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The far mail host of the lab. It takes mail for anybody, and the recipient's local part says what becomes of it.

``ANSWERS`` has the local parts that are refused or deferred, with any ``+tag``. Mail for anybody else is kept in the
file that is named on the command line, a line of JSON for each message, with ``sender``, ``recipients`` and ``text``.
Local parts that are named behind it are those of anybody, too.
"""

import asyncio
import json
import os
import re
import socket
import sys

# Local part: the command that is answered so.
ANSWERS = {
    "refused": ("RCPT", "550 5.1.1 There is nobody of that name"),
    "refused-data": ("DATA", "554 5.6.0 This message is not wanted"),
    "deferred": ("RCPT", "451 4.3.0 Please come again"),
}


def answer(command, address):
    """What is said to a command for a recipient, where it is no yes."""
    when, reply = ANSWERS.get(re.split("[+@]", address.lower())[0], ("", ""))
    return reply if when == command else ""


class Session:
    """One connection."""

    def __init__(self, path, reader, writer):
        self.path, self.reader, self.writer = path, reader, writer
        self.sender, self.recipients = None, []

    async def say(self, reply):
        self.writer.write(reply.encode() + b"\r\n")
        await self.writer.drain()

    async def line(self):
        return (await self.reader.readline()).decode("latin-1")

    async def run(self):
        await self.say("220 far host")
        while text := await self.line():
            verb = text[:4].upper().strip()
            (path,) = re.findall(r"<([^>]*)>", text)[:1] or [""]
            reply = getattr(self, "on_" + verb.lower(), self.on_other)(path)
            if verb == "DATA" and reply.startswith("354"):
                await self.say(reply)
                reply = await self.take()
            await self.say(reply)
            if verb == "QUIT":
                break
        self.writer.close()

    def on_other(self, _path):
        return "250 2.0.0 OK"

    def on_ehlo(self, _path):
        return "250-far host\r\n250 8BITMIME"

    def on_quit(self, _path):
        return "221 2.0.0 Bye"

    def on_mail(self, path):
        self.sender, self.recipients = path, []
        return "250 2.1.0 OK"

    def on_rset(self, _path):
        self.sender, self.recipients = None, []
        return "250 2.0.0 OK"

    def on_rcpt(self, path):
        if self.sender is None:
            return "503 5.5.1 MAIL first"
        reply = answer("RCPT", path)
        if not reply:
            self.recipients.append(path)
        return reply or "250 2.1.5 OK"

    def on_data(self, _path):
        return "354 Go on" if self.recipients else "503 5.5.1 RCPT first"

    async def take(self):
        lines = []
        while (text := await self.line()) != ".\r\n":
            if not text:
                raise ConnectionResetError
            lines.append(text.removeprefix(".").removesuffix("\r\n") + "\n")
        for address in self.recipients:
            if reply := answer("DATA", address):
                return reply
        kept = {"sender": self.sender, "recipients": self.recipients, "text": "".join(lines)}
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(kept) + "\n")
        return "250 2.0.0 Kept"


async def main(path):
    async def session(reader, writer):
        await Session(path, reader, writer).run()

    server = await asyncio.start_server(session, port=25, limit=2**20)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
    await server.serve_forever()


for name in sys.argv[2:]:
    del ANSWERS[name]
asyncio.run(main(sys.argv[1]))
