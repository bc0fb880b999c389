# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on the stranger, on port 25: one server after the other that wants to hold its client up.

Each connection gets the next one. ``SERVERS`` are what is said at first, what is said to each command, and what is said
again and again, with the seconds between; systemd is told when the port is open.
"""

import asyncio
import contextlib
import os
import socket

SERVERS = [
    (b"", b"", b"", 0),  # accepts, and says nothing
    (b"2", b"", b"2", 1),  # an octet now and then
    (b"220-mx\r\n", b"", b"220-more\r\n" * 100, 0.01),  # a greeting without end
    (b"220 mx\r\n", b"", b"", 0),  # greets, and says nothing
    (b"220 mx\r\n", b"250-mx\r\n", b"250-more\r\n", 1),  # a reply without end
    (b"220 mx\r\n", b"250 OK\r\n", b"", 0),  # takes everything, but no end of DATA
]


async def serve(number, reader, writer):
    first, answer, again, pause = SERVERS[number % len(SERVERS)]
    writer.write(first)

    async def repeat():
        while again:
            writer.write(again)
            await writer.drain()
            await asyncio.sleep(pause)

    async def listen():
        while await reader.readline():
            writer.write(answer)
            await writer.drain()

    with contextlib.suppress(OSError, ValueError):
        await asyncio.gather(repeat(), listen())
    writer.close()


async def main():
    connections = iter(range(1 << 30))

    async def session(reader, writer):
        await serve(next(connections), reader, writer)

    server = await asyncio.start_server(session, port=25)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
    await server.serve_forever()


asyncio.run(main())
