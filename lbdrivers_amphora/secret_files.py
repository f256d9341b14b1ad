"""Fetches what a tree's references point to, and makes files of it (``decide.tls``).

Law: all of it or nothing; what cannot be read is told reference by reference, at once. The store is asked
only when there is a reference, once for each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from lbdrivers.drivers.amphora import TlsFiles, TlsPart
from lbdrivers.drivers.certificate import SecretStore
from lbdrivers.errors import InvalidInput, PermanentError, Problem
from lbdrivers.model.resources import LoadBalancer
from lbdrivers_amphora.decide import tls

T = TypeVar("T")


def secret_files(tree: LoadBalancer, store: Callable[[], SecretStore]) -> TlsFiles:
    """The certificate files that the tree needs.

    :param store: gives the store; not called for a tree without references.
    :raises InvalidInput: names each reference that is unreadable or unusable, and the remedy.
    :raises TemporaryError: when the store does not answer.
    """
    wanted = tls.uses(tree)
    if not wanted:
        return TlsFiles()
    opened = store()
    problems: list[Problem] = []
    certificates = [use for use in wanted if use.part is TlsPart.CERTIFICATE]
    others = [use for use in wanted if use.part is not TlsPart.CERTIFICATE]
    fetched = tls.Fetched(_each(certificates, opened.tls_container, problems), _each(others, opened.secret, problems))
    if problems:
        raise InvalidInput(tuple(problems))
    return tls.files(wanted, fetched)


def _each(wanted: list[tls.Use], fetch: Callable[[str], T], problems: list[Problem]) -> dict[str, T]:
    found: dict[str, T] = {}
    refused: set[str] = set()
    for use in wanted:
        if use.reference in found or use.reference in refused:
            continue
        try:
            found[use.reference] = fetch(use.reference)
        except PermanentError as error:
            refused.add(use.reference)
            problems.append(Problem(use.path, use.reference, error.user))
    return found
