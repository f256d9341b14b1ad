"""Documents: the body of the v2 API's single-call create, as YAML or JSON, to the tree and back.

Law: the edge is where text becomes a value that exists only if it is valid. Everything that is
wrong with a document is told at once, each with its path, line, value and remedy. ``parse(dump(t))``
is ``t`` for every tree that ``parse`` gave.
"""

from __future__ import annotations

from lbdrivers.document.check import build
from lbdrivers.document.draft import Problems, draft, shorten
from lbdrivers.document.normalise import normalise
from lbdrivers.document.source import Path, read
from lbdrivers.document.write import dump, dump_json
from lbdrivers.errors import InvalidInput
from lbdrivers.model.resources import LoadBalancer

__all__ = ["dump", "dump_json", "parse"]

_ROOT = "loadbalancer"


def parse(text: str, source: str) -> LoadBalancer:
    """The tree that a document describes.

    :param text: YAML or JSON: an object under the key ``loadbalancer``, or that object itself.
    :param source: what to call the document in errors, such as the file's name.
    :raises InvalidInput: with every problem of the document.
    """
    document = read(text, source)
    problems = Problems(document)
    root: object = document.root
    path: Path = ()
    if isinstance(root, dict) and _ROOT in root:
        for key in root:
            if key != _ROOT:
                problems.add((key,), "stands beside loadbalancer", "move it into loadbalancer, or remove it")
        root, path = root[_ROOT], (_ROOT,)
    tree = _build(root, path, problems)
    if tree is None:
        raise InvalidInput(problems.found)
    return tree


def _build(root: object, path: Path, problems: Problems) -> LoadBalancer | None:
    if root is None or root == {}:
        problems.add(path, "is empty", "describe a load balancer: name, vip_subnet_id, listeners, pools")
        return None
    if not isinstance(root, dict):
        problems.add(path, "is not a load balancer", "start with the key loadbalancer: and its fields", shorten(root))
        return None
    made = draft(LoadBalancer, root, path, problems)
    if made is None:
        return None
    normalise(made, problems)
    return build(made, problems)
