"""A running HAProxy that is led through a history of trees as the agent leads it, and what its TLS shows."""

from __future__ import annotations

import functools
import hashlib
import re
import socket
import ssl
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID
from support.bundles import bundle, facts
from support.certificates import Authority, Issued
from support.haproxy import Haproxy
from support.haproxy_state import observed
from support.tls_client import fingerprint

from lbdrivers.drivers.amphora import Facts, Vip
from lbdrivers.drivers.certificate import TlsContainer
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.model.secret import Secret
from lbdrivers_amphora.agent.haproxy_process import load_certificate
from lbdrivers_amphora.haproxy.answers import failures
from lbdrivers_amphora.haproxy.certificates import Exchange, Files, NotAtRuntime, entered, exchange, listed
from lbdrivers_amphora.haproxy.ir import Configuration
from lbdrivers_amphora.haproxy.narrow import narrow, outline
from lbdrivers_amphora.haproxy.parse import parse
from lbdrivers_amphora.haproxy.process import read
from lbdrivers_amphora.haproxy.render import render
from lbdrivers_amphora.haproxy.server_state import carry
from lbdrivers_amphora.haproxy.transition import Nothing, Reload, Runtime, Transition, transition
from lbdrivers_amphora.haproxy.translate import translate
from lbdrivers_amphora.haproxy.translate_tls import certificate_files
from lbdrivers_amphora.haproxy.word import Word
from lbdrivers_amphora.secret_files import secret_files

_FINGERPRINTS = re.compile(r"^SHA1 FingerPrint: ([0-9A-F]{40})$", re.MULTILINE)
_NUMBER = Word("-u")
_NAMED = re.compile(r"^(?:Filename|Status|Unused):?.*\n", re.MULTILINE)


class Store:
    """Certificates, authorities and lists by reference, made when they are first asked for.

    :param edition: another one has other content for each reference: everything was renewed.
    """

    contract = 1

    def __init__(self, edition: int = 0) -> None:
        self._edition = edition

    def tls_container(self, reference: str) -> TlsContainer:
        return issued(reference, self._edition).container(reference)

    def secret(self, reference: str) -> Secret:
        return Secret(_plain(reference, self._edition))


@functools.cache
def _plain(reference: str, edition: int) -> bytes:
    """An authority, whose certificate is never renewed here, or the list that the authority of that name publishes."""
    kind, _, name = reference.partition("/")
    if kind == "authority":
        return authority(name).pem
    return authority(name).revoke(*(issued(f"revoked {number}", 0) for number in range(edition + 1)))


@functools.cache
def authority(name: str) -> Authority:
    """The same one for a name, in one run of the tests."""
    return Authority(name)


@functools.cache
def issued(reference: str, edition: int) -> Issued:
    """What the reference points to."""
    return authority("site").issue(f"{hashlib.sha1(reference.encode()).hexdigest()[:8]}-{edition}.example.com")


class Follower:
    """HAProxy with the configuration of a tree, and of those that come after it."""

    def __init__(self, haproxy: Haproxy, vip: str) -> None:
        self.haproxy = haproxy
        self._vip = Vip(vip, "127.0.0.0/8")
        self._facts: Facts = facts(str(haproxy.base), certificate_path=str(haproxy.base / "certificates"))
        self._files: Files | None = None
        self._stores: Mapping[str, str] = {}
        self.folder = Path()

    @property
    def configuration(self) -> Configuration:
        assert self._files is not None
        return self._files.configuration

    def start(self, tree: LoadBalancer, edition: int = 0) -> None:
        self._files = self._written(tree, edition)
        self.haproxy.start(self.configuration)

    def _written(self, tree: LoadBalancer, edition: int) -> Files:
        """The configuration, with its files in place beside those of before."""
        made = bundle(tree, vips=(self._vip,), tls=secret_files(tree, lambda: Store(edition)))
        configuration = translate(made, self._facts)
        self.folder = Path(self._facts.certificate_path, tree.id)
        self.folder.mkdir(parents=True, exist_ok=True)
        contents = {
            name: secret.reveal() for name, secret in certificate_files(configuration, made, self._facts).items()
        }
        for name, content in contents.items():
            (self.folder / name).write_bytes(content)
        lists = {
            name: tuple(path.removeprefix(f"{self.folder}/") for path in listed(content.decode()))
            for name, content in contents.items()
            if b"-----BEGIN" not in content
        }
        digests = {name: hashlib.md5(content).hexdigest() for name, content in contents.items()}
        return Files(configuration, lists, digests, {name: len(content) for name, content in contents.items()})

    def follow(self, tree: LoadBalancer, edition: int = 0) -> tuple[Transition, Exchange | None]:
        """Carry the transition out. What cannot be done at run time is a reload."""
        before, wanted = self._files, self._written(tree, edition)
        assert before is not None
        worker = self.haproxy.worker()
        found, change = self._decided(before, wanted)
        if isinstance(found, Reload):
            self.haproxy.reload(
                wanted.configuration, carry(self.haproxy.ask("show servers state"), wanted.configuration)
            )
            self._stores = {}
        else:
            assert isinstance(found, Runtime | Nothing) and change is not None
            self.haproxy.write(wanted.configuration)
            self._carry_out(found.commands if isinstance(found, Runtime) else (), change)
            self._stores = change.stores
            assert self.haproxy.worker() == worker
        self._files = wanted
        return found, change

    def _decided(self, before: Files, wanted: Files) -> tuple[Transition, Exchange | None]:
        texts = [render(one.configuration).encode() for one in (before, wanted)]
        running, desired = (parse(text.decode()) for text in narrow(texts[0], texts[1]))
        outlines = [
            Files(parse(outline(text).decode()), one.lists, one.digests, one.sizes)
            for text, one in zip(texts, (before, wanted), strict=True)
        ]
        try:
            change = exchange(str(self.folder), outlines[0], outlines[1], self._stores)
        except NotAtRuntime as reason:
            return Reload(str(reason)), None
        running, desired = change.in_names_of_process(running, desired)
        state = read(self.haproxy.ask("show info"), self.haproxy.ask("show acl"))
        return transition(running, desired, state), change

    def _carry_out(self, commands: tuple[str, ...], change: Exchange) -> None:
        for load in change.loads:
            done = load_certificate(str(self.haproxy.socket), load)
            assert done.ok, (load, done.words)
        for command in change.gains:
            assert entered(self.haproxy.ask(command)), command
        assert failures(commands, self.haproxy.apply(commands)) == ()
        self.haproxy.apply(change.removals)

    def observed(self) -> dict[str, Any]:
        """All that is reported, and what TLS it has where."""
        return observed(self.haproxy, self._numbered()) | {"files": self._shown(), "handshakes": self._handshakes()}

    def _numbered(self) -> frozenset[str]:
        """Numbers of lists of values that the configuration gives itself."""
        lines = [line for frontend in self.configuration.frontends for line in frontend.lines]
        return frozenset(str(line[line.index(_NUMBER) + 1]) for line in lines if line[0] == "acl" and _NUMBER in line)

    def _shown(self) -> dict[tuple[str, str], Any]:
        """What the process has for each place that names a file, whatever it calls that file."""
        found: dict[tuple[str, str], Any] = {}
        lines = [
            (str(one.name), line) for one in self.configuration.frontends for line in one.lines if line[0] == "bind"
        ]
        lines += [(str(one.name), one.servers[0].tls) for one in self.configuration.backends if one.servers]
        for place, line in lines:
            for keyword, word in pairwise(line):
                if word.startswith(str(self.folder)):
                    found[place, keyword] = self._content(keyword, self._store(Path(word).name))
        return found

    def _store(self, name: str) -> str:
        return f"{self.folder}/{self._stores.get(name, name)}"

    def _content(self, keyword: str, path: str) -> Any:
        ask = self.haproxy.ask
        if keyword == "crt-list":
            entries = [line for line in ask(f"show ssl crt-list {path}").splitlines() if line and line[0] != "#"]
            return [_FINGERPRINTS.findall(ask(f"show ssl cert {entry}")) for entry in entries]
        if keyword == "crl-file":
            return _NAMED.sub("", ask(f"show ssl crl-file {path}"))
        kind = "cert" if keyword == "crt" else "ca-file"
        return sorted(_FINGERPRINTS.findall(ask(f"show ssl {kind} {path}")))

    def _handshakes(self) -> dict[tuple[str, str | None], Any]:
        """What clients see who ask for each name that is served anywhere, and for none."""
        names = {name for files in [self._files] if files for name in files.digests if name not in files.lists}
        hosts = {_common_name(self.folder / name) for name in names} - {None}
        found: dict[tuple[str, str | None], Any] = {}
        for frontend in self.configuration.frontends:
            bind = next(line for line in frontend.lines if line[0] == "bind")
            if "ssl" in bind:
                port = int(bind[1].rpartition(":")[2])
                found |= {
                    (str(frontend.name), host): _handshake(self._vip.address, port, host)
                    for host in (None, *sorted(filter(None, hosts)))
                }
        return found


def differing(one: dict[str, Any], other: dict[str, Any]) -> dict[tuple[str, Any], tuple[Any, Any]]:
    """What two processes report otherwise: (part, place) -> both values."""
    first, second = _flat(one), _flat(other)
    return {
        place: (first.get(place), second.get(place))
        for place in {**first, **second}
        if first.get(place) != second.get(place)
    }


def _flat(parts: dict[str, Any]) -> dict[tuple[str, Any], Any]:
    maps = {name: part if isinstance(part, dict) else {"": part} for name, part in parts.items()}
    return {(name, place): value for name, part in maps.items() for place, value in part.items()}


def _common_name(path: Path) -> str | None:
    """Of a certificate with its key; None of anything else."""
    content = path.read_bytes()
    if b"PRIVATE KEY" not in content:
        return None
    return str(x509.load_pem_x509_certificate(content).subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def _handshake(address: str, port: int, name: str | None) -> Any:
    """Certificate, version, cipher and protocol; or the word for why there is none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1", "http/1.0"])
    try:
        with (
            socket.create_connection((address, port), timeout=5) as plain,
            context.wrap_socket(plain, server_hostname=name) as client,
        ):
            shown = fingerprint(client)
            return shown, client.version(), (client.cipher() or ("",))[0], client.selected_alpn_protocol()
    except ssl.SSLError as error:
        return error.reason
    except ConnectionError:
        return "closed"
