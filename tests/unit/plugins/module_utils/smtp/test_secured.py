# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS with a server that goes on sending what has no content, that hangs up, or that reads nothing."""

from __future__ import annotations

import contextlib
import itertools
import socket
import ssl
import struct
import threading
import time

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils.smtp.secured import Secured
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from test_tls import certificate, context

# A NewSessionTicket of 15 octets (RFC 8446 section 4.6.1); each costs the client more time than the server.
TICKET = b"\x04\x00\x00\x0f" + struct.pack("!II", 7200, 1) + b"\x01A" + b"\x00\x01T" + b"\x00\x00"
RECORD = TICKET * (16000 // len(TICKET)) + b"\x16"


class Peer:
    """A server of TLS on one end of a pair of sockets; ``then`` is what it does when the handshake is done."""

    def __init__(self, path, then):
        self.client, self.server = socket.socketpair()
        self.tls, self.keys = context(path), path.with_name("keys")
        self.tls.minimum_version, self.tls.num_tickets = ssl.TLSVersion.TLSv1_3, 0
        self.tls.keylog_filename = str(self.keys)
        self.thread = threading.Thread(target=self.serve, args=(then,), daemon=True)
        self.thread.start()

    def serve(self, then):
        into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = self.tls.wrap_bio(into, out, server_side=True)
        while True:
            try:
                session.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.server.sendall(out.read())
                received = self.server.recv(65536)
                if not received:
                    return
                into.write(received)
        then(self, session, out)


def derived(secret, label, size, kind):
    """HKDF-Expand-Label of RFC 8446 section 7.1, without a context."""
    info = struct.pack("!HB", size, len(label) + 6) + b"tls13 " + label + b"\0"
    return HKDFExpand(kind, size, info).derive(secret)


def tickets(peer, session, out):
    """Tickets without end, in records of the server's own, for OpenSSL sends no such."""
    peer.server.sendall(out.read())
    (line,) = [line for line in peer.keys.read_text().splitlines() if line.startswith("SERVER_TRAFFIC_SECRET_0")]
    name = session.cipher()[0]
    kind = hashes.SHA384() if "384" in name else hashes.SHA256()
    secret = bytes.fromhex(line.split()[2])
    cipher = AESGCM(derived(secret, b"key", 32 if "256_GCM" in name else 16, kind))
    start = int.from_bytes(derived(secret, b"iv", 12, kind), "big")
    head = b"\x17\x03\x03" + struct.pack("!H", len(RECORD) + 16)
    with contextlib.suppress(OSError):
        for number in itertools.count():
            nonce = (start ^ number).to_bytes(12, "big")
            peer.server.sendall(head + cipher.encrypt(nonce, RECORD, head))


def answers(peer, session, out):
    session.write(b"250 ok\r\n")
    peer.server.sendall(out.read())


def hangs_up(peer, _session, out):
    peer.server.sendall(out.read())
    peer.server.close()


def ends(peer, session, out):
    with contextlib.suppress(ssl.SSLError):
        session.unwrap()
    peer.server.sendall(out.read())


@pytest.fixture
def secured(tmp_path):
    peers = []

    def make(then):
        trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        peers.append(Peer(certificate(tmp_path), then))
        return Secured(peers[-1].client, trusting, "", 20.0)

    yield make
    for peer in peers:
        peer.client.close()
        peer.server.close()
        peer.thread.join(30)


def test_tickets_without_end_are_nothing_within_the_time(secured):
    connection = secured(tickets)
    connection.settimeout(0.5)
    begun = time.monotonic()
    with pytest.raises(socket.timeout):
        connection.recv(1000)
    assert time.monotonic() - begun < 3


def test_what_is_said_is_read(secured):
    connection = secured(answers)
    assert (connection.recv(1000), connection.version()) == (b"250 ok\r\n", "TLSv1.3")


@pytest.mark.parametrize("then", [hangs_up, ends])
def test_the_end_of_the_connection_is_nothing_more_to_read(secured, then):
    assert secured(then).recv(1000) == b""


def test_a_server_that_reads_nothing_is_no_reason_to_wait(secured):
    connection = secured(answers)
    connection.settimeout(0.5)
    begun = time.monotonic()
    with pytest.raises(socket.timeout):
        connection.sendall(bytes(50_000_000))
    assert time.monotonic() - begun < 5
