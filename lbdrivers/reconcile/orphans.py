"""Orphans: what a backend holds and nobody wants.

Law: changes nothing. Whole load balancers are found for every provider, by its ``known`` and the store; what else
there is, the provider finds itself, where it can (``Inspector``).
"""

from __future__ import annotations

from collections.abc import Callable

from lbdrivers.drivers.provider import Inspector, Orphan, Provider


def orphaned(provider: Provider, wanted: Callable[[], frozenset[str]]) -> tuple[Orphan, ...]:
    """Everything of the provider's that belongs to nothing, by kind and name.

    A load balancer is never proved to be ours: where the store knows nothing of it, another controller may.

    :param wanted: ids of all load balancers that the store has, at the moment of the call.
    """
    # An entry is written before anything is made and goes after everything is removed. So one that was known before
    # the store was read, and is known afterwards, is in between neither being made nor being removed by us.
    strangers = provider.known() - wanted()
    if strangers:
        strangers &= provider.known()
    found = [Orphan("load balancer", one) for one in strangers]
    if isinstance(provider, Inspector):
        found += provider.orphans()
    return tuple(sorted(found, key=lambda one: (one.kind, one.name)))
