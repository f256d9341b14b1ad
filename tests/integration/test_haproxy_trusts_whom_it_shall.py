"""After a change, a running HAProxy trusts whom it shall among members, and shows them what it shall."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import tls_client
from support.bundles import listener, member, policy, pool, rule, tree
from support.following import Follower, authority, issued
from support.haproxy import Haproxy, eventually, free_port, loopback, request

from lbdrivers.model.resources import LoadBalancer

pytestmark = pytest.mark.usefixtures("each_haproxy")

_VIP, _MEMBER = loopback(0), loopback(1)
_FRONT, _BEHIND = free_port(_VIP), free_port(_MEMBER)


#: Pools with and without a certificate of their own, with and without a revocation list: path -> fields.
_KINDS = {"/none": (None, False), "/list": (None, True), "/shown": ("api", False), "/both": ("api", True)}


def _trusting(name: str, *kinds: str) -> LoadBalancer:
    """Pools that trust members of that authority alone, each behind its path."""
    pools = tuple(
        pool(
            f"pool {path}",
            tls_enabled=True,
            tls_container_ref=_KINDS[path][0],
            ca_tls_container_ref=f"authority/{name}",
            crl_container_ref=f"crl/{name}" if _KINDS[path][1] else None,
            members=(member(f"m {path}", _MEMBER, _BEHIND),),
        )
        for path in kinds
    )
    policies = tuple(
        policy(path, "REDIRECT_TO_POOL", rule(path, "PATH", "EQUAL_TO", path), redirect_pool_id=target.id)
        for path, target in zip(kinds, pools, strict=True)
    )
    return tree((listener(port=_FRONT, l7policies=policies),), pools)


def _status(path: str) -> int:
    return int(request(_VIP, _FRONT, f"GET {path} HTTP/1.1\r\nHost: x\r\n").split()[1])


def test_an_authority_that_is_trusted_no_more_is_not_trusted(tmp_path: Path) -> None:
    def statuses() -> set[int]:
        # At once, as HAProxy takes some seconds until it gives up.
        with ThreadPoolExecutor(len(_KINDS)) as clients:
            return set(clients.map(_status, _KINDS))

    path = authority("clients").issue("member.example.com").write(tmp_path, "member")
    with tls_client.member(lambda make: make(), _MEMBER, _BEHIND, path), Haproxy() as process:
        running = Follower(process, _VIP)
        running.start(_trusting("partners", *_KINDS))
        running.follow(_trusting("clients", *_KINDS))
        assert statuses() == {200}
        running.follow(_trusting("partners", *_KINDS))
        assert statuses() == {503}


@contextmanager
def _member_that_remembers(folder: Path) -> Iterator[list[str]]:
    """Fingerprints of what it was shown, the newest last."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority("clients").issue("member.example.com").write(folder, "member"))
    site = folder / "site.pem"
    site.write_bytes(authority("site").pem)
    context.load_verify_locations(site)
    context.verify_mode = ssl.CERT_REQUIRED
    seen: list[str] = []
    server = socket.create_server((_MEMBER, _BEHIND))

    def serve() -> None:
        while True:
            try:
                plain, _ = server.accept()
            except OSError:
                return
            with plain, context.wrap_socket(plain, server_side=True) as connection:
                seen.append(tls_client.fingerprint(connection))
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(10)


def test_members_are_shown_the_renewed_certificate(tmp_path: Path) -> None:
    with _member_that_remembers(tmp_path) as seen, Haproxy() as process:
        running = Follower(process, _VIP)
        running.start(_trusting("clients", "/shown"), 0)
        for edition in (0, 1, 0, 1):
            found, _ = running.follow(_trusting("clients", "/shown"), edition)
            assert found.kind == "nothing"  # but for the certificate
            wanted = issued("api", edition).fingerprint
            assert eventually(
                lambda: (_status("/shown"), seen[-1]), lambda answer, wanted=wanted: answer == (200, wanted)
            )
            assert seen[-1] == wanted
