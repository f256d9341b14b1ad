"""The tree to a document: what ``parse`` reads back as the same tree.

Law: ids stand in the text, defaults do not; pools stand once, in the load balancer.
"""

from __future__ import annotations

import json
from typing import Any

import yaml

from lbdrivers.document.source import scalar
from lbdrivers.model.resources import LoadBalancer


def dump(tree: LoadBalancer) -> str:
    """The tree as YAML, in the form of the v2 API's single-call create."""
    return yaml.dump(
        _body(tree), Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=120
    )


def dump_json(tree: LoadBalancer) -> str:
    """The same as JSON."""
    return json.dumps(_body(tree), indent=2, ensure_ascii=False) + "\n"


def _body(tree: LoadBalancer) -> dict[str, Any]:
    body = tree.model_dump(mode="json", exclude_defaults=True)
    for listener in body.get("listeners", ()):
        if "insert_headers" in listener:
            listener["insert_headers"] = dict(listener["insert_headers"])
    return {"loadbalancer": body}


class _Dumper(yaml.SafeDumper):
    """Quotes text that our reader would take for something else, and writes no aliases."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 PyYAML's hook has this signature
        """Values that happen to be the same object are written out each time."""
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = None if isinstance(scalar(value), str) else "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)
