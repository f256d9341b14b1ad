"""What heartbeats say of one load balancer, for whoever wants to see it.

Law: pure. Nobody is asked: statuses and statistics are those that the health manager has written down, and
where it has nothing to say, that is said, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from lbdrivers.drivers.provider import Appliance, Observation, Statistics
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.model.status import OperatingStatus
from lbdrivers_amphora.decide.counting import latest
from lbdrivers_amphora.decide.health import total_statistics
from lbdrivers_amphora.health.findings import Heard, Listening, Operating
from lbdrivers_amphora.records import Amphora, AmphoraStatus, Balancer

#: Seconds after which a health manager that has written nothing counts as gone; it writes every second.
GONE = 15.0
_UNFINISHED = {AmphoraStatus.PENDING_CREATE: "is being built", AmphoraStatus.PENDING_DELETE: "is being removed"}


def observation(
    balancer: Balancer,
    amphorae: Iterable[Amphora],
    heard: Mapping[str, Heard],
    operating: Operating | None,
    listening: Iterable[Listening],
    now: float,
) -> Observation:
    """The load balancer as it was last heard. :param heard: by amphora id."""
    known = tuple(amphorae)
    managers = [one for one in listening if now - one.at < GONE]
    trouble = "" if managers else "no health manager is listening; run: lbdrivers health-manager"
    counted = {}
    for amphora in known:
        told = heard.get(amphora.id)
        counted[amphora.id] = latest(([] if told is None else [told.statistics]) + [amphora.statistics])
    totals = [*balancer.retired.values(), *counted.values()]
    return Observation(
        exists=True,
        vip_addresses=balancer.vip_addresses,
        operating=_operating(balancer, operating),
        statistics=total_statistics(totals),
        appliances=tuple(
            replace(
                _appliance(amphora, heard.get(amphora.id), trouble, now),
                statistics=sum(counted[amphora.id].values(), Statistics()),
            )
            for amphora in known
        ),
    )


def _operating(balancer: Balancer, found: Operating | None) -> dict[str, OperatingStatus]:
    """What nobody was heard of is OFFLINE."""
    if balancer.tree is None:
        return {}
    statuses = {} if found is None else found.statuses
    tree = LoadBalancer.model_validate_json(balancer.tree)
    return {one.id: statuses.get(one.id, OperatingStatus.OFFLINE) for _, one in tree.walk()}


def _appliance(amphora: Amphora, heard: Heard | None, trouble: str, now: float) -> Appliance:
    status, holds_vip = amphora.status.value, None if heard is None else heard.holds_vip
    if amphora.status is not AmphoraStatus.ALLOCATED:
        remark = _UNFINISHED[amphora.status]
    elif trouble:
        remark = trouble
    elif heard is None or heard.at <= 0:
        remark = "no heartbeat yet"
    elif heard.silent:
        status, holds_vip, remark = "ERROR", None, f"silent for {now - heard.at:.0f} s"
    else:
        remark = ""
    at = None if heard is None or heard.at <= 0 else heard.at
    return Appliance(amphora.id, amphora.role, status, amphora.management_address, holds_vip, remark, heard_at=at)
