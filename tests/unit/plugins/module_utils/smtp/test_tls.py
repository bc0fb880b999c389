# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows A18 and A19: servers whose TLS works, and servers with one thing wrong with it."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
import time

import pytest
from ansible_collections.mailops.postmaster.plugins.module_utils.smtp.probe import Options, probe
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from mail_servers import NAME, RELAYED, SERVED, Mail, Script, Server

NOW, DAY = dt.datetime.now(dt.timezone.utc), dt.timedelta(days=1)


def named(name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def certificate(folder, name=NAME, *, alternative=True, since=-1, until=1, issuer=None, bits=0):
    """A file with a key and its certificate, which it signs itself but for another ``issuer``; days from now."""
    key = rsa.generate_private_key(65537, bits) if bits else ec.generate_private_key(ec.SECP256R1())
    made = x509.CertificateBuilder(named(issuer or name), named(name), key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(NOW + since * DAY).not_valid_after(NOW + until * DAY)
    if alternative:
        made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    signer = ec.generate_private_key(ec.SECP256R1()) if issuer else key
    pem = made.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "pem"
    path.write_bytes(key.private_bytes(*form) + pem)
    return path


def context(path=None):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.set_ciphers("DEFAULT:@SECLEVEL=0")
    if path:
        made.load_cert_chain(path)
    return made


def checks(port, **options):
    settings = {"helo": "stranger.example", "timeout": 1.0, "submission": 0, **options}
    found = probe("127.0.0.1", port, SERVED, RELAYED, options=Options(**settings)).checks
    return {check.id: check for check in found if check.id in ("A18", "A19")}


def verdicts(found):
    return {row: check.verdict for row, check in found.items()}


CERTIFICATES = {
    "of its own": ({}, "pass", ""),
    "of a CA that nobody knows": ({"issuer": "CA"}, "pass", ""),
    "with a common name alone": ({"alternative": False}, "pass", ""),
    "of a weak key": ({"bits": 1024}, "pass", ""),
    "of yesterday": ({"since": -3, "until": -1}, "fail", "has expired"),
    "of yesterday, of a CA": ({"since": -3, "until": -1, "issuer": "CA"}, "fail", "has expired"),
    "of tomorrow": ({"since": 1, "until": 2}, "fail", "is not valid yet"),
    "for another name": ({"name": "mail.example.org"}, "fail", f"is not for {NAME}"),
    "of yesterday, for another name": (
        {"since": -3, "until": -1, "name": "mail.example.org"},
        "fail",
        f"has expired, and is not for {NAME}",
    ),
    "for another name, in its common name alone": ({"name": "x", "alternative": False}, "fail", f"is not for {NAME}"),
}


@pytest.mark.parametrize(("made", "verdict", "said"), CERTIFICATES.values(), ids=CERTIFICATES)
def test_a_certificate_is_judged_by_its_dates_and_names_whoever_signed_it(serve, tmp_path, made, verdict, said):
    tls = context(certificate(tmp_path, **made))
    found = checks(serve(lambda: Server(Mail(), tls_context=tls)))
    assert verdicts(found) == {"A18": "pass", "A19": verdict}
    assert found["A18"].command.startswith("RCPT TO:<postmaster@")
    assert said in found["A19"].message
    assert found["A19"].weight == {"pass": "pass", "fail": "warn"}[verdict]


def test_a_server_that_offers_no_tls_is_not_asked_for_it(serve):
    assert checks(serve(lambda: Server(Mail()))) == {}


def test_one_address_of_a_server_is_enough(serve, tmp_path):
    tls = context(certificate(tmp_path))
    assert checks(serve(lambda: Server(Mail(), tls_context=tls)), limits=False) == {}


class Offers(Script):
    """Offers STARTTLS, and answers it with ``said``; to what comes then, with ``then``."""

    said, then = b"220 Go ahead\r\n", b"250 Ok\r\n"
    begun = False

    def data_received(self, data):
        if self.begun:
            self._say(self.then)
        else:
            super().data_received(data)

    def answer(self, line):
        if line == b"STARTTLS":
            self.begun = self.said.startswith(b"220")
            return self.said
        return b"250-mx\r\n250 STARTTLS\r\n" if line.startswith(b"EHLO") else b"250 Ok\r\n"


def offers(**words):
    return type("Offering", (Offers,), words)


SERVERS = {
    "a refusal": ({"said": b"454 4.7.0 TLS not available\r\n"}, "fail", "STARTTLS is answered with 454: 4.7.0 TLS not"),
    "a refusal for good": ({"said": b"502 5.5.1 No\r\n"}, "fail", "STARTTLS is answered with 502: 5.5.1 No"),
    "no TLS at all": ({}, "fail", "the TLS handshake fails: "),
    "the end": ({"then": None}, "fail", "the TLS handshake fails: "),
    "something ahead": ({"said": b"220 Go\r\n250 Injected\r\n"}, "fail", "said something that it was not asked for"),
    "nothing": ({"then": b""}, "inconclusive", "no TLS handshake within 1 s"),
    "no answer": ({"said": b""}, "inconclusive", "nothing within 1 s"),
}


@pytest.mark.parametrize(("words", "verdict", "said"), SERVERS.values(), ids=SERVERS)
def test_an_offer_that_is_not_kept_is_told(serve, words, verdict, said):
    found = checks(serve(offers(**words)))
    assert verdicts(found) == {"A18": verdict}
    assert said in found["A18"].message
    assert found["A18"].remedy


def test_a_handshake_octet_by_octet_is_not_waited_for(serve):
    class Drips(Offers):
        def data_received(self, data):
            if not self.begun:
                super().data_received(data)
            else:
                self.drip(b"\x16\x03\x03\x40\x00" + b"\x02" * 200)

        def drip(self, octets):
            if octets and not self.transport.is_closing():
                self.transport.write(octets[:1])
                asyncio.get_running_loop().call_later(0.1, self.drip, octets[1:])

    begun = time.monotonic()
    assert verdicts(checks(serve(Drips))) == {"A18": "inconclusive"}
    assert time.monotonic() - begun < 5


def without_certificate(_path):
    return context()


def too_old(path):
    made = context(path)
    made.minimum_version, made.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    return made


def for_its_own_clients(path):
    made = context(path)
    made.verify_mode = ssl.CERT_REQUIRED
    made.load_verify_locations(path)
    return made


@pytest.mark.parametrize("make", [without_certificate, too_old, for_its_own_clients])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_tls_that_a_stranger_cannot_complete_is_told(serve, tmp_path, make):
    tls = make(certificate(tmp_path))
    found = checks(serve(lambda: Server(Mail(), tls_context=tls)))
    assert found["A18"].verdict == "fail"
    assert found["A18"].message.startswith("STARTTLS is offered and does not work: ")


@pytest.mark.parametrize(("reply", "verdict"), [("550 5.7.1 No", "fail"), ("451 4.3.0 Later", "inconclusive")])
def test_what_is_taken_in_the_clear_is_taken_over_tls(serve, tmp_path, reply, verdict):
    class Changes(Mail):
        async def on_rcpt(self, server, *rest):
            return reply if server.session.ssl else await Mail.handle_RCPT(self, server, *rest)

    tls = context(certificate(tmp_path))
    found = checks(serve(lambda: Server(Changes(), tls_context=tls)))
    assert (found["A18"].verdict, found["A18"].code) == (verdict, int(reply[:3]))


def test_a_server_that_takes_no_postmaster_is_asked_for_tls_alone(serve, tmp_path):
    class Deaf(Mail):
        def rcpt(self, *_asked):
            return "550 5.1.1 User unknown"

    tls = context(certificate(tmp_path))
    found = checks(serve(lambda: Server(Deaf(), tls_context=tls)))
    assert (found["A18"].verdict, found["A18"].command) == ("pass", "EHLO stranger.example")
