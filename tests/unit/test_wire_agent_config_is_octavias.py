"""The agent's configuration: written as Octavia writes it, read from either, refused when it is wrong."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbdrivers_amphora.wire.agent_config import AgentConfig, parse, render, with_mutable_of
from lbdrivers_amphora.wire.fields import Malformed

_OCTAVIAS = """
[DEFAULT]
debug = False
use_syslog = True
syslog_log_facility = LOG_LOCAL1

[haproxy_amphora]
base_cert_dir = /var/lib/octavia/certs
base_path = /var/lib/octavia
bind_host = ::
bind_port = 9443
haproxy_cmd = /usr/sbin/haproxy
user_log_facility = 0
administrative_log_facility = 1

[health_manager]
controller_ip_port_list = 192.0.2.10:5555, [2001:db8::1]:5555
heartbeat_interval = 10
heartbeat_key = with%percent

[amphora_agent]
agent_server_ca = /etc/octavia/certs/client_ca.pem
agent_server_cert = /etc/octavia/certs/server.pem
agent_request_read_timeout = 180
amphora_id = 48ba7f4a-6d0d-4fc0-9a5b-0f1f0f0f0f0f
amphora_udp_driver = keepalived_lvs
agent_tls_protocol = TLSv1.2

[controller_worker]
loadbalancer_topology = ACTIVE_STANDBY
"""


def test_octavias_file_is_understood() -> None:
    config, unknown = parse(_OCTAVIAS)
    assert unknown == ()
    assert config.controller_ip_port_list == ("192.0.2.10:5555", "[2001:db8::1]:5555")
    assert config.heartbeat_key == "with%percent"
    assert config.loadbalancer_topology == "ACTIVE_STANDBY"
    assert config.agent_server_network_dir == "/etc/octavia/interfaces"


def test_unknown_options_are_tolerated_and_named() -> None:
    _, unknown = parse(_OCTAVIAS + "new_option = 1\n[nowhere]\nx = y\n")
    assert unknown == ("controller_worker.new_option", "nowhere.x")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("bind_port = 9443", "bind_port = 94430", "haproxy_amphora.bind_port"),
        ("bind_port = 9443", "bind_port = \u0663", "haproxy_amphora.bind_port"),
        ("loadbalancer_topology = ACTIVE_STANDBY", "loadbalancer_topology = MANY", "SINGLE, ACTIVE_STANDBY"),
        ("base_path = /var/lib/octavia", "base_path = relative", "absolute"),
        ("agent_tls_protocol = TLSv1.2", "agent_tls_protocol = TLSv1", "TLSv1.2"),
        ("amphora_id = 48ba7f4a-6d0d-4fc0-9a5b-0f1f0f0f0f0f", "", "amphora_id: missing"),
        ("debug = False", "debug = perhaps", "DEFAULT.debug"),
        ("[DEFAULT]", "nonsense", "agent configuration"),
    ],
)
def test_a_wrong_value_is_refused_by_name(old: str, new: str, words: str) -> None:
    with pytest.raises(Malformed, match=words.replace(".", r"\.")):
        parse(_OCTAVIAS.replace(old, new, 1))


_WORD = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)


@settings(max_examples=150, deadline=None)
@given(
    st.builds(
        AgentConfig,
        amphora_id=st.uuids().map(str),
        base_path=_WORD.map(lambda word: "/" + word.strip("/")),
        heartbeat_key=_WORD,
        bind_port=st.integers(1, 65535),
        loadbalancer_topology=st.sampled_from(["SINGLE", "ACTIVE_STANDBY"]),
        controller_ip_port_list=st.lists(_WORD.filter(lambda word: "," not in word), max_size=3).map(tuple),
        debug=st.booleans(),
    )
)
def test_what_is_written_is_read_back(config: AgentConfig) -> None:
    assert parse(render(config)) == (config, ())


def test_a_value_of_two_lines_is_refused() -> None:
    with pytest.raises(Malformed, match="one line"):
        render(AgentConfig("a", heartbeat_key="a\n[amphora_agent]"))


def test_only_mutable_options_change_while_it_runs() -> None:
    running = AgentConfig("a", bind_port=1, loadbalancer_topology="SINGLE", heartbeat_key="old")
    wanted = AgentConfig("a", bind_port=2, loadbalancer_topology="ACTIVE_STANDBY", heartbeat_key="new")
    now = with_mutable_of(running, wanted)
    assert (now.bind_port, now.loadbalancer_topology, now.heartbeat_key) == (1, "ACTIVE_STANDBY", "new")


def test_the_key_does_not_show() -> None:
    assert "secret" not in repr(AgentConfig("a", heartbeat_key="secret"))
