"""Input and expected text in one file each; the real daemons accept what is expected.

A case is a YAML document (tree, appliance) followed by sections of expected text. To write the
expected text anew: ``UPDATE_GOLDEN=1 pytest tests/golden``, then read the difference.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import haproxy, keepalived

from lbdrivers.drivers.amphora import Bundle, Facts, Peer, Role, Topology, Vip, VrrpTimers
from lbdrivers.model.infra import HostRoute
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.model.secret import Secret
from lbdrivers_amphora.haproxy import parse as haproxy_parse
from lbdrivers_amphora.haproxy import render as haproxy_render
from lbdrivers_amphora.haproxy import translate as haproxy_translate
from lbdrivers_amphora.haproxy.peers import peer_name
from lbdrivers_amphora.keepalived import render as keepalived_render
from lbdrivers_amphora.keepalived import translate as keepalived_translate

_FOLDER = Path(__file__).parent
_CASES = sorted((_FOLDER / "cases").glob("*.golden"))
_SECTION = re.compile(r"^--- (haproxy\.cfg|keepalived\.conf)\n", re.MULTILINE)


def _facts(given: dict[str, Any]) -> Facts:
    values = {
        "hostname": "amphora",
        "api_version": "1.0",
        "haproxy_version": "2.6.12",
        "keepalived_version": "2.2.7",
        "log_socket": None,
    }
    return Facts(**(values | given))


def _vip(given: dict[str, Any]) -> Vip:
    routes = tuple(HostRoute(**route) for route in given.get("host_routes", ()))
    return Vip(**(given | {"host_routes": routes}))


def _bundle(given: dict[str, Any]) -> Bundle:
    password = given.get("vrrp_password")
    return Bundle(
        load_balancer=LoadBalancer.model_validate(given["loadbalancer"]),
        amphora_id=given["peers"][0]["amphora_id"],
        topology=Topology(given.get("topology", "SINGLE")),
        peers=tuple(Peer(**(peer | {"role": Role(peer["role"])})) for peer in given["peers"]),
        vips=tuple(_vip(vip) for vip in given["vips"]),
        timers=VrrpTimers(**given.get("timers", {})),
        vrrp_password=None if password is None else Secret(password.encode()),
    )


def _read(path: Path) -> tuple[str, dict[str, Any], dict[str, str]]:
    head, *parts = _SECTION.split(path.read_text())
    return head, yaml.safe_load(head), dict(zip(parts[::2], parts[1::2], strict=True))


def _written(document: dict[str, Any]) -> dict[str, str]:
    bundle, facts = _bundle(document), _facts(document.get("facts", {}))
    texts = {"haproxy.cfg": haproxy_render.render(haproxy_translate.translate(bundle, facts))}
    if bundle.topology is Topology.ACTIVE_STANDBY:
        texts["keepalived.conf"] = keepalived_render.render(keepalived_translate.translate(bundle, facts, "eth1"))
    return texts


@pytest.mark.parametrize("path", _CASES, ids=lambda path: path.stem)
def test_the_text_is_as_expected_and_the_daemons_accept_it(path: Path) -> None:
    head, document, expected = _read(path)
    written = _written(document)
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(head + "".join(f"--- {name}\n{text}" for name, text in written.items()))
        expected = written
    assert written == expected
    status, output = haproxy.check(written["haproxy.cfg"], peer_name(document["peers"][0]["amphora_id"]))
    assert status == 0, output
    if "keepalived.conf" in written:
        assert keepalived.check(written["keepalived.conf"]) == (0, "")


@pytest.mark.parametrize("path", _CASES, ids=lambda path: path.stem)
def test_the_text_reads_back(path: Path) -> None:
    _, document, expected = _read(path)
    configuration = haproxy_translate.translate(_bundle(document), _facts(document.get("facts", {})))
    assert haproxy_parse.parse(expected["haproxy.cfg"]) == configuration


def test_haproxy_refuses_what_is_wrong() -> None:
    status, output = haproxy.check((_FOLDER / "refused" / "haproxy.cfg").read_text())
    assert status == 1
    assert "unknown keyword" in output


def test_keepalived_refuses_what_is_wrong() -> None:
    status, output = keepalived.check((_FOLDER / "refused" / "keepalived.conf").read_text())
    assert status != 0
    assert "missing '}'" in output
