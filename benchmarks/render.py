"""From the tree to the text of haproxy.cfg, and from a change of it to runtime commands: milliseconds by size.

Each text is accepted by HAProxy.

With ``--peer`` the same load balancers are rendered by Octavia 19.0.0, installed from PyPI into an
environment of its own, in the same run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.peer import environment
from lbdrivers.drivers.amphora import Bundle, Facts, Peer, Role, Topology, Vip
from lbdrivers.model.changes import diff
from lbdrivers.model.resources import LoadBalancer
from lbdrivers_amphora.haproxy.excerpt import excerpt
from lbdrivers_amphora.haproxy.narrow import narrow
from lbdrivers_amphora.haproxy.parse import parse
from lbdrivers_amphora.haproxy.render import render
from lbdrivers_amphora.haproxy.transition import Runtime, Transition, transition
from lbdrivers_amphora.haproxy.translate import translate

#: case -> listeners, pools, members of each pool, and the budget in milliseconds.
CASES: dict[str, tuple[int, int, int, float | None]] = {
    "1x1x2": (1, 1, 2, None),
    "1x1x100": (1, 1, 100, None),
    "1x1x1000": (1, 1, 1000, 7.0),
    "10x10x100": (10, 10, 100, 10.0),
    "1x1x10000": (1, 1, 10000, None),
}
#: From two texts with ten thousand members, one of them changed, to runtime commands: milliseconds.
CHANGE_BUDGET = 1.0
FACTS = Facts("amphora", "1.0", "2.6.12", "2.2.7")
PEER_DRIVER = Path(__file__).parent / "peer" / "render.py"
PEER_REQUIREMENTS = ("octavia==19.0.0", "SQLAlchemy>=2.0,<2.1")


def identity(*parts: object) -> str:
    """A UUID out of names, the same in every run."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, ":".join(map(str, parts))))


def specification(case: str) -> dict[str, Any]:
    """The load balancer in the terms of the v2 API: the common input of both sides."""
    listeners, pools, members, _ = CASES[case]
    rich = listeners > 1
    return {
        "id": identity(case, "load balancer"),
        "project_id": identity("project"),
        "vip_address": "10.20.0.10",
        "vip_subnet_id": identity("subnet"),
        "pools": [_pool(case, number, members) for number in range(pools)],
        "listeners": [_listener(case, number, number % pools, rich) for number in range(listeners)],
    }


def _pool(case: str, number: int, members: int) -> dict[str, Any]:
    return {
        "id": identity(case, "pool", number),
        "protocol": "HTTP",
        "lb_algorithm": "ROUND_ROBIN",
        "session_persistence": {"type": "SOURCE_IP"} if number % 2 else None,
        "healthmonitor": {
            "id": identity(case, "monitor", number),
            "type": "HTTP",
            "delay": 5,
            "timeout": 4,
            "max_retries": 2,
            "max_retries_down": 3,
            "http_method": "GET",
            "url_path": "/healthz",
            "expected_codes": "200-204",
            "http_version": 1.1,
            "domain_name": "www.example.com",
        },
        "members": [
            {
                "id": identity(case, "member", number, place),
                "address": f"10.{30 + number}.{place // 250}.{place % 250 + 1}",
                "protocol_port": 8080,
                "weight": 1 + place % 10,
                "monitor_port": None if place % 10 else 8081,
            }
            for place in range(members)
        ],
    }


def _listener(case: str, number: int, pool: int, rich: bool) -> dict[str, Any]:
    policies: list[dict[str, Any]] = []
    if rich:
        rules: list[tuple[dict[str, Any], list[dict[str, Any]]]] = [
            (
                {"action": "REDIRECT_TO_POOL", "redirect_pool_id": identity(case, "pool", pool)},
                [
                    {"type": "PATH", "compare_type": "STARTS_WITH", "value": "/api/v1"},
                    {"type": "HOST_NAME", "compare_type": "EQUAL_TO", "value": "api.example.com"},
                ],
            ),
            (
                {"action": "REDIRECT_TO_URL", "redirect_url": "https://www.example.com/new", "redirect_http_code": 302},
                [
                    {"type": "HEADER", "compare_type": "REGEX", "key": "User-Agent", "value": "^curl/[0-9]+"},
                    {"type": "COOKIE", "compare_type": "CONTAINS", "key": "beta", "value": "yes", "invert": True},
                ],
            ),
            ({"action": "REJECT"}, [{"type": "FILE_TYPE", "compare_type": "EQUAL_TO", "value": "php"}]),
        ]
        for place, (policy, conditions) in enumerate(rules):
            name = (case, "policy", number, place)
            found = [{"id": identity(*name, index), **rule} for index, rule in enumerate(conditions)]
            policies.append({"id": identity(*name), "position": place + 1, "rules": found, **policy})
    return {
        "id": identity(case, "listener", number),
        "protocol": "HTTP",
        "protocol_port": 80 + number,
        "connection_limit": 50000,
        "default_pool_id": identity(case, "pool", pool),
        "insert_headers": {"X-Forwarded-For": "true", "X-Forwarded-Port": "true"},
        "l7policies": policies,
    }


def milliseconds(work: Callable[[], object], seconds: float = 2.0) -> float:
    """Median of one call, over at least five and at most so many as fit into the time."""
    work()
    durations: list[float] = []
    end = time.perf_counter() + seconds
    while len(durations) < 5 or (time.perf_counter() < end and len(durations) < 500):
        started = time.perf_counter()
        work()
        durations.append(time.perf_counter() - started)
    return statistics.median(durations) * 1000


def check(text: str) -> None:
    """:raises RuntimeError: when HAProxy refuses the text, with its words."""
    with tempfile.NamedTemporaryFile("w", suffix=".cfg") as file:
        file.write(text)
        file.flush()
        done = subprocess.run(["haproxy", "-c", "-f", file.name], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)


def _bundle(given: dict[str, Any]) -> Bundle:
    tree = LoadBalancer.model_validate(given)
    own = Peer(identity("amphora"), "10.20.0.20", Role.STANDALONE, 100)
    return Bundle(tree, own.amphora_id, Topology.SINGLE, (own,), (Vip("10.20.0.10", "10.20.0.0/24"),))


def ours(case: str) -> float:
    """Translate and render."""
    bundle = _bundle(specification(case))
    check(render(translate(bundle, FACTS)))
    return milliseconds(lambda: render(translate(bundle, FACTS)))


def one_member_changes(case: str = "1x1x10000") -> dict[str, float]:
    """The way of one member's new weight, part by part; only the last part is the same for any number of members."""
    before, after = specification(case), specification(case)
    middle = after["pools"][0]["members"][len(after["pools"][0]["members"]) // 2]
    middle["weight"] = 77
    old, new = _bundle(before), _bundle(after)
    texts = [render(translate(bundle, FACTS)).encode() for bundle in (old, new)]

    def verdict() -> None:
        part = excerpt(*texts)
        if part is None:
            raise RuntimeError("the whole text would have to be checked")
        check(part.decode())

    def commands() -> Transition:
        running, wanted = (parse(text.decode()) for text in narrow(*texts))
        return transition(running, wanted)

    found = commands()
    if not isinstance(found, Runtime) or len(found.commands) != 1:
        raise RuntimeError(f"one command is expected, not {found}")
    return {
        "controller: difference of the trees": milliseconds(lambda: diff(old.load_balancer, new.load_balancer)),
        "controller: text of haproxy.cfg": milliseconds(lambda: render(translate(new, FACTS))),
        "haproxy -c of the whole file, which is not needed": milliseconds(lambda: check(texts[1].decode())),
        "agent: haproxy -c of what differs": milliseconds(verdict),
        "agent: difference of the texts to runtime commands": milliseconds(commands),
    }


def peers(folder: Path) -> dict[str, float]:
    """The same by Octavia's own templater, in an environment in the folder."""
    python = environment.interpreter(folder, PEER_REQUIREMENTS)
    found: dict[str, float] = {}
    for case in CASES:
        result = environment.answer([python, str(PEER_DRIVER)], specification(case))
        check(result["text"])
        found[case] = result["milliseconds"]
    return found


def main() -> None:
    """Measure, draw, and with --json end with one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    environment.add_options(parser)
    arguments = parser.parse_args()
    found = {case: ours(case) for case in CASES}
    other = peers(arguments.peer_folder) if arguments.peer else {}
    rows = [
        {
            "case": case,
            "unit": "ms",
            "ours": value,
            "peer": other.get(case),
            "ratio": other[case] / value if case in other else None,
        }
        for case, value in found.items()
    ]
    table = Table(title="tree to haproxy.cfg, median")
    for column in ("listeners x pools x members", "ours", "budget", "Octavia 19.0.0", "ratio"):
        table.add_column(column, justify="right")
    for row in rows:
        case, budget = str(row["case"]), CASES[str(row["case"])][3]
        limit = "-" if budget is None else f"{budget:.0f} ms"
        peer = [f"{other[case]:.1f} ms", f"{other[case] / found[case]:.1f}x"] if case in other else ["-", "-"]
        table.add_row(case, f"{found[case]:.2f} ms", limit, *peer)
    console = Console(stderr=arguments.json)
    console.print(table)
    changes = one_member_changes()
    table = Table(title="one of 10,000 members gets another weight, median")
    for column in ("part", "ours", "budget"):
        table.add_column(column, justify="left" if column == "part" else "right")
    for part, value in changes.items():
        table.add_row(part, f"{value:.2f} ms", f"{CHANGE_BUDGET:.0f} ms" if "commands" in part else "-")
        rows.append(
            {"case": f"one of 10,000 members, {part}", "unit": "ms", "ours": value, "peer": None, "ratio": None}
        )
    console.print(table)
    if arguments.json:
        print(json.dumps({"rows": rows}))


if __name__ == "__main__":
    main()
