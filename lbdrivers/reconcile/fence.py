"""The fence of one run: a worker that stalled past its lease does nothing more when it goes on.

Law: nobody takes a lease before it has expired, so a run that renewed it less than half its time ago holds
it for certain, and need not ask. Any other asks the store, and ends when the lease is another's or the store
does not answer. Records are written in one transaction with the proof. What is outside (a machine, an agent)
knows nothing of leases: a step during which a run stalls may come late. Therefore whoever finds that it has
lost its lease asks for the load balancer to be looked at once more, see ``Engine``.
"""

from __future__ import annotations

from collections.abc import Callable

from lbdrivers.drivers.context import Records
from lbdrivers.errors import LeaseLostError


class LeaseFence:
    """Implements ``drivers.context.Fence`` for the run that has just taken the lease.

    :param records: those of the lease's holder.
    :param renew: prolongs the lease; False when it is another's.
    :param seconds: for which the lease was taken, and is prolonged.
    :param now: seconds since the epoch, as leases are measured.
    """

    def __init__(
        self,
        load_balancer_id: str,
        records: Records,
        renew: Callable[[], bool],
        seconds: float,
        now: Callable[[], float],
    ) -> None:
        self._load_balancer_id, self._seconds, self._now = load_balancer_id, seconds, now
        self._prolong = renew
        self.records = records
        self._sure_until = now() + seconds / 2

    def renew(self) -> bool:
        """Prolong the lease; False, now and ever after, when it is another's."""
        asked = self._now()
        if not self._prolong():
            self._sure_until = float("-inf")
            return False
        self._sure_until = asked + self._seconds / 2
        return True

    def check(self) -> None:
        """See ``Fence.check``. :raises TemporaryError: when the store does not answer, and nobody knows."""
        if self._now() >= self._sure_until and not self.renew():
            raise LeaseLostError(self._load_balancer_id)
