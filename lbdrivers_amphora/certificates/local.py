"""The certificate driver with authorities of its own, or with those that its operator has.

Law: two authorities, one for agents (servers) and one for controllers (clients), so that a stolen
agent key opens no agent. Keys lie in files of mode 0600, made whole under a lock: processes that start
together end up with the same authorities.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from oslo_config import cfg

from lbdrivers import settings as core
from lbdrivers.drivers.certificate import Credential, Trust
from lbdrivers.drivers.context import DriverContext
from lbdrivers.errors import InvalidInput, Problem
from lbdrivers.model.secret import Secret
from lbdrivers_amphora.certificates import x509
from lbdrivers_amphora.certificates.x509 import Purpose, SigningAuthority
from lbdrivers_amphora.site.files import locked, write_atomically

_DAY = 24 * 3600.0
#: Our own authorities live this long; Octavia's scripts use the same 20 years for its roots.
AUTHORITY_VALIDITY = 7300 * _DAY
#: A controller's certificate lives this long and is renewed when a third of it is left.
CLIENT_VALIDITY = 30 * _DAY
RENEW_BEFORE = CLIENT_VALIDITY / 3

_CERTIFICATES = (
    cfg.StrOpt("ca_certificate", help="PEM of the authority for agents; default: one of our own in state_path."),
    cfg.StrOpt("ca_private_key", help="PEM of its key."),
    cfg.StrOpt("ca_private_key_passphrase", secret=True, help="Passphrase of that key."),
    cfg.StrOpt("signing_digest", default="sha256", choices=list(x509.DIGESTS)),
)
_WORKER = (cfg.StrOpt("client_ca", help="PEM of the authority that agents trust for controllers."),)
_AMPHORA = (
    cfg.StrOpt("client_cert", help="PEM with the controller's certificate and key."),
    cfg.StrOpt("server_ca", help="PEM that controllers trust for agents; default: ca_certificate."),
)
OPTIONS: Mapping[str, Sequence[cfg.Opt]] = {
    "certificates": _CERTIFICATES,
    "controller_worker": _WORKER,
    "haproxy_amphora": _AMPHORA,
}
#: Octavia's default of client_ca, for a file that names a client_cert alone.
OCTAVIAS_CLIENT_CA = "/etc/octavia/certs/ca_01.pem"


@dataclass(frozen=True)
class CertificateSettings:
    """Where the authorities are. Section and option names are octavia.conf's."""

    folder: Path
    """Where our own authorities are kept: ``certificates`` in ``state_path``."""

    digest: str
    """Digest of signatures. Default sha256."""

    server_authority: tuple[Path, Path] | None
    """Certificate and key of an existing authority for agents; None: one of our own."""

    passphrase: Secret | None
    """Passphrase of that key."""

    server_trust: Path | None
    """What controllers trust for agents, when it is more than the authority's own certificate (a chain)."""

    client: tuple[Path, Path] | None
    """Existing authority's certificate for controllers and the controller's PEM; None: of our own."""


def read(configuration: cfg.ConfigOpts) -> CertificateSettings:
    """The settings out of parsed configuration. :raises InvalidInput: on a bad value, or half a pair."""
    for section, options in OPTIONS.items():
        configuration.register_opts(options, group=section)
    folder = core.read(configuration).state_path.absolute() / "certificates"
    try:
        own, worker, amphora = (
            configuration.certificates,
            configuration.controller_worker,
            configuration.haproxy_amphora,
        )
        passphrase = own.ca_private_key_passphrase
        return CertificateSettings(
            folder=folder,
            digest=own.signing_digest,
            server_authority=_pair(
                ("[certificates] ca_certificate", own.ca_certificate),
                ("[certificates] ca_private_key", own.ca_private_key),
            ),
            passphrase=Secret(passphrase.encode()) if passphrase else None,
            server_trust=Path(amphora.server_ca) if amphora.server_ca else None,
            client=_pair(
                (
                    "[controller_worker] client_ca",
                    worker.client_ca or (OCTAVIAS_CLIENT_CA if amphora.client_cert else None),
                ),
                ("[haproxy_amphora] client_cert", amphora.client_cert),
            ),
        )
    except (cfg.Error, ValueError) as error:
        raise core.refusal(error) from error


def _pair(first: tuple[str, str | None], second: tuple[str, str | None]) -> tuple[Path, Path] | None:
    if first[1] and second[1]:
        return Path(first[1]), Path(second[1])
    for (here, value), (there, other) in ((first, second), (second, first)):
        if value and not other:
            raise InvalidInput((Problem(there, "", "is missing", f"set it too, as {here} is set, or neither"),))
    return None


class LocalAuthority:
    """See :class:`lbdrivers.drivers.certificate.Authority`."""

    contract = 1

    def __init__(self, context: DriverContext) -> None:
        self._context = context

    def trust(self) -> Trust:
        """The two authorities' certificates; our own are made at first use.

        :raises InvalidInput: when a configured file cannot be used.
        """
        values = self._settings
        server = values.server_trust
        return Trust(
            server_ca=_read(server, "[haproxy_amphora] server_ca") if server else self._server.pem,
            client_ca=_read(values.client[0], "[controller_worker] client_ca") if values.client else self._client.pem,
        )

    def issue_server(self, common_name: str, validity: float) -> Credential:
        """A certificate for the agent of that amphora. :raises InvalidInput: as :meth:`trust`."""
        return Credential(*x509.issue(self._server, common_name, Purpose.SERVER, self._context.now(), validity))

    def client(self) -> Credential:
        """The controller's certificate: the configured one, or one of our own that is renewed in time."""
        values = self._settings
        if values.client:
            where = "[haproxy_amphora] client_cert"
            pem = _read(values.client[1], where)
            return Credential(Secret(pem), x509.expiry(pem, where))
        path, authority = values.folder / "client.cert-and-key.pem", self._client
        kept = self._kept(path, authority)
        if kept is None:
            with self._locked():
                kept = self._kept(path, authority) or self._renewed(path, authority)
        return kept

    @functools.cached_property
    def _settings(self) -> CertificateSettings:
        return read(self._context.configuration)

    @functools.cached_property
    def _server(self) -> SigningAuthority:
        values = self._settings
        if values.server_authority is None:
            return self._own("server_ca", "lbdrivers agents")
        certificate, key = values.server_authority
        return x509.load_authority(
            _read(certificate, "[certificates] ca_certificate"),
            Secret(_read(key, "[certificates] ca_private_key")),
            values.passphrase,
            values.digest,
            f"[certificates] ca_certificate {certificate}, ca_private_key {key}",
        )

    @functools.cached_property
    def _client(self) -> SigningAuthority:
        return self._own("client_ca", "lbdrivers controllers")

    def _own(self, name: str, common_name: str) -> SigningAuthority:
        """Our authority of that name, made if it is not there. One file holds it, so it is whole or absent."""
        path = self._settings.folder / f"{name}.pem"
        if not path.exists():
            with self._locked():
                if not path.exists():
                    digest = x509.DIGESTS[self._settings.digest]
                    new = x509.new_authority(common_name, self._context.now(), AUTHORITY_VALIDITY, digest)
                    write_atomically(path, new.pem + new.key_pem().reveal())
        pem = _read(path, name)
        return x509.load_authority(pem, Secret(pem), None, self._settings.digest, str(path))

    def _kept(self, path: Path, authority: SigningAuthority) -> Credential | None:
        """The certificate in the file, if it has long enough to live and our authority signed it."""
        try:
            pem = path.read_bytes()
        except FileNotFoundError:
            return None
        certificate = x509.load_certificate(pem, str(path))
        expires = certificate.not_valid_after_utc.timestamp()
        signed = x509.signed_by(certificate, authority)
        return Credential(Secret(pem), expires) if signed and expires - self._context.now() > RENEW_BEFORE else None

    def _renewed(self, path: Path, authority: SigningAuthority) -> Credential:
        pem, expires = x509.issue(authority, "controller", Purpose.CLIENT, self._context.now(), CLIENT_VALIDITY)
        write_atomically(path, pem.reveal())
        return Credential(pem, expires)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with locked(self._settings.folder / "lock"):
            yield


def _read(path: Path, option: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        remedy = "name a readable PEM file"
        raise InvalidInput((Problem(option, str(path), f"cannot be read: {error.strerror}", remedy),)) from error
