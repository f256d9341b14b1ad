"""The edge with 10,000 members: from text to the tree, and the difference of two trees."""

from __future__ import annotations

import argparse
import json
import statistics
import time
import uuid
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table

from lbdrivers.document import dump, dump_json, parse
from lbdrivers.model.changes import diff
from lbdrivers.model.resources import LoadBalancer

#: case -> budget in milliseconds.
BUDGETS: dict[str, float | None] = {
    "load YAML": 1000,
    "load JSON": 1000,
    "diff, one member added": 50,
    "diff, every weight changed": None,
    "diff, nothing changed": 50,
    "tree to JSON": None,
    "JSON to tree, as in the store": None,
}
MEMBERS = 10_000


def body(weight: int = 1, more: int = 0) -> dict[str, Any]:
    """A load balancer with its members in two pools."""

    def identity(*parts: object) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_DNS, ":".join(map(str, parts))))

    pools = [
        {
            "id": identity("pool", number),
            "protocol": "HTTP",
            "lb_algorithm": "ROUND_ROBIN",
            "members": [
                {
                    "id": identity("member", number, place),
                    "address": f"10.{number}.{place // 250}.{place % 250 + 1}",
                    "protocol_port": 8080,
                    "weight": weight,
                }
                for place in range(MEMBERS // 2 + more * number)
            ],
        }
        for number in range(2)
    ]
    return {"id": identity("tree"), "name": "large", "vip_subnet_id": identity("subnet"), "pools": pools}


def measure() -> dict[str, float]:
    """Medians in milliseconds."""
    tree = LoadBalancer.model_validate(body())
    grown = LoadBalancer.model_validate(body(more=1))
    heavier = LoadBalancer.model_validate(body(weight=2))
    same = LoadBalancer.model_validate(body())
    as_yaml, as_json, stored = dump(tree), dump_json(tree), tree.model_dump_json()
    if parse(as_yaml, "yaml") != tree or parse(as_json, "json") != tree:
        raise RuntimeError("what was written is not what is read")
    if len(diff(tree, grown)) != 1 or len(diff(tree, heavier)) != MEMBERS or len(diff(tree, same)) != 0:
        raise RuntimeError("the differences are not those that were made")
    return {
        "load YAML": milliseconds(lambda: parse(as_yaml, "large.yaml")),
        "load JSON": milliseconds(lambda: parse(as_json, "large.json")),
        "diff, one member added": milliseconds(lambda: diff(tree, grown)),
        "diff, every weight changed": milliseconds(lambda: diff(tree, heavier)),
        "diff, nothing changed": milliseconds(lambda: diff(tree, same)),
        "tree to JSON": milliseconds(tree.model_dump_json),
        "JSON to tree, as in the store": milliseconds(lambda: LoadBalancer.model_validate_json(stored)),
    }


def milliseconds(work: Callable[[], object]) -> float:
    """Median of at least five calls, within three seconds or so."""
    durations: list[float] = []
    end = time.perf_counter() + 3.0
    while len(durations) < 5 or (time.perf_counter() < end and len(durations) < 50):
        started = time.perf_counter()
        work()
        durations.append(time.perf_counter() - started)
    return statistics.median(durations) * 1000


def main() -> None:
    """Measure, draw, and with --json end with one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    arguments = parser.parse_args()
    found = measure()
    table = Table(title=f"{MEMBERS} members, medians")
    for column in ("work", "ours", "budget"):
        table.add_column(column, justify="left" if column == "work" else "right")
    for case, budget in BUDGETS.items():
        table.add_row(case, f"{found[case]:.1f} ms", "-" if budget is None else f"{budget:.0f} ms")
    Console(stderr=arguments.json).print(table)
    if arguments.json:
        rows = [{"case": case, "unit": "ms", "ours": found[case], "peer": None, "ratio": None} for case in BUDGETS]
        print(json.dumps({"rows": rows}))


if __name__ == "__main__":
    main()
