"""HTTPS from a user's YAML to requests served by a real pair. The tests build on one another in order."""

from __future__ import annotations

import json
import shlex
import shutil
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import rsa
from scenario.conftest import Lab
from support.certificates import Authority, Issued

from examples.demo.client import Client, SteadyLoad

EXAMPLE = Path(__file__).parents[2] / "examples" / "tls.yaml"
VIP = "10.211.16.20"
AUTHORITY = Authority("authority")
WWW, RENEWED, API = (AUTHORITY.issue(f"{name}.example.com") for name in ("www", "www", "api"))


def document(**https: Any) -> dict[str, Any]:
    """The example, with further fields of its HTTPS listener."""
    made: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text())
    made["loadbalancer"]["listeners"][0] |= https
    return made


def store(lab: Lab, name: str, issued: Issued, key: Issued | None = None) -> None:
    folder = lab.state / "secrets"
    folder.mkdir(mode=0o700, exist_ok=True)
    for ending, content in (("crt", issued.pem), ("key", (key or issued).key_pem)):
        path = folder / f"{name}.{ending}"
        path.touch(mode=0o600)
        path.write_bytes(content)


def client(lab: Lab, name: str = "www.example.com") -> Client:
    """A client that checks the certificate and its name."""
    context = ssl.create_default_context(cadata=AUTHORITY.pem.decode())

    def opened(address: str, port: int, timeout: float) -> socket.socket:
        return context.wrap_socket(lab.world.open_from_client(address, port, timeout), server_hostname=name)

    return Client(VIP, 443, opened)


def shown(lab: Lab) -> bytes:
    """The certificate that a client gets."""
    context = ssl.create_default_context(cadata=AUTHORITY.pem.decode())
    plain = lab.world.open_from_client(VIP, 443, 5)
    with context.wrap_socket(plain, server_hostname="www.example.com") as connection:
        return ssl.DER_cert_to_PEM_cert(connection.getpeercert(binary_form=True) or b"").encode()


@pytest.fixture(scope="module", autouse=True)
def created(lab: Lab) -> None:
    store(lab, "www", WWW)
    lab.run("apply", str(EXAMPLE))


def test_both_members_answer_by_https_and_clear_text_is_sent_there(lab: Lab) -> None:
    assert client(lab).burst(20) == {"web-1": 10, "web-2": 10}
    assert shown(lab) == WWW.pem
    with lab.world.open_from_client(VIP, 80, 5) as plain:
        plain.sendall(b"GET /a HTTP/1.1\r\nHost: www.example.com\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: plain.recv(65536), b"")).decode()
    assert answer.startswith("HTTP/1.1 301 ")
    assert "location: https://www.example.com/a\r\n" in answer


def test_the_same_file_changes_nothing(lab: Lab) -> None:
    answer = lab.ask("apply", str(EXAMPLE))
    assert (answer["changed"], answer["actions"]) == (False, [])


def test_a_renewed_certificate_is_swapped_without_a_failed_request(lab: Lab) -> None:
    processes = lab.world.haproxy_processes()
    store(lab, "www", RENEWED)
    planned = lab.ask("plan", str(EXAMPLE))["actions"]
    assert [(one["action"], one["mildness"]) for one in planned] == [("renew certificates", "runtime")]
    with SteadyLoad(client(lab)) as load:
        lab.run("apply", str(EXAMPLE))
        lab.eventually(lambda: shown(lab) == RENEWED.pem)
    assert [answer for answer in load.answers if answer.body is None] == []
    assert lab.world.haproxy_processes() == processes


@pytest.mark.parametrize(
    ("search", "damage"),
    [("grep -l BEGIN", "rm $0"), ("grep -L BEGIN", "echo '# by hand' >> $0")],
    ids=["certificate removed", "list edited"],
)
def test_a_certificate_that_somebody_changed_is_told_and_mended(lab: Lab, search: str, damage: str) -> None:
    processes = lab.world.haproxy_processes()
    holder = next(one["id"] for one in lab.ask("show", "shop")["appliances"] if one["holds_vip"])
    path = lab.in_amphora(holder, f"{search} /var/lib/octavia/certs/*/*.pem | head -n 1").strip()
    lab.in_amphora(holder, f"sh -ec {shlex.quote(damage)} {path}")
    told = json.loads(lab.run("observe", "shop", "--json", status=1).stdout)["deviations"]
    assert [(one["aspect"], one["remedy"]) for one in told] == [(path.rpartition("/")[2], "apply")]
    lab.run("apply", "--repair", str(EXAMPLE))
    assert lab.ask("observe", "shop")["deviations"] == []
    assert lab.world.haproxy_processes() == processes
    assert client(lab).burst(4)["failed"] == 0


def test_a_certificate_joins_by_name_at_run_time(lab: Lab) -> None:
    processes = lab.world.haproxy_processes()
    store(lab, "api", API)
    file = lab.write(document(sni_container_refs=["api"]))
    planned = lab.ask("plan", file)["actions"]
    assert [(one["subject"], one["mildness"]) for one in planned] == [("listener https", "runtime")]
    lab.run("apply", file)
    assert client(lab, "api.example.com").burst(4)["failed"] == 0
    assert lab.world.haproxy_processes() == processes


def test_what_cannot_be_used_is_refused_by_name_and_nothing_changes(lab: Lab) -> None:
    store(lab, "wrong", API, key=WWW)
    for command in ("plan", "apply"):
        result = lab.run(command, lab.write(document(default_tls_container_ref="wrong")), status=2)
        assert "listener https, default_tls_container_ref" in result.stderr
        assert "wrong" in result.stderr and "does not belong to the certificate" in result.stderr
    result = lab.run("plan", lab.write(document(default_tls_container_ref="absent")), status=2)
    assert f"install -D -m 600 CERTIFICATE {lab.state}/secrets/absent.crt" in result.stderr
    assert client(lab).burst(4)["failed"] == 0
    assert shown(lab) == RENEWED.pem


def test_what_haproxy_refuses_is_told_of_its_listener_and_what_runs_goes_on(lab: Lab) -> None:
    """A certificate in order, but for the length of its key, which OpenSSL alone judges in an appliance."""
    processes = lab.world.haproxy_processes()
    store(lab, "weak", AUTHORITY.issue("www.example.com", rsa.generate_private_key(65537, 1024)))
    wanted = document(default_tls_container_ref="weak")
    listener = wanted["loadbalancer"]["listeners"][0]
    with SteadyLoad(client(lab)) as load:
        result = lab.run("apply", lab.write(wanted), status=1)
        # The owner reads which object it is, with the daemon's own words; the operator all that the daemon said.
        told, *said = result.stderr.splitlines()
        name = f"listener {listener['name']!r} ("
        assert told.startswith(f"error: HAProxy refused the configuration: {name}"), result.stderr
        assert "unable to load SSL certificate" in told
        assert any("[ALERT]" in line and "haproxy.cfg" in line for line in said), result.stderr
        answer = lab.ask("show", "shop")
        assert answer["provisioning_status"] == "ERROR"
        assert name in str(answer["cause"])
        lab.run("apply", lab.write(document(sni_container_refs=["api"])))
    assert [answer for answer in load.answers if answer.body is None] == []
    assert shown(lab) == RENEWED.pem
    assert lab.world.haproxy_processes() == processes
    assert lab.ask("show", "shop")["provisioning_status"] == "ACTIVE"


def test_keys_lie_nowhere_but_in_the_secrets_and_in_the_appliances(lab: Lab) -> None:
    key = RENEWED.key_pem.splitlines()[1]
    holders = {
        path.relative_to(lab.state).parts[0]
        for path in lab.state.rglob("*")
        if path.is_file() and not path.is_symlink() and key in path.read_bytes()
    }
    assert holders <= {"secrets", "local"}


def test_delete_needs_no_secret(lab: Lab) -> None:
    shutil.rmtree(lab.state / "secrets")
    lab.run("delete", "shop")
    assert (lab.machines(), lab.ports()) == (set(), [])
