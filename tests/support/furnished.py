"""Certificate files for configurations that a real HAProxy shall take."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from support.certificates import Authority

from lbdrivers.drivers.amphora import Bundle, Facts, TlsPart
from lbdrivers_amphora.haproxy.translate_tls import certificate_lists


@functools.cache
def contents() -> dict[TlsPart, bytes]:
    """Something real for each use."""
    authority = Authority("authority")
    issued = authority.issue("www.example.com")
    return {
        TlsPart.CERTIFICATE: issued.together,
        TlsPart.AUTHORITIES: authority.pem,
        TlsPart.REVOCATIONS: authority.revoke(),
    }


def furnish(bundle: Bundle, facts: Facts) -> None:
    """Write every file of the bundle under the facts' folder of certificates."""
    folder = Path(facts.certificate_path, bundle.load_balancer.id)
    folder.mkdir(exist_ok=True)
    for (part, _), name in bundle.tls.names.items():
        secret = bundle.tls.contents.get(name)
        (folder / name).write_bytes(contents()[part] if secret is None else secret.reveal())
    for name, text in certificate_lists(bundle, facts).items():
        (folder / name).write_bytes(text)


@contextmanager
def furnished(bundle: Bundle, facts: Facts) -> Iterator[Facts]:
    """The facts of an appliance that has every file of the bundle, in a folder that goes away afterwards."""
    with tempfile.TemporaryDirectory(prefix="lbd-certs-") as path:
        made = replace(facts, certificate_path=path)
        furnish(bundle, made)
        yield made
