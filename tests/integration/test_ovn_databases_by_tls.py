"""OVN's databases over TLS, and what happens when their server goes, comes back, stops to answer or is somebody else.

A real ovsdb-server that demands certificates; no cloud, no datapath.
"""

from __future__ import annotations

import itertools
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.certificates import Authority
from support.ovn import member, web

from examples.ovn_demo.guests import PATIENCE, wait_for
from lbdrivers import settings
from lbdrivers.drivers.context import DriverContext
from lbdrivers.errors import InvalidInput, TemporaryError
from lbdrivers.memory.records import MemoryRecords
from lbdrivers_ovn.network.driver import OvnNetwork
from lbdrivers_ovn.provider import OvnProvider

A, B = member(31, "10.212.32.11"), member(32, "10.212.32.12")
SCHEMAS = Path("/usr/share/ovn")


@dataclass
class Server:
    """An ovsdb-server with OVN's two databases, on a port of the loopback."""

    folder: Path
    authority: Authority = field(default_factory=lambda: Authority("OVN"))
    port: int = 0

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self._write("server", self.authority)
        for name in ("nb", "sb"):
            create = ["ovsdb-tool", "create", self.folder / f"{name}.db", SCHEMAS / f"ovn-{name}.ovsschema"]
            subprocess.run(create, check=True)
        self.start()

    def start(self) -> None:
        """Start it, on the port that it had before, if any."""
        log = self.folder / "server.log"
        log.unlink(missing_ok=True)
        tls = self._tls("server")
        files = [f"--private-key={tls[0]}", f"--certificate={tls[1]}", f"--ca-cert={tls[2]}", f"--log-file={log}"]
        command = ["ovsdb-server", f"--remote=pssl:{self.port}:127.0.0.1", f"--unixctl={self.folder}/control", *files]
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *command, self.folder / "nb.db", self.folder / "sb.db"],
            stderr=subprocess.DEVNULL,
        )
        wait_for(self._listening, "an ovsdb-server")

    def _listening(self) -> bool:
        """A port that the kernel has chosen stands in the log."""
        if self.port:
            with socket.socket() as door:
                return door.connect_ex(("127.0.0.1", self.port)) == 0
        log = self.folder / "server.log"
        found = re.search(r"listening on port (\d+)", log.read_text() if log.exists() else "")
        self.port = int(found[1]) if found else 0
        return found is not None

    def stop(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        self.process.wait(timeout=PATIENCE)

    def provider(self, authority: Authority | None = None, trusted: Authority | None = None) -> OvnProvider:
        """A provider with a certificate of one authority that trusts another; of the server's own by default."""
        name = f"client{len(list(self.folder.glob('client*.key')))}"
        self._write(name, authority or self.authority, trusted)
        context = DriverContext(self.configuration(*self._tls(name)), MemoryRecords(), lambda *_: OvnNetwork(context))
        return OvnProvider(context)

    def configuration(self, key: Path, certificate: Path, authority: Path) -> settings.cfg.ConfigOpts:
        lines = ["[ovn]", "ovsdb_connection_timeout = 2", "ovsdb_probe_interval = 1000"]
        for side in ("nb", "sb"):
            lines += [f"ovn_{side}_connection = ssl:127.0.0.1:{self.port}", f"ovn_{side}_private_key = {key}"]
            lines += [f"ovn_{side}_certificate = {certificate}", f"ovn_{side}_ca_cert = {authority}"]
        file = self.folder / "lbdrivers.conf"
        file.write_text("\n".join(lines))
        return settings.load([file], state_path=self.folder / "state")

    def _tls(self, name: str) -> tuple[Path, Path, Path]:
        return self.folder / f"{name}.key", self.folder / f"{name}.crt", self.folder / f"{name}.ca"

    def _write(self, name: str, authority: Authority, trusted: Authority | None = None) -> None:
        issued = authority.issue(name)
        contents = issued.key_pem, issued.pem, (trusted or authority).pem
        for file, content in zip(self._tls(name), contents, strict=True):
            file.touch(mode=0o600)
            file.write_bytes(content)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path / "server")
    yield made
    made.stop()


def test_load_balancers_are_made_over_tls_and_the_server_may_restart(server: Server) -> None:
    provider, first = server.provider(), web(A)
    provider.apply(first, None)
    assert provider.observe(first.id).vip_addresses == ("10.212.16.2",)
    server.stop()
    with pytest.raises(TemporaryError, match="does not answer"):
        provider.apply(web(A, B), first)
    server.start()
    _patiently(provider)
    assert provider.observe(first.id).operating.keys() >= {A["id"], B["id"]}
    provider.remove(first.id)
    assert provider.known() == frozenset()


@pytest.mark.parametrize("side", ["ours", "theirs"])
def test_who_is_of_another_authority_is_not_spoken_to(server: Server, side: str) -> None:
    other = Authority("somebody")
    stranger = server.provider(other, server.authority) if side == "ours" else server.provider(trusted=other)
    with pytest.raises(TemporaryError, match="does not answer") as caught:
        stranger.apply(web(A), None)
    assert f"ssl:127.0.0.1:{server.port}" in caught.value.operator
    assert server.provider().known() == frozenset()


def test_a_file_that_is_missing_is_named_at_once(server: Server, tmp_path: Path) -> None:
    missing = tmp_path / "nowhere.key"
    configuration = server.configuration(missing, server.folder / "server.crt", server.folder / "server.ca")
    with pytest.raises(InvalidInput, match=r"ovn_nb_private_key.*is no file"):
        OvnProvider(DriverContext(configuration, MemoryRecords(), lambda *_: None))


def test_a_server_that_stops_to_answer_fails_the_run_in_time_and_is_used_again(server: Server) -> None:
    """As with a stalled disk or a partition: connections stay open, and nothing comes."""
    provider, first = server.provider(), web(A)
    provider.apply(first, None)
    server.process.send_signal(signal.SIGSTOP)
    started = time.monotonic()
    with pytest.raises(TemporaryError, match="does not answer"):
        provider.apply(web(A, B), first)
    assert time.monotonic() - started < PATIENCE
    server.process.send_signal(signal.SIGCONT)
    _patiently(provider)
    provider.remove(first.id)


def test_a_server_that_is_away_is_not_hammered(server: Server) -> None:
    """Attempts come with growing pauses, and the thread of the connection rests between them."""
    provider, first = server.provider(), web(A)
    provider.apply(first, None)
    server.stop()
    attempts: list[float] = []
    with socket.create_server(("127.0.0.1", server.port)) as door:
        door.settimeout(0.1)
        ended = threading.Event()

        def refuse() -> None:
            while not ended.is_set():
                try:
                    door.accept()[0].close()
                except TimeoutError:
                    continue
                attempts.append(time.monotonic())

        thread = threading.Thread(target=refuse, daemon=True)
        thread.start()
        before = time.process_time()
        wait_for(lambda: len(attempts) >= 2, "two attempts")
        spent = time.process_time() - before
        ended.set()
        thread.join()
    pauses = [later - earlier for earlier, later in itertools.pairwise(attempts)]
    assert all(pause > 0.9 for pause in pauses), pauses
    assert spent < 1.0, f"{spent} s of processor time were spent on waiting"
    server.start()
    _patiently(provider)
    provider.remove(first.id)


def _patiently(provider: OvnProvider) -> None:
    """Apply until it succeeds, as the engine would."""

    def done() -> bool:
        try:
            provider.apply(web(A, B), None)
        except TemporaryError:
            return False
        return True

    wait_for(done, "the connection to stand again")
