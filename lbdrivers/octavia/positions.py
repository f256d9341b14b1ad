"""Positions of L7 policies, as the v2 API keeps them: 1, 2, 3 ... in each listener.

Law: pure. The API moves policies apart and together itself and tells a driver of the policy alone that
was created, moved or deleted; so both ends of the interface number them anew after each change.
"""

from __future__ import annotations

from collections.abc import Iterable

from lbdrivers.model.resources import L7Policy, Listener, LoadBalancer


def in_order(policies: Iterable[L7Policy]) -> tuple[L7Policy, ...]:
    """The policies as they are looked at: by position, then as they stand."""
    return tuple(sorted(policies, key=lambda policy: policy.position))


def renumbered(policies: Iterable[L7Policy]) -> tuple[L7Policy, ...]:
    """The policies as they stand, with the positions 1, 2, 3 ..."""
    return tuple(
        policy if policy.position == place else policy.model_copy(update={"position": place})
        for place, policy in enumerate(policies, start=1)
    )


def placed(policies: Iterable[L7Policy], policy: L7Policy) -> tuple[L7Policy, ...]:
    """The policies with this one in its position, instead of the one of its id; beyond the end is the end."""
    others = [one for one in in_order(policies) if one.id != policy.id]
    others.insert(policy.position - 1, policy)
    return renumbered(others)


def canonical(tree: LoadBalancer) -> LoadBalancer:
    """The same load balancer with policies in order and numbered from 1."""
    listeners = tuple(_canonical(listener) for listener in tree.listeners)
    return tree if listeners == tree.listeners else tree.model_copy(update={"listeners": listeners})


def _canonical(listener: Listener) -> Listener:
    policies = renumbered(in_order(listener.l7policies))
    return listener if policies == listener.l7policies else listener.model_copy(update={"l7policies": policies})
