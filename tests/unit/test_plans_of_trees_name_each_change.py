"""What is planned for a running load balancer: every change by name, with how mildly it is done."""

from __future__ import annotations

import pytest
from support.bundles import bundle, facts, listener, member, policy, pool, rule, tree

from lbdrivers.drivers.amphora import TlsFiles, TlsPart
from lbdrivers.drivers.provider import Mildness
from lbdrivers.model.resources import LoadBalancer, Member
from lbdrivers.model.secret import Secret
from lbdrivers_amphora.decide.datagrams import DatagramDriver
from lbdrivers_amphora.decide.plan import renewal, tree_actions

A, B, NAMELESS = member("a"), member("b", "192.0.2.2"), member("", "192.0.2.3")


def web(*members: Member, **fields: object) -> LoadBalancer:
    target = pool(members=members)
    return tree((listener(default_pool_id=target.id, **fields),), (target,))


def policies(*names: str) -> LoadBalancer:
    made = tuple(
        policy(name, "REJECT", rule(name, "PATH", "EQUAL_TO", f"/{name}"), position=number)
        for number, name in enumerate(names, 1)
    )
    return web(A, l7policies=made)


@pytest.mark.parametrize(
    ("applied", "desired", "planned"),
    [
        (web(A), web(A), []),
        (web(A), web(A, B), [("member b", "create", Mildness.RUNTIME)]),
        (web(A, B), web(B), [("member a", "delete", Mildness.RUNTIME)]),
        (web(A), web(A, NAMELESS), [("member 192.0.2.3:80", "create", Mildness.RUNTIME)]),
        (web(A), web(member("a", weight=3)), [("member a", "update weight 1 -> 3", Mildness.RUNTIME)]),
        (web(A, B), web(B, A), [("pool pool", "reorder its members", Mildness.NOTHING)]),
    ],
)
def test_actions(applied: LoadBalancer, desired: LoadBalancer, planned: list[tuple[str, str, Mildness]]) -> None:
    found = [
        (one.subject, one.action, one.mildness)
        for one in tree_actions(applied, desired, bundle, facts(), DatagramDriver.NFTABLES)
    ]
    assert found == planned


def test_policies_need_a_reload() -> None:
    found = list(tree_actions(policies("a"), policies("a", "b"), bundle, facts(), DatagramDriver.NFTABLES))
    assert {one.action for one in found} == {"create"}
    assert Mildness.RELOAD in {one.mildness for one in found}


def datagrams(*members: Member, **fields: object) -> LoadBalancer:
    each = pool(protocol="UDP", members=members)
    return tree((listener("dns", 53, protocol="UDP", default_pool_id=each.id, **fields),), (each,))


@pytest.mark.parametrize(
    ("driver", "capability", "mildness"),
    [
        (DatagramDriver.NFTABLES, "nftables", Mildness.RUNTIME),
        (DatagramDriver.KEEPALIVED_LVS, "ipvs", Mildness.RESTART),
        (DatagramDriver.KEEPALIVED_LVS, "nftables", Mildness.RUNTIME),
    ],
)
def test_datagrams_are_changed_as_mildly_as_their_engine_can(
    driver: DatagramDriver, capability: str, mildness: Mildness
) -> None:
    told = facts(capabilities=frozenset({capability}))
    found = list(tree_actions(datagrams(A), datagrams(A, B, connection_limit=5), bundle, told, driver))
    assert sorted((one.subject, one.mildness) for one in found) == [("listener dns", mildness), ("member b", mildness)]
    assert list(tree_actions(datagrams(A), datagrams(A), bundle, told, driver)) == []


def test_a_policy_that_changes_is_told_field_by_field() -> None:
    (old,) = policies("a").listeners[0].l7policies
    renamed = web(A, l7policies=(old.model_copy(update={"name": "b"}),))
    (found,) = tree_actions(policies("a"), renamed, bundle, facts(), DatagramDriver.NFTABLES)
    assert (found.subject, found.action) == ("l7policy b", "update name a -> b")


def test_another_load_balancer_is_no_change_of_this_one() -> None:
    other = web(A).model_copy(update={"id": A.id})
    with pytest.raises(ValueError, match="removal is another verb"):
        list(tree_actions(web(A), other, bundle, facts(), DatagramDriver.NFTABLES))


def https(**fields: object) -> LoadBalancer:
    return web(A, protocol="TERMINATED_HTTPS", **{"default_tls_container_ref": "www", **fields})


@pytest.mark.parametrize(
    ("before", "after", "mildness"),
    [
        ({}, {"default_tls_container_ref": "next"}, Mildness.RUNTIME),
        ({}, {"sni_container_refs": ("api",)}, Mildness.RUNTIME),
        ({"sni_container_refs": ("api", "shop")}, {"sni_container_refs": ("shop",)}, Mildness.RUNTIME),
        ({"sni_container_refs": ("shop",)}, {"sni_container_refs": ("api", "shop")}, Mildness.RELOAD),
        ({}, {"client_ca_tls_container_ref": "clients"}, Mildness.RELOAD),
        ({}, {"hsts_max_age": 1}, Mildness.RELOAD),
    ],
)
def test_certificates_change_as_mildly_as_the_agent_will_do_it(
    before: dict[str, object], after: dict[str, object], mildness: Mildness
) -> None:
    found = tree_actions(https(**before), https(**after), bundle, facts(), DatagramDriver.NFTABLES)
    assert [one.mildness for one in found] == [mildness]


def test_certificates_are_renewed_where_an_appliance_shows_others() -> None:
    content = Secret(b"new")
    made = bundle(https(), tls=TlsFiles({"new.pem": content}, {}))
    wanted = {"haproxy.cfg": "1", "new.pem": "2"}
    assert list(renewal(made, wanted, wanted)) == []
    assert list(renewal(made, wanted, {**wanted, "haproxy.cfg": "0"})) == []
    (found,) = renewal(made, wanted, {"haproxy.cfg": "1", "old.pem": "3"})
    assert (found.action, found.mildness) == ("renew certificates", Mildness.RUNTIME)


@pytest.mark.parametrize(
    ("part", "mildness"),
    [
        (TlsPart.CERTIFICATE, Mildness.RUNTIME),
        (TlsPart.AUTHORITIES, Mildness.RELOAD),
        (TlsPart.REVOCATIONS, Mildness.RELOAD),
    ],
)
def test_who_is_trusted_changes_by_a_reload(part: TlsPart, mildness: Mildness) -> None:
    made = bundle(https(), tls=TlsFiles({"new.pem": Secret(b"new")}, {(part, "reference"): "new.pem"}))
    (found,) = renewal(made, {"new.pem": "2"}, {"new.pem": "1"})
    assert found.mildness is mildness
