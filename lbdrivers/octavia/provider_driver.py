"""Our providers for a real Octavia: its some thirty callbacks edit a tree and submit it to the engine.

Laws: a callback checks, writes and returns; it neither waits for the backend nor reports a status, as
it runs inside the API's own transaction. What cannot be done is refused before anything is written.
The API lets one request at a time change a load balancer, so reading a tree and writing it back is safe.
What runs afterwards is in ``provider_agent``. Each provider is one small class with an entry point.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, NoReturn

from octavia_lib.api.drivers import exceptions, provider_base

from lbdrivers.drivers.profiles import ProfileKind
from lbdrivers.drivers.provider import ProfileSchemas, VipReserver
from lbdrivers.errors import DriverError, PermanentError, UnsupportedError
from lbdrivers.model.kinds import Kind
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.octavia import callbacks, edits, models, positions
from lbdrivers.octavia.pending import Pending, note
from lbdrivers.octavia.session import Session, current


@contextmanager
def _translated() -> Iterator[None]:
    """Errors of ours as octavia-lib's."""
    try:
        yield
    except UnsupportedError as error:
        raise exceptions.UnsupportedOptionError(
            user_fault_string=error.user, operator_fault_string=error.operator
        ) from error
    except DriverError as error:
        raise exceptions.DriverError(user_fault_string=error.user, operator_fault_string=error.operator) from error


def _not_offered(what: str) -> NoReturn:
    text = f"this provider does not offer {what}"
    raise exceptions.NotImplementedError(user_fault_string=text, operator_fault_string=text)


class OctaviaDriver(provider_base.ProviderDriver):  # type: ignore[misc]  # octavia-lib ships no types
    """A provider of ours as octavia-lib has it. A subclass names the provider.

    :param session: what the callbacks work with; by default this process's own.
    """

    provider: ClassVar[str]

    def __init__(self, session: Session | None = None) -> None:
        super().__init__()
        self._given = session

    @property
    def _session(self) -> Session:
        return self._given or current()

    # -- load balancers ---------------------------------------------------------------------------

    def create_vip_port(
        self,
        loadbalancer_id: str,
        project_id: str,
        vip_dictionary: Mapping[str, Any],
        additional_vip_dicts: list[dict[str, Any]] | None = None,
    ) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Reserve the VIP's port, where the provider does that itself."""
        with _translated():
            provider = self._session.provider(self.provider)
            if not isinstance(provider, VipReserver):
                _not_offered("VIP ports of its own")
            values = {**vip_dictionary, "loadbalancer_id": loadbalancer_id, "project_id": project_id}
            values["additional_vips"] = additional_vip_dicts or []
            port = provider.reserve_vip(models.load_balancer(values))
        (subnet_id, address), *others = ((one.subnet_id, one.address) for one in port.fixed)
        common = {"port_id": port.id, "network_id": port.network_id}
        vip = {"address": address, "subnet_id": subnet_id, **common}
        return (
            {**vip_dictionary, **{f"vip_{name}": value for name, value in vip.items()}},
            [{"subnet_id": subnet, "ip_address": other, **common} for subnet, other in others],
        )

    def loadbalancer_create(self, loadbalancer: Any) -> None:
        """Want the whole tree."""
        with _translated():
            tree = positions.canonical(models.load_balancer(loadbalancer))
            direct = {one.id: kind for kind, one in edits.inside(Kind.LOAD_BALANCER, tree)}
            self._submit(None, tree, direct, created={tree.id: Kind.LOAD_BALANCER})

    def loadbalancer_delete(self, loadbalancer: Any, cascade: bool = False) -> None:
        """Want it gone, with all that is in it; absent is success."""
        identity = loadbalancer.loadbalancer_id
        with _translated():
            session = self._session
            entry = session.store.get(identity)
            # Whatever the object holds goes along, known to us or not.
            direct = {identity: Kind.LOAD_BALANCER, **models.identities(loadbalancer)}
            if entry is not None:
                direct |= {one.id: kind for kind, one in edits.inside(Kind.LOAD_BALANCER, entry.desired)}
            session.engine.delete(identity)
            note(session.store.records, identity, Pending(direct, deleting=True))

    def loadbalancer_failover(self, loadbalancer_id: str) -> None:
        """Want it brought back to full redundancy."""
        with _translated():
            self._session.engine.failover(loadbalancer_id)
            direct = {loadbalancer_id: Kind.LOAD_BALANCER}
            note(self._session.store.records, loadbalancer_id, Pending(direct))

    def loadbalancer_update(self, old_loadbalancer: Any, new_loadbalancer: Any) -> None:
        """Change fields of the load balancer itself."""
        self._update(Kind.LOAD_BALANCER, new_loadbalancer, new_loadbalancer.loadbalancer_id)

    # -- flavors and availability zones -----------------------------------------------------------

    def get_supported_flavor_metadata(self) -> dict[str, str]:
        """The keys of a flavor, each with a description."""
        return self._capabilities(ProfileKind.FLAVOR)

    def validate_flavor(self, flavor_metadata: Mapping[str, Any]) -> None:
        """Refuse a flavor that the provider cannot carry out."""
        self._validate(ProfileKind.FLAVOR, flavor_metadata)

    def get_supported_availability_zone_metadata(self) -> dict[str, str]:
        """The keys of an availability zone, each with a description."""
        return self._capabilities(ProfileKind.AVAILABILITY_ZONE)

    def validate_availability_zone(self, availability_zone_metadata: Mapping[str, Any]) -> None:
        """Refuse a zone where the provider cannot be."""
        self._validate(ProfileKind.AVAILABILITY_ZONE, availability_zone_metadata)

    # -- what is inside ---------------------------------------------------------------------------

    def listener_create(self, listener: Any) -> None:
        """A new listener."""
        self._create(Kind.LISTENER, listener)

    def listener_delete(self, listener: Any) -> None:
        """A listener goes."""
        self._delete(Kind.LISTENER, listener)

    def listener_update(self, old_listener: Any, new_listener: Any) -> None:
        """A listener changes."""
        self._update(Kind.LISTENER, new_listener, new_listener.listener_id)

    def pool_create(self, pool: Any) -> None:
        """A new pool."""
        self._create(Kind.POOL, pool)

    def pool_delete(self, pool: Any) -> None:
        """A pool goes, with its members and its monitor."""
        self._delete(Kind.POOL, pool)

    def pool_update(self, old_pool: Any, new_pool: Any) -> None:
        """A pool changes."""
        self._update(Kind.POOL, new_pool, new_pool.pool_id)

    def member_create(self, member: Any) -> None:
        """A new member."""
        self._create(Kind.MEMBER, member)

    def member_delete(self, member: Any) -> None:
        """A member goes."""
        self._delete(Kind.MEMBER, member)

    def member_update(self, old_member: Any, new_member: Any) -> None:
        """A member changes."""
        self._update(Kind.MEMBER, new_member, new_member.member_id)

    def member_batch_update(self, pool_id: str, members: list[Any]) -> None:
        """The pool has exactly these members from now on."""
        with _translated():
            old = self._tree_with(Kind.POOL, pool_id)
            new = edits.with_members(old, pool_id, members)
            known = {member.id: member for member in old.pool(pool_id).members}
            wanted = {member.id: member for member in new.pool(pool_id).members}
            direct = dict.fromkeys(known.keys() | wanted.keys(), Kind.MEMBER)
            created = dict.fromkeys(sorted(wanted.keys() - known.keys())[:1], Kind.MEMBER)
            around = {pool_id: Kind.POOL} | callbacks.around(new, pool_id)
            self._submit(old, new, direct, around, created)

    def health_monitor_create(self, healthmonitor: Any) -> None:
        """A new health monitor."""
        self._create(Kind.HEALTH_MONITOR, healthmonitor)

    def health_monitor_delete(self, healthmonitor: Any) -> None:
        """A health monitor goes."""
        self._delete(Kind.HEALTH_MONITOR, healthmonitor)

    def health_monitor_update(self, old_healthmonitor: Any, new_healthmonitor: Any) -> None:
        """A health monitor changes."""
        self._update(Kind.HEALTH_MONITOR, new_healthmonitor, new_healthmonitor.healthmonitor_id)

    def l7policy_create(self, l7policy: Any) -> None:
        """A new policy, in its position."""
        self._create(Kind.L7POLICY, l7policy)

    def l7policy_delete(self, l7policy: Any) -> None:
        """A policy goes."""
        self._delete(Kind.L7POLICY, l7policy)

    def l7policy_update(self, old_l7policy: Any, new_l7policy: Any) -> None:
        """A policy changes, or moves."""
        self._update(Kind.L7POLICY, new_l7policy, new_l7policy.l7policy_id)

    def l7rule_create(self, l7rule: Any) -> None:
        """A new rule."""
        self._create(Kind.L7RULE, l7rule)

    def l7rule_delete(self, l7rule: Any) -> None:
        """A rule goes."""
        self._delete(Kind.L7RULE, l7rule)

    def l7rule_update(self, old_l7rule: Any, new_l7rule: Any) -> None:
        """A rule changes."""
        self._update(Kind.L7RULE, new_l7rule, new_l7rule.l7rule_id)

    # -- the work ---------------------------------------------------------------------------------

    def _capabilities(self, kind: ProfileKind) -> dict[str, str]:
        with _translated():
            return dict(self._schemas(kind).profile_capabilities(kind))

    def _validate(self, kind: ProfileKind, metadata: Mapping[str, Any]) -> None:
        with _translated():
            self._schemas(kind).validate_profile(kind, models.provider_data(kind, metadata))

    def _schemas(self, kind: ProfileKind) -> ProfileSchemas:
        provider = self._session.provider(self.provider)
        if not isinstance(provider, ProfileSchemas):
            _not_offered(f"any {kind}")
        return provider

    def _create(self, kind: Kind, thing: Any) -> None:
        values = models.given(thing)
        parent_kind = edits.PARENT_KIND[kind]
        with _translated():
            old = self._tree_with(parent_kind, values.get(models.identity_field(parent_kind)))
            new = edits.created(old, kind, thing)
            identity = values[models.identity_field(kind)]
            found = edits.find(new, identity)
            assert found is not None
            direct = {one.id: inner for inner, one in edits.inside(*found)}
            if kind is Kind.LISTENER:  # which may have brought a pool
                direct |= {one.id: Kind.POOL for one in new.pools if edits.find(old, one.id) is None}
            self._submit(old, new, direct, created={identity: kind})

    def _update(self, kind: Kind, thing: Any, identity: str) -> None:
        with _translated():
            old = self._tree_with(kind, identity)
            self._submit(old, edits.updated(old, kind, thing), {identity: kind})

    def _delete(self, kind: Kind, thing: Any) -> None:
        values = models.given(thing)
        identity, parent_kind = values[models.identity_field(kind)], edits.PARENT_KIND[kind]
        parent_id = values.get(models.identity_field(parent_kind))
        with _translated():
            session = self._session
            owner = session.store.owner_of(identity) or parent_id
            old = self._tree_with(parent_kind, parent_id) if owner == parent_id else self._tree_with(kind, identity)
            found = edits.find(old, identity)
            direct = {one.id: inner for inner, one in edits.inside(*found)} if found is not None else {}
            around = {parent_id: parent_kind} | callbacks.around(old, str(parent_id)) if parent_id else {}
            self._submit(old, edits.deleted(old, kind, identity), {identity: kind, **direct}, around)

    def _tree_with(self, kind: Kind, identity: object) -> LoadBalancer:
        """The wanted tree that has the object. :raises PermanentError: when none has."""
        store = self._session.store
        owner = identity if kind is Kind.LOAD_BALANCER else store.owner_of(str(identity))
        entry = store.get(str(owner)) if owner else None
        if entry is None or entry.id != owner:
            raise PermanentError(f"the {kind} {identity} is unknown to the provider {self.provider}")
        return entry.desired

    def _submit(
        self,
        old: LoadBalancer | None,
        new: LoadBalancer,
        direct: Mapping[str, Kind],
        parents: Mapping[str, Kind] | None = None,
        created: Mapping[str, Kind] | None = None,
    ) -> None:
        session = self._session
        session.engine.submit(new.model_copy(update={"provider": self.provider}))
        around = dict(parents or {})
        for identity in direct:
            around |= callbacks.around(old, identity) | callbacks.around(new, identity)
        if new.id not in direct:
            around[new.id] = Kind.LOAD_BALANCER
        kept = {one: kind for one, kind in around.items() if one not in direct}
        # After the tree: whoever reads the record must find what it speaks of. If we die between the
        # two, the API takes its request back and waits for nothing.
        note(session.store.records, new.id, Pending(direct, kept, created or {}))


class AmphoraDriver(OctaviaDriver):
    """The provider ``amphora``."""

    provider = "amphora"


class MemoryDriver(OctaviaDriver):
    """The provider ``memory``."""

    provider = "memory"
