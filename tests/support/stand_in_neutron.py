"""A stand-in for Neutron's API: one network with one subnet, and ports on it; Keystone lets everybody in. What OVN's
driver for Octavia asks for, and no more: anything else is answered with 404.
"""

from __future__ import annotations

import ipaddress
import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

NETWORK = {"id": str(uuid.UUID(int=1)), "name": "front", "provider:physical_network": None}
SUBNET = {
    "id": str(uuid.UUID(int=2)),
    "network_id": NETWORK["id"],
    "cidr": "192.0.2.0/24",
    "ip_version": 4,
    "gateway_ip": "192.0.2.1",
}
TOKEN = {
    "issued_at": "2000-01-01T00:00:00.000000Z",
    "expires_at": "2100-01-01T00:00:00.000000Z",
    "methods": ["password"],
    "user": {"id": "user", "name": "user", "domain": {"id": "default", "name": "Default"}},
    "project": {"id": "project", "name": "project", "domain": {"id": "default", "name": "Default"}},
    "catalog": [],
}


class Neutron:
    """The API at ``url``, and its ``ports`` by id."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        self.ports: dict[str, dict[str, Any]] = {}
        self._free = (str(host) for host in ipaddress.ip_network(SUBNET["cidr"]).hosts() if host.packed[-1] >= 50)

    def answer(self, method: str, target: str, body: dict[str, Any]) -> tuple[int, dict[str, Any] | None]:
        path, query = urlsplit(target).path, dict(parse_qsl(urlsplit(target).query))
        match (method, *path.strip("/").split("/")):
            case ("GET", "") | ("GET", "v2.0"):
                link = {"rel": "self", "href": f"{self.url}/v2.0/"}
                return 200, {"versions": [{"id": "v2.0", "status": "CURRENT", "links": [link]}]}
            case ("POST", "v3", "auth", "tokens"):
                return 201, {"token": TOKEN}
            case ("GET", "v2.0", "networks", identity) if identity == NETWORK["id"]:
                return 200, {"network": NETWORK}
            case ("GET", "v2.0", "subnets", identity) if identity == SUBNET["id"]:
                return 200, {"subnet": SUBNET}
            case ("GET", "v2.0", "subnets"):
                return 200, {"subnets": [SUBNET]}
            case ("GET", "v2.0", "floatingips"):
                return 200, {"floatingips": []}
            case ("GET", "v2.0", "ports"):
                wanted = {
                    name: value for name, value in query.items() if name in ("name", "network_id", "device_owner")
                }
                found = [port for port in self.ports.values() if wanted.items() <= port.items()]
                return 200, {"ports": found}
            case ("GET", "v2.0", "ports", identity) if identity in self.ports:
                return 200, {"port": self.ports[identity]}
            case ("POST", "v2.0", "ports"):
                return 201, {"port": self._made(body["port"])}
            case ("DELETE", "v2.0", "ports", identity) if identity in self.ports:
                del self.ports[identity]
                return 204, None
        return 404, {"NeutronError": {"type": "NotFound", "message": f"nothing at {path}", "detail": ""}}

    def _made(self, wanted: dict[str, Any]) -> dict[str, Any]:
        fixed = [{**one, "ip_address": one.get("ip_address") or next(self._free)} for one in wanted["fixed_ips"]]
        port = {**wanted, "id": str(uuid.uuid4()), "fixed_ips": fixed, "status": "DOWN"}
        self.ports[port["id"]] = port
        return port


@contextmanager
def serving() -> Iterator[Neutron]:
    """The API for as long as the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else {}
            status, content = neutron.answer(self.command, self.path, body)
            data = b"" if content is None else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("X-Subject-Token", "token")  # Keystone's answer has it here
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815 names of http.server

        def log_message(self, *_arguments: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    neutron = Neutron(server)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield neutron
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
