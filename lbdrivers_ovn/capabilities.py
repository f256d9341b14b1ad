"""What OVN can do for a load balancer; what it cannot is refused before anything is touched.

Law: pure. ``FEATURES`` says it to everybody; ``refuse`` knows the limits that no feature has a name for.
"""

from __future__ import annotations

from collections.abc import Iterator

from lbdrivers.errors import UnsupportedError
from lbdrivers.features import Feature, check
from lbdrivers.model.resources import LoadBalancer, Pool
from lbdrivers.model.values import family
from lbdrivers_ovn.translate import Place

FEATURES = frozenset(
    {
        Feature.LISTENER_TCP,
        Feature.LISTENER_UDP,
        Feature.LISTENER_SCTP,
        Feature.ALGORITHM_SOURCE_IP,
        Feature.ALGORITHM_SOURCE_IP_PORT,
        Feature.DATAGRAM_SOURCE_IP,
        Feature.DATAGRAM_SOURCE_IP_PORT,
        Feature.PERSISTENCE_SOURCE_IP,
        Feature.MONITOR_TCP,
        Feature.MONITOR_UDP_CONNECT,
        Feature.VIP_ADDITIONAL,
    }
)
#: Seconds; OVN keeps clients by learned flows, whose idle timeout has 16 bits (ovn-nb(5), affinity_timeout).
LONGEST_AFFINITY = 65535


def refuse(name: str, tree: LoadBalancer) -> None:
    """Refuse what OVN cannot do.

    :raises UnsupportedError: names what, and which part of the tree needs it.
    """
    check(name, FEATURES, tree)
    for pool in tree.pools:
        for reason in _limits(pool):
            raise UnsupportedError(f"the provider {name} {reason}", object_id=pool.id)


def _limits(pool: Pool) -> Iterator[str]:
    told = f"pool {pool.name or pool.id}"
    persistence = pool.session_persistence
    if persistence is not None and (persistence.persistence_timeout or 0) > LONGEST_AFFINITY:
        yield f"keeps a client for {LONGEST_AFFINITY} seconds at most; lower persistence_timeout of the {told}"


def refuse_families(name: str, tree: LoadBalancer, place: Place) -> None:
    """Refuse members that no VIP can reach: OVN translates no family into the other.

    :raises UnsupportedError: names the first one.
    """
    families = {family(vip.address) for vip in place.vips}
    for pool in tree.pools:
        for member in pool.members:
            if family(member.address) not in families:
                raise UnsupportedError(
                    f"the provider {name} reaches no {family(member.address)} member from an "
                    f"{' and '.join(sorted(families))} VIP (member {member.name or member.address}); "
                    f"add a VIP of its family",
                    object_id=member.id,
                )
