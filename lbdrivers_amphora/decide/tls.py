"""References to secrets -> the certificate files of an appliance.

Law: pure. Every reference that is in effect is checked before anything is touched: a key belongs to its
certificate, a revocation list to its authority; all that is wrong is told at once. A file is named
``<sha1>.pem`` after its own content, so that a file never changes: what runs keeps what it refers to until
the change is made, and what is new has a new name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from lbdrivers.drivers.amphora import TlsFiles, TlsPart
from lbdrivers.drivers.certificate import TlsContainer
from lbdrivers.errors import InvalidInput, Problem
from lbdrivers.model.resources import Listener, LoadBalancer, Pool
from lbdrivers.model.secret import Secret
from lbdrivers_amphora.certificates import pem


@dataclass(frozen=True)
class Use:
    """One reference in the tree.

    :param path: where it stands, for people.
    :param authority: of a revocation list, the reference of the authority that must have signed it.
    """

    part: TlsPart
    reference: str
    path: str
    authority: str | None = None


@dataclass(frozen=True)
class Fetched:
    """What a secret store gave, by reference."""

    containers: Mapping[str, TlsContainer]
    secrets: Mapping[str, Secret]


def uses(tree: LoadBalancer) -> tuple[Use, ...]:
    """Every reference that is in effect. Those of a pool without TLS to its members are not."""
    found: list[Use] = []
    for listener in tree.listeners:
        found += _listener_uses(listener, f"listener {listener.name or listener.id}")
    for pool in tree.pools:
        if pool.tls_enabled:
            found += _pool_uses(pool, f"pool {pool.name or pool.id}")
    return tuple(found)


def _listener_uses(listener: Listener, owner: str) -> Iterator[Use]:
    if listener.default_tls_container_ref is not None:
        yield Use(TlsPart.CERTIFICATE, listener.default_tls_container_ref, f"{owner}, default_tls_container_ref")
    for number, reference in enumerate(listener.sni_container_refs):
        yield Use(TlsPart.CERTIFICATE, reference, f"{owner}, sni_container_refs[{number}]")
    authority = listener.client_ca_tls_container_ref
    if authority is not None:
        yield Use(TlsPart.AUTHORITIES, authority, f"{owner}, client_ca_tls_container_ref")
    if listener.client_crl_container_ref is not None:
        yield Use(
            TlsPart.REVOCATIONS, listener.client_crl_container_ref, f"{owner}, client_crl_container_ref", authority
        )


def _pool_uses(pool: Pool, owner: str) -> Iterator[Use]:
    if pool.tls_container_ref is not None:
        yield Use(TlsPart.CERTIFICATE, pool.tls_container_ref, f"{owner}, tls_container_ref")
    authority = pool.ca_tls_container_ref
    if authority is not None:
        yield Use(TlsPart.AUTHORITIES, authority, f"{owner}, ca_tls_container_ref")
    if pool.crl_container_ref is not None:
        yield Use(TlsPart.REVOCATIONS, pool.crl_container_ref, f"{owner}, crl_container_ref", authority)


def files(wanted: Iterable[Use], fetched: Fetched) -> TlsFiles:
    """The files, one for each content.

    :raises InvalidInput: names every reference whose content cannot be used, and the remedy.
    """
    contents: dict[str, Secret] = {}
    names: dict[tuple[TlsPart, str], str] = {}
    problems: list[Problem] = []
    for use in wanted:
        if use.authority is None and (use.part, use.reference) in names:
            continue
        try:
            content = _WRITERS[use.part](use, fetched)
        except pem.Unusable as error:
            problems.append(Problem(use.path, use.reference, str(error), error.remedy))
            continue
        name = _name(content)
        contents[name] = content
        names[use.part, use.reference] = name
    if problems:
        raise InvalidInput(tuple(problems))
    return TlsFiles(contents, names)


def unknown(wanted: Iterable[Use]) -> TlsFiles:
    """Names for references whose content does not matter, to compare configurations with."""
    return TlsFiles({}, {(use.part, use.reference): _name(Secret(use.reference.encode())) for use in wanted})


def merged(first: TlsFiles, second: TlsFiles) -> TlsFiles:
    """Both; the second one counts where they differ."""
    return TlsFiles({**first.contents, **second.contents}, {**first.names, **second.names})


def _name(content: Secret) -> str:
    return f"{hashlib.sha1(content.reveal(), usedforsecurity=False).hexdigest()}.pem"


def _certificate(use: Use, fetched: Fetched) -> Secret:
    container = fetched.containers[use.reference]
    chain = pem.read_certificates(container.certificate)
    for intermediate in container.intermediates:
        chain += pem.read_certificates(intermediate)
    return pem.credential(chain, pem.read_key(container.private_key, container.passphrase))


def _authorities(use: Use, fetched: Fetched) -> Secret:
    found = pem.read_certificates(fetched.secrets[use.reference].reveal())
    return Secret(b"".join(map(pem.write, found)))


def _revocations(use: Use, fetched: Fetched) -> Secret:
    found = pem.read_revocation_lists(fetched.secrets[use.reference].reveal())
    if use.authority is not None and use.authority in fetched.secrets:
        pem.check_signed(found, pem.read_certificates(fetched.secrets[use.authority].reveal()))
    return Secret(b"".join(map(pem.write, found)))


_WRITERS = {
    TlsPart.CERTIFICATE: _certificate,
    TlsPart.AUTHORITIES: _authorities,
    TlsPart.REVOCATIONS: _revocations,
}
