"""The memory compute, network, certificate and amphora drivers keep the laws of their contracts."""

from __future__ import annotations

import pytest
from support import memory_fixtures

from lbdrivers.memory.amphora import MemoryAmphoraDriver
from lbdrivers.memory.certificate import MemoryAuthority
from lbdrivers.memory.compute import MemoryCompute
from lbdrivers.memory.network import MemoryNetwork
from lbdrivers.memory.secret_store import MemorySecretStore
from lbdrivers.testing import check_amphora, check_certificate, check_compute, check_network
from lbdrivers.testing.check import Check


@pytest.mark.parametrize("check", check_compute.CHECKS, ids=str)
def test_compute(check: Check[check_compute.ComputeFixture]) -> None:
    check(memory_fixtures.compute_fixture(MemoryCompute, memory_fixtures.a_context()))


@pytest.mark.parametrize("check", check_network.CHECKS, ids=str)
def test_network(check: Check[check_network.NetworkFixture]) -> None:
    check(memory_fixtures.network_fixture(MemoryNetwork, memory_fixtures.a_context()))


@pytest.mark.parametrize("check", check_certificate.AUTHORITY_CHECKS, ids=str)
def test_authority(check: Check[check_certificate.AuthorityFixture]) -> None:
    check(memory_fixtures.authority_fixture(MemoryAuthority, memory_fixtures.a_context()))


@pytest.mark.parametrize("check", check_certificate.SECRET_STORE_CHECKS, ids=str)
def test_secret_store(check: Check[check_certificate.SecretStoreFixture]) -> None:
    check(memory_fixtures.secret_store_fixture(MemorySecretStore, memory_fixtures.a_context()))


@pytest.mark.parametrize("check", check_amphora.CHECKS, ids=str)
def test_amphora(check: Check[check_amphora.AmphoraFixture]) -> None:
    check(memory_fixtures.amphora_fixture(MemoryAmphoraDriver, memory_fixtures.a_context()))
