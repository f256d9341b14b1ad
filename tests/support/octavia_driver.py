"""A session for the outward driver on a store of its own, with the memory provider; and octavia-lib calls."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lbdrivers import settings
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.octavia import positions
from lbdrivers.octavia.session import Session


@contextmanager
def session(folder: Path) -> Iterator[Session]:
    """A session whose state and sockets are in the folder."""
    configuration = settings.load((), folder)
    opened = Session(configuration)
    try:
        yield opened
    finally:
        opened.close()


def spoken(tree: LoadBalancer) -> LoadBalancer:
    """What of a tree octavia-lib's interface can say: no tags, no provider, and no order of siblings
    but that of members and of policies, which are numbered from 1."""
    tree = positions.canonical(tree)
    listeners = [
        one.model_copy(
            update={
                "tags": (),
                "l7policies": tuple(
                    policy.model_copy(
                        update={
                            "tags": (),
                            "rules": tuple(
                                rule.model_copy(update={"tags": ()})
                                for rule in sorted(policy.rules, key=lambda rule: rule.id)
                            ),
                        }
                    )
                    for policy in one.l7policies
                ),
            }
        )
        for one in tree.listeners
    ]
    pools = [
        one.model_copy(
            update={
                "tags": (),
                "members": tuple(member.model_copy(update={"tags": ()}) for member in one.members),
                "healthmonitor": one.healthmonitor and one.healthmonitor.model_copy(update={"tags": ()}),
            }
        )
        for one in tree.pools
    ]
    return tree.model_copy(
        update={
            "tags": (),
            "provider": None,
            "listeners": tuple(sorted(listeners, key=lambda one: one.id)),
            "pools": tuple(sorted(pools, key=lambda one: one.id)),
        }
    )
