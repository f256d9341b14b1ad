"""The compute contract: machines that appliances run in.

Law: the name of a machine is its identity, chosen by the caller before anything exists, so that
after a crash at any point ``ensure`` finds what is there and goes on: no orphan, no double.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from lbdrivers.model.infra import Machine, MachineRequest


class Compute(Protocol):
    """Boots machines. Every verb is idempotent; errors are Temporary-, Permanent- or UnsupportedError."""

    contract: int

    def ensure(self, request: MachineRequest) -> Machine:
        """Make the machine be there and running, and give it; may return while it is BUILDING.

        A machine that exists under the name is returned as it is; one that exists but is dead is
        started again from ``request``. Secrets in ``request.files`` are needed only if it must be
        (re)built.
        """
        ...

    def find(self, name: str) -> Machine | None:
        """The machine as it is now, or None. A dead one is found with status STOPPED or ERROR."""
        ...

    def remove(self, name: str) -> None:
        """Remove the machine and all that it holds; absent is success. Its ports survive, unplugged."""
        ...

    def attach(self, name: str, port: str) -> None:
        """Plug the port of that name into the machine; plugged already is success."""
        ...

    def detach(self, name: str, port: str) -> None:
        """Unplug the port from the machine; not plugged, or no such machine, is success."""
        ...

    def known(self) -> frozenset[str]:
        """Names of every machine that this driver holds, dead ones too."""
        ...


@runtime_checkable
class Vantage(Protocol):
    """Optional, beside Compute: machines are reached, and reach us, from another network namespace than ours."""

    def vantage(self) -> str | None:
        """Path of that namespace; None while there is none, as there is no machine."""
        ...


@runtime_checkable
class RequestChecker(Protocol):
    """Optional, beside Compute: says what it cannot boot before anything is made for it."""

    def check_request(self, request: MachineRequest) -> None:
        """Refuse what ``ensure`` would refuse for good: a flavor, an image or a zone that is not there.

        Law: changes nothing; looks at neither the name nor the ports.
        :raises UnsupportedError: it names each field that cannot be.
        """
        ...
