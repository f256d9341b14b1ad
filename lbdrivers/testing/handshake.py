"""A TLS handshake between two ends in this process: what certificates are good for, tried for real.

Law: no sockets; certificates are judged by OpenSSL, not by reading their fields.
"""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path

from lbdrivers.drivers.certificate import Credential
from lbdrivers.model.secret import Secret

#: Flights after which a handshake that goes nowhere is given up; TLS 1.2 needs four.
_FLIGHTS = 10


def load_chain(context: ssl.SSLContext, pem: Secret, passphrase: Secret | None = None) -> None:
    """Load a certificate with its key. :raises ssl.SSLError: when they do not belong together, or it stays shut."""
    # Without a word of ours OpenSSL would ask for one on the terminal.
    word = b"" if passphrase is None else passphrase.reveal()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "chain.pem"
        file.touch(mode=0o600)
        file.write_bytes(pem.reveal())
        context.load_cert_chain(file, password=word)


def shake_hands(
    server: Credential, client: Credential | None, server_ca: bytes, client_ca: bytes, server_name: str
) -> None:
    """Let a server that requires client certificates and a client that checks names meet.

    :raises ssl.SSLError: when one of them refuses the other.
    """
    listening = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    listening.minimum_version = ssl.TLSVersion.TLSv1_2
    listening.verify_mode = ssl.CERT_REQUIRED
    listening.load_verify_locations(cadata=client_ca.decode())
    load_chain(listening, server.pem)
    calling = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    calling.load_verify_locations(cadata=server_ca.decode())
    if client is not None:
        load_chain(calling, client.pem)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        calling.wrap_bio(to_client, to_server, server_hostname=server_name),
        listening.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(_FLIGHTS):
        # With TLS 1.3 the client is done before the server has seen its certificate, so both must be.
        done = [_advanced(end) for end in ends]
        if all(done):
            return
    raise ssl.SSLError("the handshake does not end")


def _advanced(end: ssl.SSLObject) -> bool:
    try:
        end.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True
