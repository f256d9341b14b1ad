"""The check of the checks: each driver here breaks one law of its contract, and this law alone notices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from support import memory_fixtures

from lbdrivers.drivers.amphora import ApplianceReport, Bundle, Facts, Interface
from lbdrivers.drivers.certificate import Credential, TlsContainer, Trust
from lbdrivers.drivers.provider import Mildness
from lbdrivers.errors import PermanentError
from lbdrivers.memory.amphora import MemoryAmphoraDriver
from lbdrivers.memory.certificate import MemoryAuthority, _stored
from lbdrivers.memory.cloud import StoredSecret
from lbdrivers.memory.compute import MemoryCompute
from lbdrivers.memory.network import MemoryNetwork
from lbdrivers.memory.secret_store import MemorySecretStore
from lbdrivers.model.infra import FixedAddress, Machine, MachineRequest, Network, Port, PortRequest
from lbdrivers.model.secret import Secret
from lbdrivers.testing import check_amphora, check_certificate, check_compute, check_network
from lbdrivers.testing.check import Check
from lbdrivers.testing.surroundings import new_id

# --- compute


class DetachesStrictly(MemoryCompute):
    def detach(self, name: str, port: str) -> None:
        if self.find(name) is None:
            raise PermanentError("no such machine")
        super().detach(name, port)


class MakesDoubles(MemoryCompute):
    def ensure(self, request: MachineRequest) -> Machine:
        return replace(super().ensure(request), id=new_id())


class TellsAnotherAddress(MemoryCompute):
    def find(self, name: str) -> Machine | None:
        found = super().find(name)
        return found and replace(found, address=f"fd00::{found.id[:4]}")


class NeverUnplugs(MemoryCompute):
    def detach(self, name: str, port: str) -> None:
        return


class LeavesTheDeadAsTheyAre(MemoryCompute):
    def ensure(self, request: MachineRequest) -> Machine:
        found = self.find(request.name)
        return found if found is not None else super().ensure(request)


class TakesPortsAlong(MemoryCompute):
    def remove(self, name: str) -> None:
        self.cloud.machines.remove(name)


class EndsTheOthers(MemoryCompute):
    def remove(self, name: str) -> None:
        super().remove(name)
        for other in self.known():
            self.kill(other)


class BootsToSeeWhetherItCan(MemoryCompute):
    def check_request(self, request: MachineRequest) -> None:
        self.ensure(request)


COMPUTE = {
    check_compute.check_the_absent_is_no_error: DetachesStrictly,
    check_compute.check_ensure_makes_it_once: MakesDoubles,
    check_compute.check_the_address_is_the_first_ports: TellsAnotherAddress,
    check_compute.check_ports_are_plugged_and_unplugged: NeverUnplugs,
    check_compute.check_a_dead_machine_is_started_again: LeavesTheDeadAsTheyAre,
    check_compute.check_remove_leaves_the_ports: TakesPortsAlong,
    check_compute.check_machines_are_apart: EndsTheOthers,
    check_compute.check_what_cannot_boot_is_refused_first: BootsToSeeWhetherItCan,
}

# --- network


class HasATinyMtu(MemoryNetwork):
    def network(self, network_id: str) -> Network:
        return replace(super().network(network_id), mtu=100)


class InventsSubnets(MemoryNetwork):
    """The memory network itself, where the fixture says that a subnet is absent."""


class SharesOneMac(MemoryNetwork):
    def _find(self, name: str) -> Port | None:
        found = super()._find(name)
        return found and replace(found, mac="fa:16:3e:00:00:01")

    def ensure_port(self, request: PortRequest) -> Port:
        return replace(super().ensure_port(request), mac="fa:16:3e:00:00:01")

    def ports(self) -> tuple[Port, ...]:
        return tuple(replace(port, mac="fa:16:3e:00:00:01") for port in super().ports())


class ListsNothing(MemoryNetwork):
    def ports(self) -> tuple[Port, ...]:
        return ()


class GivesAnotherAddress(MemoryNetwork):
    def ensure_port(self, request: PortRequest) -> Port:
        try:
            return super().ensure_port(request)
        except PermanentError:
            anything = tuple(FixedAddress(one.subnet_id) for one in request.fixed)
            return super().ensure_port(replace(request, fixed=anything))


class NeverChangesAllowedAddresses(MemoryNetwork):
    def ensure_port(self, request: PortRequest) -> Port:
        found = self.port(request.name)
        return found if found is not None else super().ensure_port(request)


class RemembersTheDead(MemoryNetwork):
    def remove_port(self, name: str) -> None:
        found = self.cloud.ports.get(name)
        super().remove_port(name)
        if found is not None:
            self.cloud.secrets.change(f"ghost/{name}", lambda _old: StoredSecret({"id": found.id}))

    def port(self, name: str) -> Port | None:
        ghost = self.cloud.secrets.get(f"ghost/{name}")
        return super().port(name) or (ghost and Port(ghost.parts["id"], name, "", "", ()))


NETWORK = {
    check_network.check_subnets_and_networks_agree: HasATinyMtu,
    check_network.check_the_absent_is_no_error: InventsSubnets,
    check_network.check_a_port_gets_a_free_address: SharesOneMac,
    check_network.check_ensuring_again_changes_nothing: ListsNothing,
    check_network.check_a_wanted_address_is_given_or_refused: GivesAnotherAddress,
    check_network.check_addresses_stay: NeverChangesAllowedAddresses,
    check_network.check_remove_frees_the_address: RemembersTheDead,
}

# --- certificates


class HasOneAuthority(MemoryAuthority):
    def authority(self, role: str) -> StoredSecret:
        return super().authority("server")


class ForgetsTheName(MemoryAuthority):
    def issue_server(self, common_name: str, validity: float) -> Credential:
        return super().issue_server("agent.invalid", validity)


class TrustsEverybody(MemoryAuthority):
    """Certificates without a purpose, and agents that trust both authorities."""

    def trust(self) -> Trust:
        found = super().trust()
        return replace(found, client_ca=found.client_ca + found.server_ca)

    def issue(self, role: str, common_name: str, validity: float) -> StoredSecret:
        parts = self.authority(role).parts
        issuer = x509.load_pem_x509_certificate(parts["certificate"].encode()).subject.rdns[0]
        signer = serialization.load_pem_private_key(parts["key"].encode(), None)
        assert isinstance(signer, ec.EllipticCurvePrivateKey)
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(common_name, str(next(iter(issuer)).value), key.public_key(), validity)
        names = x509.SubjectAlternativeName([x509.DNSName(common_name)])
        certificate = builder.add_extension(names, critical=False).sign(signer, hashes.SHA256())
        return _stored(common_name, certificate, key, self._now() + validity)


class IssuesForADay(MemoryAuthority):
    def issue_server(self, common_name: str, validity: float) -> Credential:
        return super().issue_server(common_name, 86400.0)


class Readable(Secret):
    def __repr__(self) -> str:
        return self.reveal().decode()


class ShowsItsKeys(MemoryAuthority):
    def client(self) -> Credential:
        found = super().client()
        return replace(found, pem=Readable(found.pem.reveal()))


AUTHORITY = {
    check_certificate.check_trust_is_constant: HasOneAuthority,
    check_certificate.check_agents_and_controllers_know_each_other: ForgetsTheName,
    check_certificate.check_strangers_are_refused: TrustsEverybody,
    check_certificate.check_validity_is_as_asked: IssuesForADay,
    check_certificate.check_keys_are_not_shown: ShowsItsKeys,
}


class LosesTheFirstName(MemorySecretStore):
    def tls_container(self, reference: str) -> TlsContainer:
        return replace(super().tls_container(reference), primary_cn="")


class LosesThePassphrase(MemorySecretStore):
    def tls_container(self, reference: str) -> TlsContainer:
        return replace(super().tls_container(reference), passphrase=None)


class TurnsTheChainRound(MemorySecretStore):
    def tls_container(self, reference: str) -> TlsContainer:
        found = super().tls_container(reference)
        return replace(found, intermediates=found.intermediates[::-1])


class TrimsSecrets(MemorySecretStore):
    def secret(self, reference: str) -> Secret:
        return Secret(super().secret(reference).reveal().strip())


class InventsCertificates(MemorySecretStore):
    def _referenced(self, reference: str) -> StoredSecret:
        found = self.cloud.secrets.get(f"user/{reference}")
        return found or super()._referenced(f"memory:{reference.removeprefix('memory:')}")


SECRET_STORE = {
    check_certificate.check_a_certificate_is_fetched_whole: LosesTheFirstName,
    check_certificate.check_an_encrypted_key_comes_with_its_passphrase: LosesThePassphrase,
    check_certificate.check_intermediates_are_in_order: TurnsTheChainRound,
    check_certificate.check_a_plain_secret_is_fetched: TrimsSecrets,
    check_certificate.check_an_absent_reference_is_refused: InventsCertificates,
}

# --- amphorae


class HasNoVersion(MemoryAmphoraDriver):
    def facts(self, machine: Machine, amphora_id: str) -> Facts:
        return replace(super().facts(machine, amphora_id), haproxy_version="")


class SaysNothingAtFirst(MemoryAmphoraDriver):
    def configure(self, machine: Machine, bundle: Bundle) -> Mildness:
        mildness = super().configure(machine, bundle)
        return Mildness.NOTHING if mildness is Mildness.RESTART else mildness


class AlwaysRestarts(MemoryAmphoraDriver):
    def configure(self, machine: Machine, bundle: Bundle) -> Mildness:
        mildness = super().configure(machine, bundle)
        return mildness if mildness is Mildness.NOTHING else Mildness.RESTART


class NeverHoldsTheVip(MemoryAmphoraDriver):
    def report(self, machine: Machine, amphora_id: str) -> ApplianceReport:
        return replace(super().report(machine, amphora_id), holds_vip=False)


class KeepsTheLastListener(MemoryAmphoraDriver):
    def configure(self, machine: Machine, bundle: Bundle) -> Mildness:
        if not bundle.load_balancer.pools:
            return Mildness.RELOAD
        return super().configure(machine, bundle)


class PlugsWhatIsNotThere(MemoryAmphoraDriver):
    def plug(self, machine: Machine, amphora_id: str, interfaces: tuple[Interface, ...]) -> None:
        super().plug(machine, amphora_id, interfaces[:1])


class RestartsForACertificate(MemoryAmphoraDriver):
    def rotate_certificate(self, machine: Machine, amphora_id: str, pem: Secret) -> None:
        appliance = self._appliance(machine, amphora_id)
        self._store(replace(appliance, reloads=appliance.reloads + 1))


class RestartsForAConfiguration(MemoryAmphoraDriver):
    def reconfigure(self, machine: Machine, amphora_id: str, config: Secret) -> None:
        appliance = self._appliance(machine, amphora_id)
        self._store(replace(appliance, reloads=appliance.reloads + 1))


class ForetellsAnother(MemoryAmphoraDriver):
    def revisions(self, bundle: Bundle, facts: Facts) -> dict[str, str]:
        return {name: revision[::-1] for name, revision in super().revisions(bundle, facts).items()}


class AnswersForTheDead(MemoryAmphoraDriver):
    def facts(self, machine: Machine, amphora_id: str) -> Facts:
        return Facts("amphora", "1.0", "2.6", "2.2")


AMPHORA = {
    check_amphora.check_facts_are_told: HasNoVersion,
    check_amphora.check_configure_twice_does_nothing: SaysNothingAtFirst,
    check_amphora.check_changes_are_mild: AlwaysRestarts,
    check_amphora.check_the_vip_is_held: NeverHoldsTheVip,
    check_amphora.check_everything_can_be_taken_out: KeepsTheLastListener,
    check_amphora.check_a_port_that_is_not_there_is_waited_for: PlugsWhatIsNotThere,
    check_amphora.check_a_new_certificate_disturbs_nothing: RestartsForACertificate,
    check_amphora.check_a_new_agent_configuration_disturbs_nothing: RestartsForAConfiguration,
    check_amphora.check_revisions_are_foretold: ForetellsAnother,
    check_amphora.check_the_dead_do_not_answer: AnswersForTheDead,
}


def absent_subnet(driver: type[MemoryNetwork], context: Any) -> check_network.NetworkFixture:
    return memory_fixtures.network_fixture(driver, context, new_id() if driver is InventsSubnets else None)


#: contract -> its checks, who breaks each, and how a fixture is made of a driver.
KITS: dict[str, tuple[Sequence[Check[Any]], dict[Any, type], Callable[[Any, Any], Any]]] = {
    "compute": (check_compute.CHECKS, COMPUTE, memory_fixtures.compute_fixture),
    "network": (check_network.CHECKS, NETWORK, absent_subnet),
    "authority": (check_certificate.AUTHORITY_CHECKS, AUTHORITY, memory_fixtures.authority_fixture),
    "secret store": (check_certificate.SECRET_STORE_CHECKS, SECRET_STORE, memory_fixtures.secret_store_fixture),
    "amphora": (check_amphora.CHECKS, AMPHORA, memory_fixtures.amphora_fixture),
}
CASES = [(kit, law, broken) for kit, (_, mutants, _) in KITS.items() for law, broken in mutants.items()]


def breaks(check: Check[Any], fixture: Any) -> bool:
    try:
        check(fixture)
    except (AssertionError, PermanentError):
        return True
    return False


@pytest.mark.parametrize(("kit", "law", "broken"), CASES, ids=lambda one: getattr(one, "__name__", one))
def test_one_law_and_no_other_finds_it(kit: str, law: Any, broken: type) -> None:
    checks, _, make = KITS[kit]
    found = [check.function for check in checks if breaks(check, make(broken, memory_fixtures.a_context()))]
    assert found == [law]


@pytest.mark.parametrize("kit", KITS)
def test_every_law_is_broken_by_somebody(kit: str) -> None:
    checks, mutants, _ = KITS[kit]
    assert set(mutants) == {check.function for check in checks}
    assert len(set(mutants.values())) == len(mutants)
