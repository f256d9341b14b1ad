"""Orphans: machines and ports of our names that belong to no load balancer.

Law: pure. A name is ours by form when it is one that ``records`` makes of a UUID. That proves
nothing, as other controllers name alike; a record of the same id does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from lbdrivers.drivers.provider import Orphan

_ID = r"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"
_MACHINE = re.compile(f"amphora-{_ID}")
_AMPHORA_PORT = re.compile(rf"octavia-lb-(?:mgmt-{_ID}|vrrp-{_ID}|member-{_ID}-.+)")
_VIP_PORT = re.compile(f"octavia-lb-{_ID}")


@dataclass(frozen=True)
class Known:
    """What the records say.

    :param amphorae: ids of amphorae that there are, half-built and dying ones, too; ``balancers`` likewise.
    :param gone: id of an amphora or load balancer that was removed -> since when, in words.
    """

    amphorae: frozenset[str]
    balancers: frozenset[str]
    gone: Mapping[str, str]


def orphans(machines: Iterable[str], ports: Iterable[str], known: Known) -> tuple[Orphan, ...]:
    """Those among the names, by kind and name. Names must have been read before the records: a record is
    written before what it names is made, so whatever was seen has had its own by then."""
    found = [
        *_among("machine", machines, ((_MACHINE, known.amphorae),), known),
        *_among("port", ports, ((_AMPHORA_PORT, known.amphorae), (_VIP_PORT, known.balancers)), known),
    ]
    return tuple(sorted(found, key=lambda orphan: (orphan.kind, orphan.name)))


def _among(
    kind: str, names: Iterable[str], forms: Iterable[tuple[re.Pattern[str], frozenset[str]]], known: Known
) -> Iterator[Orphan]:
    for name in names:
        for form, owners in forms:
            owner = _owner(form, name)
            if owner is not None and owner not in owners:
                yield Orphan(kind, name, known.gone.get(owner, ""))


def left_by(amphora_id: str, found: Iterable[Orphan]) -> tuple[Orphan, ...]:
    """Those among the orphans that this amphora has left behind."""
    return tuple(one for one in found if amphora_id in (_owner(_MACHINE, one.name), _owner(_AMPHORA_PORT, one.name)))


def left_by_balancer(load_balancer_id: str, found: Iterable[Orphan]) -> tuple[Orphan, ...]:
    """Those among the orphans that this load balancer itself has left behind: its VIP's port."""
    return tuple(one for one in found if _owner(_VIP_PORT, one.name) == load_balancer_id)


def _owner(form: re.Pattern[str], name: str) -> str | None:
    """The id in a name of that form."""
    match = form.fullmatch(name)
    return None if match is None else next(group for group in match.groups() if group is not None)
