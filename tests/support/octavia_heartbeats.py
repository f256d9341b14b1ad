"""Octavia's receiver or sender of heartbeats. Runs inside Octavia's own environment; imports nothing of ours.

python octavia_heartbeats.py receive KEY NUMBER     prints its port, then each message as JSON
python octavia_heartbeats.py send KEY HOST:PORT     sends each line of standard input, a message as JSON
"""

from __future__ import annotations

import json
import sys

from octavia.common import config
from oslo_config import cfg


def receive(number: int) -> None:
    from octavia.amphorae.drivers.health.heartbeat_udp import UDPStatusGetter

    for name, value in {"bind_ip": "127.0.0.1", "bind_port": 0, "health_update_threads": 1}.items():
        cfg.CONF.set_override(name, value, "health_manager")
    cfg.CONF.set_override("stats_update_threads", 1, "health_manager")
    getter = UDPStatusGetter()
    print(getter.sock.getsockname()[1], flush=True)
    for _ in range(number):
        message, source = getter.dorecv()
        print(json.dumps([message, source]), flush=True)


def send(destination: str) -> None:
    from octavia.amphorae.backends.health_daemon.health_sender import UDPStatusSender

    cfg.CONF.set_override("controller_ip_port_list", [destination], "health_manager")
    sender = UDPStatusSender()
    for line in sys.stdin:
        sender.dosend(json.loads(line))


def main() -> None:
    role, key, argument = sys.argv[1:4]
    assert config is not None  # registers the options
    cfg.CONF.set_override("heartbeat_key", key, "health_manager")
    if role == "receive":
        receive(int(argument))
    else:
        send(argument)


if __name__ == "__main__":
    main()
