"""Shares of a ring: which numbers, from 0 up, belong to whom.

Law: pure and deterministic, so that both amphorae of a pair agree; every number belongs to exactly one.
``by_weight`` is exact. ``by_hash`` is exact to one slot, and when somebody comes or goes, most slots
stay with whom they had (the lookup table of Maglev, NSDI 2016, section 3.4, with quotas).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping

#: Slots of a ring for hashes: a prime, so that every step visits all of them.
SLOTS = 4093

Shares = tuple[tuple[int, int, str], ...]
"""(first, last, owner), ascending and without gaps."""


def by_weight(weights: Mapping[str, int]) -> tuple[int, Shares]:
    """The size of the smallest ring in which each owner has its exact share, and the shares.

    :param weights: by owner, all above zero.
    """
    divisor = math.gcd(*weights.values())
    shares: list[tuple[int, int, str]] = []
    total = 0
    for owner, weight in weights.items():
        shares.append((total, total + weight // divisor - 1, owner))
        total += weight // divisor
    return total, tuple(shares)


def by_hash(weights: Mapping[str, int]) -> tuple[int, Shares]:
    """A ring of ``SLOTS`` and who owns what.

    :param weights: by owner (an id), all above zero, ``SLOTS`` owners at most.
    """
    quotas = _quotas(weights)
    paths = {owner: _path(owner) for owner in sorted(quotas)}
    slots: list[str | None] = [None] * SLOTS
    waiting = dict(quotas)
    while waiting:
        for owner in tuple(waiting):
            slots[next(slot for slot in paths[owner] if slots[slot] is None)] = owner
            waiting[owner] -= 1
            if waiting[owner] == 0:
                del waiting[owner]
    return SLOTS, _runs([owner for owner in slots if owner is not None])


def _quotas(weights: Mapping[str, int]) -> dict[str, int]:
    """How many slots each gets: one at least, the rest in proportion, largest remainders first."""
    if len(weights) > SLOTS:
        raise ValueError(f"{len(weights)} members are more than a ring has slots ({SLOTS})")
    total, free = sum(weights.values()), SLOTS - len(weights)
    quotas = {owner: 1 + free * weights[owner] // total for owner in sorted(weights)}
    left = SLOTS - sum(quotas.values())
    for owner in sorted(quotas, key=lambda one: (-(free * weights[one] % total), one))[:left]:
        quotas[owner] += 1
    return quotas


def _path(owner: str) -> Iterator[int]:
    """All slots in the order in which the owner wants them."""
    digest = hashlib.sha256(owner.encode()).digest()
    start = int.from_bytes(digest[:8], "big") % SLOTS
    step = int.from_bytes(digest[8:16], "big") % (SLOTS - 1) + 1
    for turn in range(SLOTS):
        yield (start + turn * step) % SLOTS


def _runs(slots: list[str]) -> Shares:
    runs: list[tuple[int, int, str]] = []
    for slot, owner in enumerate(slots):
        if runs and runs[-1][2] == owner:
            runs[-1] = (runs[-1][0], slot, owner)
        else:
            runs.append((slot, slot, owner))
    return tuple(runs)
