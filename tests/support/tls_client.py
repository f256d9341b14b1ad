"""A client that says what a TLS server shows it, and a server that says what a client shows it."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """What came back over one connection."""

    certificate: str
    version: str
    cipher: str
    protocol: str | None
    status: int
    headers: dict[str, str]
    body: str


def ask(
    address: str,
    port: int,
    name: str | None = "www.example.com",
    *,
    path: str = "/",
    certificate: Path | None = None,
    versions: tuple[ssl.TLSVersion, ssl.TLSVersion] | None = None,
    ciphers: str | None = None,
    protocols: tuple[str, ...] = (),
) -> Answer:
    """One request. The server's certificate is told, not judged.

    :raises OSError: when the server refuses (``ssl.SSLError`` is one).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if certificate is not None:
        context.load_cert_chain(certificate)
    if versions is not None:
        context.minimum_version, context.maximum_version = versions
    if ciphers is not None:
        context.set_ciphers(ciphers)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    with (
        socket.create_connection((address, port), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname=name) as connection,
    ):
        chosen = connection.selected_alpn_protocol()
        about = (
            fingerprint(connection),
            connection.version() or "",
            (connection.cipher() or ("",))[0],
            chosen,
        )
        if chosen == "h2":
            # A whole HTTP/2 client is another library's work; that the server greets by HTTP/2 is told.
            connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)))
            frame = connection.recv(9)
            return Answer(*about, status=200 if frame[3] == 4 else 0, headers={}, body="")
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
        text = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    head, _, body = text.partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    if not first:
        raise ConnectionError("the server said nothing")
    headers = dict(line.split(": ", 1) for line in lines)
    return Answer(*about, status=int(first.split()[1]), headers=headers, body=body)


def fingerprint(connection: ssl.SSLSocket) -> str:
    """Of the certificate that the other side has shown, as HAProxy writes it."""
    der = connection.getpeercert(binary_form=True) or b""
    return hashlib.sha1(der, usedforsecurity=False).hexdigest().upper()


class _Member(http.server.BaseHTTPRequestHandler):
    """Answers with its port and the headers that it got."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        seen = "".join(f"{name}: {value}\n" for name, value in self.headers.items())
        body = f"port: {self.server.server_address[1]}\n{seen}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Tests read answers, not logs."""


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512
    context: ssl.SSLContext | None = None

    def finish_request(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override] # the base class takes any request
        """The handshake happens in the connection's own thread."""
        if self.context is None:
            super().finish_request(request, client_address)
            return
        with self.context.wrap_socket(request, server_side=True) as connection:
            super().finish_request(connection, client_address)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up, or refuse a certificate, are what these tests are about."""

    def server_bind(self) -> None:
        # As the base class does it, without a look-up of the host's name.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "member", self.server_address[1]


@contextlib.contextmanager
def member(
    inside: Callable[[Callable[[], _Server]], _Server],
    address: str,
    port: int,
    certificate: Path | None = None,
    authority: Path | None = None,
) -> Iterator[None]:
    """A web server, by TLS where it has a certificate.

    :param inside: runs a function in the namespace where the server shall be.
    :param authority: clients have to show a certificate that it signed.
    """
    server = inside(lambda: _Server((address, port), _Member))
    if certificate is not None:
        server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.context.load_cert_chain(certificate)
        if authority is not None:
            server.context.verify_mode = ssl.CERT_REQUIRED
            server.context.load_verify_locations(authority)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
