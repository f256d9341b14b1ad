"""Values of the model outside documents: one canonical spelling, or an error; secrets stay unsaid."""

from __future__ import annotations

import pickle
import uuid

import pytest
from pydantic import TypeAdapter
from support.bundles import ident, listener, member, monitor, policy, pool, rule, tree

from lbdrivers.document.identity import NAMESPACE, child_id
from lbdrivers.model import values
from lbdrivers.model.changes import Created, Deleted, Kind, Ordered, Updated, apply_changes, diff, touched
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.model.secret import Secret
from lbdrivers.model.status import ProvisioningStatus, may_follow


@pytest.mark.parametrize(
    ("kind", "given", "canonical"),
    [
        (values.Uuid, uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (values.Uuid, "0" * 31 + "A", "00000000-0000-0000-0000-00000000000a"),
        (values.IpAddress, "2001:DB8:0::1", "2001:db8::1"),
        (values.Cidr, "192.0.2.7/24", "192.0.2.0/24"),
        (values.Netmask, "0.0.0.0", "0.0.0.0"),
        (values.Netmask, "FFFF::", "ffff::"),
        (values.ExpectedCodes, "200 , 201", "200,201"),
    ],
)
def test_one_spelling(kind: object, given: object, canonical: str) -> None:
    assert TypeAdapter(kind).validate_python(given) == canonical


@pytest.mark.parametrize(
    ("kind", "given", "words"),
    [
        (values.Uuid, 7, "not a UUID"),
        (values.RedirectUrl, "http://a:port/", "not a URL"),
        (values.RedirectUrl, "http://[::1/", "not a URL"),
        (values.RedirectUrl, "http://", "absolute"),
        (values.Netmask, "1.2.3", "address"),
        (values.Netmask, "0.0.0.255", "netmask"),
        (values.MemberAddress, "host", "address"),
        (values.Text, 12, "in quotes"),
    ],
)
def test_what_is_none_is_refused(kind: object, given: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        TypeAdapter(kind).validate_python(given)


def test_a_secret_is_never_said() -> None:
    secret = Secret(b"hunter2")
    assert {repr(secret), str(secret), f"{secret:>20}"} == {"Secret(***)"}
    assert secret.reveal() == b"hunter2"
    assert secret == Secret(b"hunter2") and secret != Secret(b"hunter3") and secret != b"hunter2"
    assert len({secret, Secret(b"hunter2")}) == 1
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(secret)


def test_a_parent_without_an_id_counts_like_the_root() -> None:
    assert child_id("no id", "pool", "a") == child_id(str(NAMESPACE), "pool", "a")


def test_statuses_follow_their_table() -> None:
    assert may_follow(ProvisioningStatus.ACTIVE, ProvisioningStatus.ACTIVE)
    assert not may_follow(ProvisioningStatus.PENDING_DELETE, ProvisioningStatus.ACTIVE)


PROBED = pool(members=(member("a"), member("b", "192.0.2.2")), healthmonitor=monitor())
TREE = tree((listener(default_pool_id=PROBED.id),), (PROBED,))


def test_what_changes_touch() -> None:
    heavier = member("a", weight=9)
    newer = tree((listener(default_pool_id=PROBED.id),), (pool(members=(member("c", "192.0.2.3"), heavier)),))
    found = touched((*diff(TREE, newer), Ordered(Kind.MEMBER, PROBED.id, ())))
    assert found == {
        ident("c"): Kind.MEMBER,
        ident("a"): Kind.MEMBER,
        ident("b"): Kind.MEMBER,
        ident("monitor TCP"): Kind.HEALTH_MONITOR,
    }


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ((Deleted(Kind.MEMBER, ident("x"), PROBED.id),), "nothing of the id"),
        ((Updated(Kind.POOL, ident("x"), TREE.id, ()),), "nothing of the id"),
        ((Ordered(Kind.MEMBER, ident("x"), ()),), "nothing of the id"),
        ((Created(Kind.MEMBER, PROBED.id, member("a")),), "has the id"),
        ((Created(Kind.MEMBER, ident("x"), member("d")),), "nothing of the id"),
        ((Created(Kind.HEALTH_MONITOR, PROBED.id, monitor("PING")),), "a health monitor already"),
    ],
)
def test_changes_of_another_tree_are_refused(changes: tuple[Deleted, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        apply_changes(TREE, changes)


def test_policies_and_rules_come_and_go() -> None:
    """Each prefix of the changes is a valid tree; in the end there is what was wanted."""
    one, two = rule("1", "PATH", "EQUAL_TO", "/1"), rule("2", "PATH", "EQUAL_TO", "/2")
    first = listener(
        default_pool_id=PROBED.id, l7policies=(policy("a", "REJECT", one, two), policy("b", "REJECT", position=2))
    )
    second = listener(l7policies=(policy("a", "REJECT", two, rule("3", "PATH", "EQUAL_TO", "/3")),))
    old, new = tree((first,), (PROBED,)), tree((second,), (pool("other"),))
    changes = diff(old, new)
    for length in range(len(changes) + 1):
        assert isinstance(apply_changes(old, changes[:length]), LoadBalancer)
    assert apply_changes(old, changes) == new
    assert {change.id for change in changes if isinstance(change, Deleted)} >= {one.id, ident("policy b"), PROBED.id}


def test_a_pool_that_changes_its_protocol_lets_go_of_its_listener_first() -> None:
    """Where it stays and its listener speaks another protocol afterwards."""
    tcp = pool(protocol="TCP")
    old = tree((listener(default_pool_id=ident("pool"), protocol="HTTP"),), (pool(),))
    new = tree((listener("tcp", 81, protocol="TCP", default_pool_id=tcp.id), listener()), (tcp,))
    assert apply_changes(old, diff(old, new)) == new
