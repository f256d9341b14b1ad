"""The drivers of this host keep the laws of their contracts: real boxes, links, keys, agents and daemons."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.certificates import Authority, key_pem
from support.local_cloud import MANAGEMENT, PRIVATE, a_cloud, kill
from support.local_site import a_site

from lbdrivers import settings
from lbdrivers.drivers.context import DriverContext
from lbdrivers.memory.records import MemoryRecords
from lbdrivers.model.infra import MachineRequest
from lbdrivers.testing import check_amphora, check_certificate, check_compute, check_network
from lbdrivers.testing.check import Check
from lbdrivers.testing.surroundings import new_id
from lbdrivers_amphora.certificates.local import LocalAuthority
from lbdrivers_amphora.certificates.secrets import LocalSecretStore
from lbdrivers_amphora.compute.local import LocalCompute
from lbdrivers_amphora.network.local import LocalNetwork


@pytest.mark.parametrize("check", check_compute.CHECKS, ids=str)
def test_compute(check: Check[check_compute.ComputeFixture]) -> None:
    with a_site() as site:
        check(
            check_compute.ComputeFixture(
                make=lambda: LocalCompute(site.context, ("/bin/sleep", "100000")),
                network=lambda: LocalNetwork(site.context),
                management_subnet_id=MANAGEMENT,
                member_subnet_id=PRIVATE,
                kill=lambda name: kill(site, name),
                unbootable=lambda name, ports: MachineRequest(name, ports, flavor="large", zone="west"),
            )
        )


@pytest.mark.parametrize("check", check_network.CHECKS, ids=str)
def test_network(check: Check[check_network.NetworkFixture]) -> None:
    with a_site() as site:
        fixture = check_network.NetworkFixture(lambda: LocalNetwork(site.context), PRIVATE, absent_subnet_id=new_id())
        check(fixture)


@pytest.mark.parametrize("check", check_certificate.AUTHORITY_CHECKS, ids=str)
def test_authority(check: Check[check_certificate.AuthorityFixture], tmp_path: Path) -> None:
    context = DriverContext(settings.load(state_path=tmp_path), MemoryRecords(), lambda _group, _name: None)
    check(check_certificate.AuthorityFixture(make=lambda: LocalAuthority(context)))


@pytest.mark.parametrize("check", check_certificate.SECRET_STORE_CHECKS, ids=str)
def test_secret_store(check: Check[check_certificate.SecretStoreFixture], tmp_path: Path) -> None:
    context = DriverContext(settings.load(state_path=tmp_path), MemoryRecords(), lambda _group, _name: None)
    folder, root = LocalSecretStore(context).folder, Authority("root")
    upper = Authority("upper", root)
    lower = Authority("lower", upper)
    plain, chained = root.issue("www.example.com"), lower.issue("chained.example.com")
    encrypted = root.issue("encrypted.example.com")
    folder.mkdir(mode=0o700)
    files = {
        "www.pem": plain.together,
        "encrypted.crt": encrypted.pem,
        "encrypted.key": key_pem(encrypted.key, passphrase=b"a passphrase"),
        "encrypted.pass": b"a passphrase",
        "chained.crt": chained.pem,
        "chained.key": chained.key_pem,
        "chained.int": lower.pem + upper.pem,
        "clients.crt": root.pem,
    }
    for name, content in files.items():
        (folder / name).touch(mode=0o600)
        (folder / name).write_bytes(content)
    fixture = check_certificate.SecretStoreFixture(
        make=lambda: LocalSecretStore(context),
        reference="www",
        absent_reference="nothing",
        encrypted_reference="encrypted",
        chained_reference="chained",
        plain_reference="clients",
        plain=root.pem,
    )
    check(fixture)


@pytest.mark.parametrize("check", check_amphora.CHECKS, ids=str)
def test_amphora(check: Check[check_amphora.AmphoraFixture]) -> None:
    with a_cloud() as cloud:
        check(
            check_amphora.AmphoraFixture(
                make=cloud.agent_client, boot=cloud.appliance, kill=lambda machine: cloud.kill(machine.name)
            )
        )
