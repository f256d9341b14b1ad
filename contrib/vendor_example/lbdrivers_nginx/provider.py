"""The provider: one nginx process a load balancer. What it can and cannot do stands in README.md."""

from __future__ import annotations

from lbdrivers.drivers.context import Conflict, DriverContext, Record
from lbdrivers.drivers.provider import Observation
from lbdrivers.errors import PermanentError, TemporaryError, UnsupportedError
from lbdrivers.features import Feature, check
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.model.status import OperatingStatus
from lbdrivers_nginx import settings
from lbdrivers_nginx.process import Nginx
from lbdrivers_nginx.render import configuration, parsed, serving

FEATURES = frozenset(
    {
        Feature.LISTENER_HTTP,
        Feature.LISTENER_TCP,
        Feature.LISTENER_HTTPS,
        Feature.ALGORITHM_ROUND_ROBIN,
        Feature.ALGORITHM_LEAST_CONNECTIONS,
        Feature.ALGORITHM_SOURCE_IP,
        Feature.ALGORITHM_SOURCE_IP_PORT,
        Feature.MEMBER_WEIGHT,
        Feature.MEMBER_BACKUP,
    }
)
_VIP = "nginx-vip"  # kind of the records: one an address, owned by its load balancer


class NginxProvider:
    """Implements ``Provider``."""

    contract = 1
    name = "nginx"

    def __init__(self, context: DriverContext) -> None:
        self._settings = settings.read(context.configuration)
        self._records = context.records
        self._sleep = context.sleep

    def features(self) -> frozenset[Feature]:
        """See ``Provider.features``."""
        return FEATURES

    def apply(self, desired: LoadBalancer, applied: LoadBalancer | None) -> None:  # noqa: ARG002 the contract's signature
        """See ``Provider.apply``. What runs says what it is, so the hint is not needed."""
        check(self.name, FEATURES, desired)
        nginx = self._nginx(desired.id)
        address = self._reserve(desired)
        text = configuration(desired, address, str(nginx.folder), self._settings.stream_module)
        if nginx.text() != text or not nginx.runs(parsed(text)[1]):
            nginx.configure(text, parsed(text)[1])

    def remove(self, load_balancer_id: str) -> None:
        """See ``Provider.remove``."""
        self._nginx(load_balancer_id).remove()
        for record in self._records.list(_VIP, load_balancer_id):
            self._records.remove(_VIP, record.id)

    def observe(self, load_balancer_id: str) -> Observation:
        """See ``Provider.observe``. nginx does not tell what it thinks of a member: NO_MONITOR."""
        nginx = self._nginx(load_balancer_id)
        text = nginx.text()
        if text is None:
            return Observation(exists=False)
        tree, revision = parsed(text)
        addresses = tuple(record.id for record in self._records.list(_VIP, load_balancer_id))
        return Observation(True, addresses, _statuses(tree, works=nginx.runs(revision)))

    def known(self) -> frozenset[str]:
        """See ``Provider.known``: folders, and addresses of what was begun and has no folder yet."""
        folders = self._settings.path.iterdir() if self._settings.path.exists() else ()
        return frozenset({one.name for one in folders} | {one.owner for one in self._records.list(_VIP)})

    def failover(self, load_balancer_id: str) -> None:  # noqa: ARG002 the contract's signature
        """See ``Provider.failover``: one process has no second to change to."""
        raise UnsupportedError(f"{self.name} has no failover; apply starts a process that has died")

    def _nginx(self, load_balancer_id: str) -> Nginx:
        return Nginx(self._settings.path / load_balancer_id, self._settings.namespace, self._sleep)

    def _reserve(self, tree: LoadBalancer) -> str:
        """The VIP: its own since before, the wanted one, or a free one; recorded before it is used."""
        for record in self._records.list(_VIP, tree.id):
            if tree.vip_address in (None, record.id):
                return record.id
            raise PermanentError(f"the VIP is {record.id} for life; {tree.vip_address} needs a new load balancer")
        hosts = map(str, self._settings.vips.hosts())
        taken = {record.id for record in self._records.list(_VIP)}
        address = tree.vip_address or next((one for one in hosts if one not in taken), None)
        if address is None:
            raise PermanentError(f"no address is left in {self._settings.vips}")
        if address in taken:
            raise PermanentError(f"the address {address} is taken")
        try:
            self._records.put(Record(_VIP, address, {}, owner=tree.id))
        except Conflict as error:
            raise TemporaryError(f"another load balancer took {address} at this moment") from error
        return address


def _statuses(tree: LoadBalancer, *, works: bool) -> dict[str, OperatingStatus]:
    up = OperatingStatus.ONLINE if works else OperatingStatus.ERROR
    listeners = serving(tree)
    used = {one.default_pool_id for one in listeners}
    statuses = {one.id: up if one in listeners else OperatingStatus.OFFLINE for one in tree.listeners}
    for pool in tree.pools:
        on = pool.admin_state_up and pool.id in used
        statuses[pool.id] = up if on else OperatingStatus.OFFLINE
        for member in pool.members:
            idle = OperatingStatus.NO_MONITOR if member.weight else OperatingStatus.DRAINING
            statuses[member.id] = idle if on and member.admin_state_up else OperatingStatus.OFFLINE
    return statuses | {tree.id: up if tree.admin_state_up else OperatingStatus.OFFLINE}
