"""A secret store that has what a test puts into it."""

from __future__ import annotations

from lbdrivers.drivers.certificate import TlsContainer
from lbdrivers.errors import PermanentError
from lbdrivers.model.secret import Secret


class Stored:
    """Certificates and plain secrets by reference."""

    contract = 1

    def __init__(self, **stored: TlsContainer | bytes) -> None:
        self.stored = stored

    def tls_container(self, reference: str) -> TlsContainer:
        found = self.stored.get(reference)
        if not isinstance(found, TlsContainer):
            raise PermanentError(f"no certificate {reference}")
        return found

    def secret(self, reference: str) -> Secret:
        found = self.stored.get(reference)
        if not isinstance(found, bytes):
            raise PermanentError(f"no secret {reference}")
        return Secret(found)
