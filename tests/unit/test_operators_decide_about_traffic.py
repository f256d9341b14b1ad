"""Octavia's options for HAProxy reach every appliance; what HAProxy could not read is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest
from oslo_config import cfg
from support import bundles
from support.memory_cloud import World

from lbdrivers.drivers.amphora import Bundle, TrafficOptions
from lbdrivers.errors import InvalidInput
from lbdrivers_amphora.haproxy.log_line import log_line
from lbdrivers_amphora.settings import read


def _configuration(folder: Path, text: str) -> cfg.ConfigOpts:
    file = folder / "octavia.conf"
    file.write_text(text)
    configuration = cfg.ConfigOpts()
    configuration([], default_config_files=[str(file)], default_config_dirs=[])
    return configuration


def test_every_option_is_read(tmp_path: Path) -> None:
    text = """
[haproxy_amphora]
connection_logging = false
user_log_format = {{ lb_id }} %ci
haproxy_stick_size = 1m
default_connection_limit = 7
timeout_client_data = 1
timeout_member_connect = 2
timeout_member_data = 3
timeout_tcp_inspect = 4
[amphora_agent]
user_log_facility = 5
administrative_log_facility = 6
"""
    assert read(_configuration(tmp_path, text)).traffic == TrafficOptions(
        False, "{{ lb_id }} %ci", 5, 6, "1m", 7, timeout_client_data=1, timeout_member_connect=2, timeout_member_data=3,
        timeout_tcp_inspect=4,
    )  # fmt: skip


def test_the_defaults_are_octavias(tmp_path: Path) -> None:
    assert read(_configuration(tmp_path, "")).traffic == TrafficOptions()


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ("haproxy_amphora", "haproxy_stick_size = 10 user root"),
        ("haproxy_amphora", "haproxy_stick_size = 0"),
        ("haproxy_amphora", "default_connection_limit = 0"),
        ("haproxy_amphora", "user_log_format ="),
        ("haproxy_amphora", "user_log_format = a\x07b"),
        ("haproxy_amphora", "timeout_client_data = 2073600001"),
        ("amphora_agent", "user_log_facility = 8"),
    ],
)
def test_what_haproxy_could_not_read_is_refused(tmp_path: Path, section: str, line: str) -> None:
    with pytest.raises(InvalidInput, match=line.split()[0]):
        read(_configuration(tmp_path, f"[{section}]\n{line}\n"))


def test_they_reach_the_appliances() -> None:
    told: list[Bundle] = []

    def hook(called: str, arguments: tuple[object, ...]) -> None:
        if called == "configure":
            bundle = arguments[1]
            assert isinstance(bundle, Bundle)
            told.append(bundle)

    World().provider(hook).apply(bundles.tree((bundles.listener(),)), None)
    assert {bundle.options for bundle in told} == {TrafficOptions()}


@pytest.mark.parametrize(
    ("template", "mode", "expected"),
    [
        ("{{ project_id }} {{lb_id}} %ci", "http", "- lb%% %ci"),
        ("%r %{+Q}r %ST %HM %rt %%r %[req.hdr(r)]", "tcp", "- - - - %rt %%r %[req.hdr(r)]"),
        ("%r %{+Q}r %ST %HM", "http", "%r %{+Q}r %ST %HM"),
    ],
)
def test_a_log_line_says_only_what_its_protocol_knows(template: str, mode: str, expected: str) -> None:
    assert log_line(template, mode, "lb%", "") == expected
