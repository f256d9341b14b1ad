"""Input and expected text in one file each; the real daemons accept what is expected.

A case is a YAML document (tree, appliance) followed by sections of expected text. To write the
expected text anew: ``UPDATE_GOLDEN=1 pytest tests/golden``, then read the difference.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import haproxy, keepalived, nft
from support.furnished import furnished

from lbdrivers.drivers.amphora import Bundle, Facts, Peer, Role, Topology, TrafficOptions, Vip, VrrpTimers
from lbdrivers.features import Feature, required
from lbdrivers.model.infra import HostRoute
from lbdrivers.model.resources import CompareType, LoadBalancer, RuleType
from lbdrivers.model.secret import Secret
from lbdrivers_amphora.decide import tls
from lbdrivers_amphora.haproxy import parse as haproxy_parse
from lbdrivers_amphora.haproxy import render as haproxy_render
from lbdrivers_amphora.haproxy import translate as haproxy_translate
from lbdrivers_amphora.haproxy import translate_tls
from lbdrivers_amphora.haproxy.peers import peer_name
from lbdrivers_amphora.keepalived import lvs_render, lvs_translate
from lbdrivers_amphora.keepalived import render as keepalived_render
from lbdrivers_amphora.keepalived import translate as keepalived_translate
from lbdrivers_amphora.nftables import render as nftables_render
from lbdrivers_amphora.nftables import rules
from lbdrivers_amphora.nftables import translate as nftables_translate
from lbdrivers_amphora.provider import FEATURES

_FOLDER = Path(__file__).parent
_CASES = sorted((_FOLDER / "cases").glob("*.golden"))
#: What no tree asks for, as the provider does it for every one; and what decides about options and machines
#: before a file is written (``operator_options`` shows them).
_IN_NO_FILE = {Feature.STATISTICS, Feature.FAILOVER, Feature.FLAVOR, Feature.AVAILABILITY_ZONE}
#: Of rules that do not have them all.
_COMPARISONS: dict[RuleType, Collection[CompareType]] = {
    RuleType.FILE_TYPE: (CompareType.REGEX, CompareType.EQUAL_TO),
    RuleType.SSL_CONN_HAS_CERT: (CompareType.EQUAL_TO,),
    RuleType.SSL_VERIFY_RESULT: (CompareType.EQUAL_TO,),
}
_SECTION = re.compile(r"^--- (haproxy\.cfg|certificates/\S+|nftables\.rules|\S*keepalived\S*\.conf)\n", re.MULTILINE)


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
    tree = LoadBalancer.model_validate(given["loadbalancer"])
    return Bundle(
        load_balancer=tree,
        amphora_id=given["peers"][0]["amphora_id"],
        topology=Topology(given.get("topology", "SINGLE")),
        peers=tuple(Peer(**(peer | {"role": Role(peer["role"])})) for peer in given["peers"]),
        vips=tuple(_vip(vip) for vip in given["vips"]),
        timers=VrrpTimers(**given.get("timers", {})),
        options=TrafficOptions(**given.get("options", {})),
        # Named after references: the text shall be the same in each run.
        tls=tls.unknown(tls.uses(tree)),
        vrrp_password=None if password is None else Secret(password.encode()),
    )


def _read(path: Path) -> tuple[str, dict[str, Any], dict[str, str]]:
    head, *parts = _SECTION.split(path.read_text())
    return head, yaml.safe_load(head), dict(zip(parts[::2], parts[1::2], strict=True))


def _written(document: dict[str, Any]) -> dict[str, str]:
    """Every file of the appliance, by name."""
    bundle, facts = _bundle(document), _facts(document.get("facts", {}))
    texts = {}
    listeners = bundle.load_balancer.listeners
    if any(listener.protocol not in lvs_translate.PROTOCOLS for listener in listeners):
        texts["haproxy.cfg"] = haproxy_render.render(haproxy_translate.translate(bundle, facts))
    for name, content in translate_tls.certificate_lists(bundle, facts).items():
        texts[f"certificates/{name}"] = content.decode()
    if bundle.topology is Topology.ACTIVE_STANDBY:
        texts["keepalived.conf"] = keepalived_render.render(keepalived_translate.translate(bundle, facts, "eth1"))
    if document.get("datagrams") == "nftables":
        return texts | {
            "nftables.rules": nftables_render.replacement(rules.table(nftables_translate.translate(bundle)))
        }
    for listener in listeners:
        if listener.protocol in lvs_translate.PROTOCOLS:
            text = lvs_render.render(lvs_translate.translate(bundle, facts, listener))
            texts[f"octavia-keepalivedlvs-{listener.id}.conf"] = text
    return texts


def _accepted(document: dict[str, Any], text: str) -> tuple[tuple[int, str], ...]:
    """Where root's files are not root's own, keepalived cannot be told to mistrust others' scripts, and says so."""
    if document.get("facts", {}).get("haproxy_user", "") is not None:
        return ((0, ""),)
    scripts = "misc_path" in text or "vrrp_script" in text
    return keepalived.UNSECURED if scripts else ((0, ""),)


@pytest.mark.parametrize("path", _CASES, ids=lambda path: path.stem)
def test_the_text_is_as_expected_and_the_daemons_accept_it(path: Path) -> None:
    head, document, expected = _read(path)
    written = _written(document)
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(head + "".join(f"--- {name}\n{text}" for name, text in written.items()))
        expected = written
    assert written == expected
    for name, text in written.items():
        if name == "haproxy.cfg":
            bundle, facts = _bundle(document), _facts(document.get("facts", {}))
            with furnished(bundle, facts) as appliance:
                there = text.replace(facts.certificate_path, appliance.certificate_path)
                for version in haproxy.VERSIONS:
                    status, output = haproxy.check(there, peer_name(bundle.amphora_id), version)
                    assert status == 0, f"HAProxy {version}: {output}"
        elif name == "nftables.rules":
            assert nft.check(text) == (0, "")
        elif not name.startswith("certificates/"):  # HAProxy has read those
            assert keepalived.check(text) in _accepted(document, text)


@pytest.mark.parametrize("path", _CASES, ids=lambda path: path.stem)
def test_the_text_reads_back(path: Path) -> None:
    _, document, expected = _read(path)
    if "haproxy.cfg" not in expected:
        return
    configuration = haproxy_translate.translate(_bundle(document), _facts(document.get("facts", {})))
    assert haproxy_parse.parse(expected["haproxy.cfg"]) == configuration


def test_every_feature_of_the_provider_has_a_case() -> None:
    shown: set[Feature] = set()
    for path in _CASES:
        shown |= required(_bundle(_read(path)[1]).load_balancer)
    assert not FEATURES - shown - _IN_NO_FILE


def test_every_rule_has_a_case_with_every_comparison_as_it_is_and_inverted() -> None:
    shown = {
        (rule.type, rule.compare_type, rule.invert)
        for path in _CASES
        for listener in _bundle(_read(path)[1]).load_balancer.listeners
        for policy in listener.l7policies
        for rule in policy.rules
    }
    assert shown == {
        (kind, comparison, inverted)
        for kind, comparison, inverted in product(RuleType, CompareType, (True, False))
        if comparison in _COMPARISONS.get(kind, CompareType)
    }


@pytest.mark.parametrize("version", haproxy.VERSIONS)
def test_haproxy_refuses_what_is_wrong(version: str) -> None:
    status, output = haproxy.check((_FOLDER / "refused" / "haproxy.cfg").read_text(), version=version)
    assert status == 1
    assert "unknown keyword" in output


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("keepalived.conf", "missing '}'"),
        ("lvs_scheduler.conf", "Invalid lvs_scheduler 'fastest'"),
        ("lvs_checker.conf", "Invalid HTTP_GET status code '99'"),
    ],
)
def test_keepalived_refuses_what_is_wrong(name: str, words: str) -> None:
    status, output = keepalived.check((_FOLDER / "refused" / name).read_text())
    assert status != 0
    assert words in output


def test_nft_refuses_what_is_wrong() -> None:
    status, output = nft.check((_FOLDER / "refused" / "nftables.rules").read_text())
    assert status == 1
    assert "No such file or directory" in output
