"""The world around the load balancer: web servers and a client, each a guest on the site's networks."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from examples.demo.client import Answer, Client
from lbdrivers import settings
from lbdrivers_amphora.site.guests import Guest, Plug, known_guests
from lbdrivers_amphora.site.namespaces import in_namespace
from lbdrivers_amphora.site.place import Site

BACKEND = Path(__file__).with_name("backend.py")


class FirstAnswer:
    """Asks until there is an answer; knows when it came."""

    def __init__(self, client: Client) -> None:
        self._found: Answer | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(client,), daemon=True)
        self._thread.start()

    def _run(self, client: Client) -> None:
        # Attempts before the first answer are no requests: a client of their own keeps them apart.
        scout = Client(client.address, client.port, client.opener)
        while self._found is None and not self._stop.is_set():
            answer = scout.get(timeout=0.1)
            if answer.body is not None:
                client.answers.append(answer)
                self._found = answer
            self._stop.wait(0.005)

    def wait(self, limit: float) -> bool:
        """Whether the answer came within so many seconds."""
        self._thread.join(limit)
        return self._found is not None

    def stop(self) -> None:
        """Ask no more."""
        self._stop.set()
        self._thread.join()

    @property
    def at(self) -> float:
        """Monotonic seconds of the answer."""
        if self._found is None:
            raise RuntimeError("there was no answer")
        return self._found.at


class World:
    """Guests and their processes, and a hand on the amphorae."""

    def __init__(self, state: Path, server_subnet: str, client_subnet: str) -> None:
        self.site = Site.of(settings.load(state_path=state))
        self._server_subnet, self._client_subnet = server_subnet, client_subnet
        self._servers: dict[str, subprocess.Popen[bytes]] = {}
        self._client_network = -1

    def serve(self, name: str, address: str, port: int) -> None:
        """Start a web server of that name, in a guest of its own, and wait until it listens."""
        guest = Guest(self.site, name).ensure([Plug(self._server_subnet, address)])
        process = guest.popen(
            [sys.executable, "-I", str(BACKEND), name, address, str(port)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._servers[name] = process
        for _ in range(1000):
            with contextlib.suppress(OSError):
                guest.in_namespace(socket.create_connection, (address, port), 1.0).close()
                return
            if process.poll() is not None:
                raise RuntimeError(f"web server {name} ended with exit status {process.returncode}")
            threading.Event().wait(0.01)
        raise RuntimeError(f"web server {name} does not answer")

    def stop(self, name: str) -> None:
        """Kill the web server; its guest stays, so that connections to it are refused."""
        process = self._servers.pop(name)
        process.kill()
        process.wait()

    def start_client(self) -> str:
        """Make the client's guest; its address."""
        guest = Guest(self.site, "client").ensure([Plug(self._client_subnet)])
        pid = guest.box.pid()
        self._client_network = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
        return guest.addresses[0]

    def open_from_client(self, address: str, port: int, timeout: float) -> socket.socket:
        """A connected socket in the client's network namespace."""
        return in_namespace(f"/proc/self/fd/{self._client_network}", socket.create_connection, (address, port), timeout)

    @contextlib.contextmanager
    def first_answer(self, client: Client) -> Iterator[FirstAnswer]:
        """Ask in the background while a block runs."""
        first = FirstAnswer(client)
        try:
            yield first
        finally:
            first.stop()

    @staticmethod
    def next_address(address: str, distance: int) -> str:
        """The address so many further."""
        return str(ipaddress.ip_address(address) + distance)

    def haproxy_processes(self) -> frozenset[tuple[str, int]]:
        """Every HAProxy process in the site's machines: machine name and process number."""
        spaces = {}
        for folder in self.site.machines.iterdir():
            pid = self.site.machine(folder.name).pid()
            if pid is not None:
                spaces[str(Path(f"/proc/{pid}/ns/pid").readlink())] = folder.name
        found = set()
        for process in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if process.name.isdigit() and (process / "comm").read_text().strip() == "haproxy":
                    space = str((process / "ns" / "pid").readlink())
                    if space in spaces:
                        found.add((spaces[space], int(process.name)))
        return frozenset(found)

    def kill_amphora(self, amphora_id: str) -> None:
        """End every process of the amphora at once: its process 1 takes all others along."""
        pid = self.site.machine(f"amphora-{amphora_id}").pid()
        if pid is None:
            raise RuntimeError(f"amphora {amphora_id} is not running")
        process = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(process, signal.SIGKILL)
        finally:
            os.close(process)

    def close(self) -> None:
        """End all servers and guests."""
        for name in list(self._servers):
            self.stop(name)
        if self._client_network >= 0:
            os.close(self._client_network)
            self._client_network = -1
        for name in known_guests(self.site):
            Guest(self.site, name).kill()
