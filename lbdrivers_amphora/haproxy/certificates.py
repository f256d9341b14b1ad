"""Certificate files that a configuration of HAProxy refers to.

Law: pure. Files of a load balancer are in one folder; a list of certificates (crt-list) names others in it.
"""

from __future__ import annotations

from collections.abc import Iterator

from lbdrivers_amphora.haproxy.ir import Configuration
from lbdrivers_amphora.haproxy.word import Line


def references(configuration: Configuration, folder: str) -> frozenset[str]:
    """Names of the files in the folder that the configuration itself names."""
    lines = set(_lines(configuration))
    return frozenset(
        word.removeprefix(f"{folder}/") for line in lines for word in line if word.startswith(f"{folder}/")
    )


def _lines(configuration: Configuration) -> Iterator[Line]:
    """What can name certificates: a server's words are the same for all of a pool."""
    for frontend in configuration.frontends:
        yield from (line for line in frontend.lines if line[0] == "bind")
    for backend in configuration.backends:
        yield from (server.tls for server in backend.servers)


def listed(text: str) -> tuple[str, ...]:
    """Paths in a list of certificates, the default one first: one a line, what follows are its own options."""
    return tuple(line.split()[0] for line in text.splitlines() if line.strip() and not line.startswith("#"))
