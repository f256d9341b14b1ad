"""Whatever tree the model accepts: its text reads back as what was meant, and the real HAProxy accepts it.

A process of HAProxy checks many trees at once, each in sections of its own; when it refuses them, they are
tried one by one, so that the failure shows the tree.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from support import haproxy
from support.bundles import RENDERED, bundle, facts
from support.furnished import furnish
from support.merged import merged

from lbdrivers.model.resources import LoadBalancer
from lbdrivers.testing.strategies import trees
from lbdrivers_amphora.haproxy.ir import Configuration
from lbdrivers_amphora.haproxy.parse import parse
from lbdrivers_amphora.haproxy.render import render
from lbdrivers_amphora.haproxy.tokenizer import tokenize
from lbdrivers_amphora.haproxy.translate import translate

#: Trees that one process of HAProxy checks, and that one task draws.
_AT_ONCE, _PER_TASK = 100, 1000
#: All of them, and those of one part, so that it is seen soon when something is wrong.
_MANY, _PER_PART = 100_000, 10_000


def _drawn(number: int, count: int, certificates: str) -> Iterator[Configuration]:
    """Configurations of so many drawn trees, each read back from its text; ``number`` decides which.

    :param certificates: folder in which the files that they refer to are put.
    """
    appliance = facts(log_socket="/run/log", certificate_path=certificates)
    found: list[Configuration] = []

    @seed(number)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(trees(RENDERED))
    def draw(tree: LoadBalancer) -> None:
        made = bundle(tree)
        furnish(made, appliance)
        configuration = translate(made, appliance)
        text = render(configuration)
        assert parse(text) == configuration
        written = [tokenize(line)[0] for line in text.splitlines() if line and not line.startswith("#")]
        assert written == list(_keywords(configuration))
        found.append(configuration)

    draw()
    yield from found


def _keywords(configuration: Configuration) -> Iterator[str]:
    """The first word of every line that has to be there, and of no other."""
    yield from ("global", *(line[0] for line in configuration.process))
    yield from ("defaults", *(line[0] for line in configuration.defaults))
    for frontend in configuration.frontends:
        yield "frontend"
        yield from () if frontend.connection_limit is None else ("maxconn",)
        yield from (line[0] for line in frontend.lines)
    for backend in configuration.backends:
        yield from ("backend", *(line[0] for line in backend.lines), *("server" for _ in backend.servers))


def _refused(configurations: list[Configuration], version: str | None = None) -> str:
    """HAProxy's words, with the text, about the first one that it refuses; empty when it takes them all.

    :param version: of HAProxy; None: the one under test.
    """
    for start in range(0, len(configurations), _AT_ONCE):
        batch = configurations[start : start + _AT_ONCE]
        status, output = haproxy.check(render(merged(batch)), version=version)
        if status:
            alone = ((haproxy.check(text, version=version), text) for text in map(render, batch))
            return next((f"{said}\n{text}" for (bad, said), text in alone if bad), f"together only: {output}")
    return ""


def _speaks_tls(configuration: Configuration) -> bool:
    binds = (line for frontend in configuration.frontends for line in frontend.lines if line[0] == "bind")
    servers = (server for backend in configuration.backends for server in backend.servers)
    return any("ssl" in line for line in binds) or any(server.tls for server in servers)


def _task(number: int) -> tuple[int, str]:
    """Trees seen, and what HAProxy had to say against them."""
    with tempfile.TemporaryDirectory(prefix="lbd-certs-") as folder:
        found = list(_drawn(number, _PER_TASK, folder))
        return len(found), _refused(found)


def test_hundreds_of_trees(tmp_path: Path) -> None:
    found = list(_drawn(0, 330, str(tmp_path)))
    assert len(found) >= 300
    # With certificates, too: listeners that show them, and members that must.
    assert 30 < sum(_speaks_tls(one) for one in found) < 300
    for version in haproxy.VERSIONS:
        assert _refused(found, version) == ""


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(_MANY // _PER_PART))
def test_a_hundred_thousand_trees(part: int) -> None:
    """On all cores; says how far it is."""
    first, seen, begin = time.time_ns(), 0, time.monotonic()
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        # One task more than should be needed, as drawn trees may be alike.
        tasks = [pool.submit(_task, first + number) for number in range(_PER_PART // _PER_TASK + 1)]
        for task in as_completed(tasks):
            count, words = task.result()
            assert words == "", f"first number {first}: {words}"
            seen += count
            print(f"part {part}: {seen} trees in {time.monotonic() - begin:.0f} s", file=sys.__stderr__, flush=True)
    assert seen >= _PER_PART
