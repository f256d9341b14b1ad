"""Identities of resources that come without an id: the same document always gives the same ids.

Law: an id is a UUID of version 5 (RFC 9562) made from the parent's id and a natural key, so that
applying a file again is the same tree and an edited file changes what was edited and no more.
"""

from __future__ import annotations

import ipaddress
import uuid

#: Root of all derived ids; made once with uuid4.
NAMESPACE = uuid.UUID("a3f6f2c4-5a0e-4d0b-9a53-6c1f0a6f9a7e")


def load_balancer_id(project_id: str, name: str) -> str:
    """Two projects may use the same name."""
    return _derive(NAMESPACE, "loadbalancer", project_id, name)


def child_id(parent_id: str, kind: str, *key: str) -> str:
    """The id of a child of ``parent_id``; ``key`` tells it from its siblings of that kind.

    A parent whose given id is no UUID (which is refused elsewhere) counts like the root.
    """
    try:
        parent = uuid.UUID(parent_id)
    except ValueError:
        parent = NAMESPACE
    return _derive(parent, kind, *key)


def member_key(address: object, port: object) -> tuple[str, str]:
    """Address and port in one canonical spelling."""
    try:
        return str(ipaddress.ip_address(str(address))), str(port)
    except ValueError:
        return str(address), str(port)


def _derive(namespace: uuid.UUID, *parts: str) -> str:
    # NUL separates, as no valid text contains it; ascii() because a lone surrogate has no UTF-8.
    return str(uuid.uuid5(namespace, "\0".join(ascii(part)[1:-1] for part in parts)))
