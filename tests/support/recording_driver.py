"""A driver as a vendor writes one for Octavia: it records each call and reports from a thread, through DriverLibrary.

It knows octavia-lib and nothing of ours. What it is told it keeps, so that a test can look.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field
from typing import Any

from octavia_lib.api.drivers import driver_lib, exceptions, provider_base


@dataclass
class Backend:
    """What outlives a request: Octavia makes a driver for each.

    :param sockets: arguments of DriverLibrary.
    :param refused: methods that raise, with what.
    :param silent: whether nothing is ever reported.
    :param word: the provisioning status that is reported for what is created or changed.
    """

    sockets: dict[str, str]
    calls: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)
    refused: dict[str, Exception] = field(default_factory=dict)
    silent: bool = False
    word: str = "ACTIVE"
    failures: list[BaseException] = field(default_factory=list)

    def methods(self) -> list[str]:
        return [name for name, _arguments in self.calls]

    def make(self) -> RecordingDriver:
        return RecordingDriver(self)

    def library(self) -> driver_lib.DriverLibrary:
        return driver_lib.DriverLibrary(**self.sockets)


PLURALS = {
    "loadbalancer": "loadbalancers",
    "listener": "listeners",
    "pool": "pools",
    "member": "members",
    "health_monitor": "healthmonitors",
    "l7policy": "l7policies",
    "l7rule": "l7rules",
}


class RecordingDriver(provider_base.ProviderDriver):
    def __init__(self, backend: Backend) -> None:
        super().__init__()
        self.backend = backend

    def create_vip_port(self, loadbalancer_id, project_id, vip_dictionary, additional_vip_dicts):
        self._record("create_vip_port", (loadbalancer_id, project_id, vip_dictionary, additional_vip_dicts))
        number = int.from_bytes(hashlib.sha256(loadbalancer_id.encode()).digest()[:2])
        address = vip_dictionary.get("vip_address") or f"198.18.{number // 256}.{number % 256}"
        others = [
            {**one, "ip_address": one["ip_address"] or f"198.19.{number // 256}.{place}", "port_id": loadbalancer_id}
            for place, one in enumerate(additional_vip_dicts, start=1)
        ]
        return {**vip_dictionary, "vip_port_id": loadbalancer_id, "vip_address": address}, others

    def get_supported_flavor_metadata(self):
        return {"size": "How large.", "allow_member_sriov": "Whether members may be direct."}

    def validate_flavor(self, flavor_metadata):
        self._validate("validate_flavor", flavor_metadata, self.get_supported_flavor_metadata())

    def get_supported_availability_zone_metadata(self):
        return {"compute_zone": "Where."}

    def validate_availability_zone(self, availability_zone_metadata):
        known = self.get_supported_availability_zone_metadata()
        self._validate("validate_availability_zone", availability_zone_metadata, known)

    def _validate(self, name, metadata, known):
        self._record(name, (metadata,))
        for key in metadata:
            if key not in known:
                text = f"{key} is not a key that we know"
                raise exceptions.UnsupportedOptionError(user_fault_string=text, operator_fault_string=text)

    def member_batch_update(self, pool_id, members):
        self._record("member_batch_update", (pool_id, members))
        self._later(self._report_batch, pool_id, {member.member_id for member in members})

    def loadbalancer_failover(self, loadbalancer_id):
        self._record("loadbalancer_failover", (loadbalancer_id,))
        self._later(self._report, {"loadbalancers": [self._status(loadbalancer_id)]})

    def _record(self, name, arguments):
        self.backend.calls.append((name, arguments))
        if name in self.backend.refused:
            raise self.backend.refused[name]

    def _status(self, identity, deleted=False):
        return {"id": identity, "provisioning_status": "DELETED" if deleted else self.backend.word}

    def _later(self, work, *arguments):
        def guarded():
            try:
                work(*arguments)
            except Exception as failure:  # noqa: BLE001 a thread's failure is the test's
                self.backend.failures.append(failure)

        if not self.backend.silent:
            threading.Thread(target=guarded).start()

    def _report(self, status):
        self.backend.library().update_loadbalancer_status(status)

    def _report_batch(self, pool_id, wanted):
        library = self.backend.library()
        pool = library.get_pool(pool_id)
        held = {member["member_id"] for member in pool.members}
        assert wanted <= held, "the pool that get_pool gives lacks members of the request"
        status = {"members": [self._status(one, deleted=one not in wanted) for one in sorted(held)]}
        self._report(status | self._around(library, pool_id=pool_id))

    def _around(self, library, *, pool_id=None, listener_id=None, policy_id=None, loadbalancer_id=None):
        """Everything that the API marked as pending around the object."""
        status = {}
        if policy_id:
            policy = library.get_l7policy(policy_id)
            status["l7policies"] = [{"id": policy_id, "provisioning_status": "ACTIVE"}]
            listener_id = policy.listener_id
        if pool_id:
            loadbalancer_id = library.get_pool(pool_id).loadbalancer_id
            status["pools"] = [{"id": pool_id, "provisioning_status": "ACTIVE"}]
        if listener_id:
            loadbalancer_id = library.get_listener(listener_id).loadbalancer_id
        balancer = library.get_loadbalancer(loadbalancer_id)
        listeners = [one["listener_id"] for one in balancer.listeners]
        status["listeners"] = [{"id": one, "provisioning_status": "ACTIVE"} for one in listeners]
        status["loadbalancers"] = [{"id": loadbalancer_id, "provisioning_status": "ACTIVE"}]
        return status

    def _touched(self, kind, thing, deleted):
        """The object and what is in it."""
        found = {}

        def collect(kind, one):
            one = one if isinstance(one, dict) else one.to_dict(recurse=True)
            identity = one[{"health_monitor": "healthmonitor_id"}.get(kind, f"{kind}_id")]
            found.setdefault(PLURALS[kind], []).append(self._status(identity, deleted))
            inside = (("listeners", "listener"), ("pools", "pool"), ("members", "member"), ("l7policies", "l7policy"))
            for name, child in (*inside, ("rules", "l7rule")):
                for each in one.get(name) or []:
                    collect(child, each)
            if one.get("healthmonitor"):
                collect("health_monitor", one["healthmonitor"])

        collect(kind, thing)
        return found

    def _handle(self, kind, thing, deleted=False):
        def work():
            status = self._touched(kind, thing, deleted)
            if kind != "loadbalancer":
                parents = {
                    "listener": lambda: {"loadbalancer_id": thing.loadbalancer_id},
                    "pool": lambda: {"loadbalancer_id": thing.loadbalancer_id},
                    "member": lambda: {"pool_id": thing.pool_id},
                    "health_monitor": lambda: {"pool_id": thing.pool_id},
                    "l7policy": lambda: {"listener_id": thing.listener_id},
                    "l7rule": lambda: {"policy_id": thing.l7policy_id},
                }[kind]()
                for plural, records in self._around(self.backend.library(), **parents).items():
                    mine = {record["id"] for record in status.get(plural, [])}
                    more = [record for record in records if record["id"] not in mine]
                    status[plural] = [*status.get(plural, []), *more]
            self._report(status)

        self._later(work)


def _method(kind, verb):
    if verb == "update":

        def update(self, old, new):
            self._record(f"{kind}_update", (old, new))
            old_without_children = type(old)(**{k: v for k, v in vars(old).items() if not isinstance(v, list)})
            old_without_children.healthmonitor = None
            self._handle(kind, old_without_children)

        return update

    def create_or_delete(self, thing, *rest, **named):
        self._record(f"{kind}_{verb}", (thing, *rest, *named.values()))
        self._handle(kind, thing, verb == "delete")

    return create_or_delete


for _kind in PLURALS:
    for _verb in ("create", "update", "delete"):
        setattr(RecordingDriver, f"{_kind}_{_verb}", _method(_kind, _verb))

NOT_OFFERED = exceptions.NotImplementedError()
