"""Runs inside the peer's own environment: Octavia's API and controller worker with its no-operation drivers.

Started by the benchmark of the same name; uses Octavia's public entry points and nothing of ours. What the
API casts is kept, passed through JSON as by a message queue, and carried out by the worker's endpoints at
once. Arguments: topology, rounds, a scratch folder. Ends with one JSON object: case -> median milliseconds.
"""

from __future__ import annotations

import datetime
import json
import logging
import statistics
import sys
import time
import uuid
import warnings
from pathlib import Path
from typing import Any

from octavia_tables import make_tables

MEMBERS = 50
#: Octavia's no-operation network driver keeps its own database at this fixed place.
NETWORK_DATABASE = "sqlite:////tmp/octavia-network-noop.db"


def _keep_to(scratch: Path) -> None:
    """Everything that Octavia writes goes into the scratch folder."""
    import sqlalchemy

    create = sqlalchemy.create_engine

    def create_engine(url: Any, *arguments: Any, **keywords: Any) -> Any:
        moved = f"sqlite:///{scratch / 'network.db'}" if str(url) == NETWORK_DATABASE else url
        return create(moved, *arguments, **keywords)

    sqlalchemy.create_engine = create_engine


def _authority(scratch: Path) -> tuple[Path, Path]:
    """A certificate authority of RSA-2048, as Octavia's guide makes it: each amphora gets a real certificate."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "peer")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    files = scratch / "ca.pem", scratch / "ca.key"
    files[0].write_bytes(certificate.public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    files[1].write_bytes(private)
    return files


def _configure(topology: str, scratch: Path) -> None:
    from octavia.common import config  # noqa: F401 registers the options
    from oslo_config import cfg

    certificate, key = _authority(scratch)
    for section, values in {
        "database": {"connection": f"sqlite:///{scratch / 'octavia.db'}", "pool_timeout": None},
        "api_settings": {
            "auth_strategy": "noauth",
            "enabled_provider_drivers": {"amphora": "the reference"},
            "default_provider_driver": "amphora",
        },
        "controller_worker": {
            "amphora_driver": "amphora_noop_driver",
            "compute_driver": "compute_noop_driver",
            "network_driver": "network_noop_driver",
            "image_driver": "image_noop_driver",
            "loadbalancer_topology": topology,
            "client_ca": str(certificate),
        },
        "certificates": {
            "cert_manager": "noop_cert_manager",
            "ca_certificate": str(certificate),
            "ca_private_key": str(key),
            "ca_private_key_passphrase": None,
        },
        # In parallel its fifty deletions of members lock each other out of SQLite.
        "task_flow": {"engine": "serial"},
    }.items():
        for name, value in values.items():
            cfg.CONF.set_override(name, value, section)


class _Casts:
    """Stands where the message queue's client is: keeps what the API asks the worker for."""

    def __init__(self) -> None:
        self.waiting: list[tuple[str, dict[str, Any]]] = []

    def cast(self, _context: Any, method: str, **arguments: Any) -> None:
        self.waiting.append((method, json.loads(json.dumps(arguments))))


class Side:
    """Octavia in one process."""

    def __init__(self) -> None:
        import oslo_messaging
        import pecan.testing
        from octavia.api import config as api_config
        from octavia.common import rpc
        from oslo_config import cfg

        self.casts = _Casts()
        oslo_messaging.set_transport_defaults("octavia")
        oslo_messaging.get_rpc_transport(cfg.CONF, url="fake://")  # registers the options
        cfg.CONF.set_override("transport_url", "fake://")
        rpc.init()
        rpc.get_client = lambda *_arguments, **_keywords: self.casts
        cfg.CONF.log_opt_values = lambda *_arguments, **_keywords: None
        self.api = pecan.testing.load_test_app({"app": api_config.app, "wsme": api_config.wsme}, argv=())
        from octavia.controller.queue.v2 import endpoints

        self.worker = endpoints.Endpoints()

    def call(self, verb: str, path: str, body: Any = None) -> tuple[float, dict[str, Any]]:
        """One request and what the worker does for it: milliseconds, and the API's answer."""
        started = time.perf_counter()
        send = getattr(self.api, verb)
        answer = send(f"/v2{path}") if body is None else send(f"/v2{path}", body)
        method, arguments = self.casts.waiting.pop()
        getattr(self.worker, method)({}, **arguments)
        return (time.perf_counter() - started) * 1000, answer.json if answer.body else {}

    def active(self, identity: str) -> None:
        """:raises RuntimeError: when what was done did not succeed."""
        status = self.api.get(f"/v2/lbaas/loadbalancers/{identity}").json["loadbalancer"]["provisioning_status"]
        if status != "ACTIVE":
            raise RuntimeError(f"the load balancer is {status}")


def _members(network: int) -> dict[str, Any]:
    return {"members": [{"address": f"10.{network}.0.{host + 1}", "protocol_port": 80} for host in range(MEMBERS)]}


def one_round(side: Side) -> dict[str, float]:
    """Each case once, on a new load balancer."""
    vip = {name: str(uuid.uuid4()) for name in ("project_id", "vip_subnet_id", "vip_network_id")}
    found = {}
    found["create"], answer = side.call("post_json", "/lbaas/loadbalancers", {"loadbalancer": vip})
    balancer = answer["loadbalancer"]["id"]
    side.active(balancer)
    listener = {"protocol": "HTTP", "protocol_port": 80, "loadbalancer_id": balancer}
    _, answer = side.call("post_json", "/lbaas/listeners", {"listener": listener})
    pool = {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "listener_id": answer["listener"]["id"]}
    _, answer = side.call("post_json", "/lbaas/pools", {"pool": pool})
    place = f"/lbaas/pools/{answer['pool']['id']}/members"
    monitor = {"type": "HTTP", "delay": 5, "timeout": 4, "max_retries": 3, "pool_id": answer["pool"]["id"]}
    side.call("post_json", "/lbaas/healthmonitors", {"healthmonitor": monitor})
    side.call("put_json", place, _members(1))
    one = {"member": {"address": "10.9.0.1", "protocol_port": 80}}
    found["create a member beside 50"], _ = side.call("post_json", place, one)
    found["replace 50 members"], _ = side.call("put_json", place, _members(2))
    side.active(balancer)
    found["failover"], _ = side.call("put_json", f"/lbaas/loadbalancers/{balancer}/failover", {})
    side.active(balancer)
    found["delete"], _ = side.call("delete", f"/lbaas/loadbalancers/{balancer}?cascade=true")
    return found


#: case of ours -> (topology, case here).
CASES = {
    "create, SINGLE": ("SINGLE", "create"),
    "create, ACTIVE_STANDBY": ("ACTIVE_STANDBY", "create"),
    "create a member beside 50": ("ACTIVE_STANDBY", "create a member beside 50"),
    "replace 50 members": ("ACTIVE_STANDBY", "replace 50 members"),
    "failover of a pair": ("ACTIVE_STANDBY", "failover"),
    "delete a pair": ("ACTIVE_STANDBY", "delete"),
}


def main() -> None:
    """Measure and answer."""
    topology, rounds, scratch = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    warnings.simplefilter("ignore")
    _keep_to(scratch)
    _configure(topology, scratch)
    make_tables()
    side = Side()
    logging.disable(logging.ERROR)
    one_round(side)
    found = [one_round(side) for _ in range(rounds)]
    medians = {
        name: statistics.median(values[case] for values in found)
        for name, (wanted, case) in CASES.items()
        if wanted == topology
    }
    print(json.dumps(medians))


if __name__ == "__main__":
    main()
