"""The files in contrib/deploy speak of what is there: commands and their options, names of metrics."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from lbdrivers import cli
from lbdrivers.drivers.provider import Statistics

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "contrib" / "deploy"
UNITS = sorted(DEPLOY.glob("*.service"))
#: What the Prometheus library adds by itself.
PROCESS = {"process_cpu_seconds_total"}


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_units_run_commands_that_there_are(unit: Path) -> None:
    (line,) = re.findall(r"^ExecStart=/usr/bin/lbdrivers (.*)$", unit.read_text(), re.MULTILINE)
    parsed = cli.parse(line.split())
    assert unit.name == f"lbdrivers-{parsed.command}.service"
    targets = [
        target for job in yaml.safe_load((DEPLOY / "prometheus.yaml").read_text()) for target in job["static_configs"]
    ]
    assert {"targets": [parsed.metrics], "labels": {"daemon": parsed.command}} in targets


def declared() -> set[str]:
    """Names of all metrics that the sources make, as Prometheus shows them."""
    text = "\n".join(
        path.read_text() for package in ("lbdrivers", "lbdrivers_amphora") for path in (ROOT / package).rglob("*.py")
    )
    names = set(re.findall(r"Metric\(\s*\"(\w+)\"", text))
    listeners = {f"listener_{name}" for name in vars(Statistics())}
    return {f"lbdrivers_{name}{end}" for name in names | listeners for end in ("", "_total")}


def test_the_dashboard_asks_for_metrics_that_there_are() -> None:
    dashboard = json.loads((DEPLOY / "grafana.json").read_text())
    wanted = {
        name
        for panel in dashboard["panels"]
        for target in panel["targets"]
        for name in re.findall(r"\b(?:lbdrivers|process)_\w+", re.sub(r"\{.*?\}|\[.*?\]", "", target["expr"]))
    }
    assert len(wanted) >= 10
    assert wanted <= declared() | PROCESS
