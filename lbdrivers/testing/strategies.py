"""Hypothesis strategies: values and trees, limited to a set of features.

Law: everything drawn is valid by the model, and ``required(tree) <= features``. Text fields draw
hostile characters (quotes, ``#``, ``%[env(HOME)]``) as readily as plain ones.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import zip_longest
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from lbdrivers.features import ALL, Feature, asks_elsewhere
from lbdrivers.model.provider_data import ProviderData
from lbdrivers.model.resources import (
    COMPATIBLE_POOLS,
    DATAGRAM_POOLS,
    HTTP_LISTENERS,
    INSERTABLE_HEADERS,
    INSERTABLE_TLS_HEADERS,
    UDP_CONNECT_MINIMUM_DELAY,
    AlpnProtocol,
    ClientAuthentication,
    CompareType,
    HealthMonitor,
    HttpMethod,
    L7Policy,
    L7Rule,
    Listener,
    ListenerProtocol,
    LoadBalancer,
    Member,
    MonitorType,
    PersistenceType,
    PolicyAction,
    Pool,
    PoolProtocol,
    RuleType,
    SessionPersistence,
    TlsVersion,
)
from lbdrivers.testing.examples import algorithms, feature_of
from lbdrivers.testing.surroundings import ANYWHERE, Surroundings, identity

#: What a renderer must carry literally: each has meant something to HAProxy, a shell or keepalived.
HOSTILE = ("%[env(HOME)]", "#", '"', "'", "\\", " ", "${HOME}", "$(id)", "%", "{", "}", ";", "\u0663", "\u00e9", "]")


@cache
def texts(max_size: int = 12) -> SearchStrategy[str]:
    """One line of printable text, hostile characters included."""
    plain = st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"), exclude_characters="\ufeff")
    return st.lists(st.one_of(st.sampled_from(HOSTILE), plain), max_size=max_size).map(lambda parts: "".join(parts))


def addresses() -> SearchStrategy[str]:
    """IPv4 and IPv6 addresses in canonical spelling."""
    return st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)


def cidrs() -> SearchStrategy[str]:
    """Networks in canonical spelling."""
    narrow = st.tuples(st.ip_addresses(v=4), st.integers(0, 32))
    wide = st.tuples(st.ip_addresses(v=6), st.integers(0, 128))
    return st.one_of(narrow, wide).map(lambda pair: str(ipaddress.ip_network(pair, strict=False)))


@cache
def tokens() -> SearchStrategy[str]:
    """Names of headers and cookies (RFC 9110 token without the single quote)."""
    return st.text("abcXYZ019!#$%&*+.^_`|~-", min_size=1, max_size=12)


@cache
def host_names() -> SearchStrategy[str]:
    """Host names of one to three labels."""
    label = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9-]{0,8}[A-Za-z0-9])?", fullmatch=True)
    return st.lists(label, min_size=1, max_size=3).map(".".join)


@cache
def url_paths() -> SearchStrategy[str]:
    """URL paths with every character that RFC 3986 allows."""
    piece = st.one_of(st.sampled_from(tuple("abZ09-._~!$&'()*+,;=:@/?")), st.sampled_from(("%20", "%C3%A9", "%5B")))
    return st.lists(piece, max_size=10).map(lambda pieces: "/" + "".join(pieces))


@cache
def redirect_urls() -> SearchStrategy[str]:
    """Absolute URLs, HAProxy's own format tags among their characters."""
    rest = st.lists(st.sampled_from(("a", "%20", "%[env(HOME)]", "?", "#", '"', "'", "\\", "{", "$")), max_size=6)
    return st.tuples(st.sampled_from(("http", "https")), host_names(), rest).map(
        lambda parts: f"{parts[0]}://{parts[1]}/{''.join(parts[2])}"
    )


@cache
def expected_codes() -> SearchStrategy[str]:
    """One code, a list, or a range."""
    code = st.integers(100, 599)
    ranges = st.tuples(code, code).map(lambda pair: f"{min(pair)}-{max(pair)}")
    return st.one_of(st.lists(code, min_size=1, max_size=4).map(lambda codes: ",".join(map(str, codes))), ranges)


def provider_data() -> SearchStrategy[ProviderData]:
    """Data of flavors and zones, with keys and values of every kind of JSON."""
    numbers = st.integers(-(10**18) + 1, 10**18 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    plain = st.none() | st.booleans() | numbers | texts(4)
    value = st.recursive(
        plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts(3), inner, max_size=3), max_leaves=6
    )
    return st.dictionaries(texts(4), value, max_size=4).map(ProviderData)


#: Without SSLv3, which no library serves any more.
_TLS_VERSIONS = tuple(TlsVersion)[1:]
#: Each has something for every version.
_CIPHERS = (
    "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_AES_256_GCM_SHA384:ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE+AESGCM:!aNULL:-DHE@STRENGTH",
)
_TLS_RULES = (RuleType.SSL_CONN_HAS_CERT, RuleType.SSL_VERIFY_RESULT, RuleType.SSL_DN_FIELD)
_PROFILES = ("flavor_id", "flavor_data", "availability_zone", "availability_zone_data")


class Drawing:
    """What is shared while one tree is drawn.

    :param tree: the load balancer as it is, when it is there; its flavor and zone stay.
    """

    def __init__(
        self,
        draw: DrawFn,
        features: frozenset[Feature],
        around: Surroundings,
        taken: Sequence[str],
        tree: LoadBalancer | None = None,
    ) -> None:
        self.draw = draw
        self.features = features
        self.around = around
        self._born = tree is not None
        self._profiles = {name: getattr(tree, name) for name in _PROFILES if getattr(tree, name, None) is not None}
        self._groups = tree is not None and bool(tree.vip_sg_ids)
        self._identities = self._fresh(frozenset(taken))

    def _fresh(self, taken: frozenset[str]) -> Iterator[str]:
        if self.around.identities is not None:
            free = [one for one in self.around.identities if one not in taken]
            yield from self.draw(st.permutations(free))
            return
        start = self.draw(st.integers(2**32, 2**64)) << 32
        yield from (one for one in map(identity, range(start, start + 2**20)) if one not in taken)

    def new_id(self) -> str | None:
        """An unused id, or None when all are used."""
        return next(self._identities, None)

    def has(self, feature: Feature) -> bool:
        """Whether the feature is allowed and, by the toss of a coin, to be used."""
        return feature in self.features and self.draw(st.booleans())

    def common(self, new_id: str) -> dict[str, Any]:
        return {
            "id": new_id,
            "name": self.draw(texts(4)),
            "admin_state_up": self.draw(st.sampled_from((True, True, True, False))),
            "tags": tuple(self.draw(st.lists(texts(4), max_size=2))),
        }

    def several(self, make: Callable[[], Any], most: int) -> tuple[Any, ...]:
        """Up to ``most`` of what ``make`` gives, without the Nones."""
        made = (make() for _ in range(self.draw(st.integers(0, most))))
        return tuple(one for one in made if one is not None)

    def member(self, taken: set[tuple[str, int]]) -> Member | None:
        address = self.draw(st.sampled_from(self.around.member_addresses))
        port = self.draw(st.sampled_from((80, 81)))
        if (address, port) in taken or (new_id := self.new_id()) is None:
            return None
        taken.add((address, port))
        fields = self.common(new_id) | {"address": address, "protocol_port": port}
        if self.draw(st.booleans()):
            fields["subnet_id"] = self.draw(st.sampled_from(self.around.member_subnet_ids))
        if self.has(Feature.MEMBER_WEIGHT):
            fields["weight"] = self.draw(st.integers(0, 256))
        if self.has(Feature.MEMBER_BACKUP):
            fields["backup"] = True
        if self.has(Feature.MEMBER_MONITOR_ADDRESS):
            fields["monitor_port"] = self.draw(st.integers(1, 65535))
            fields["monitor_address"] = self.draw(st.sampled_from((None, *self.around.member_addresses)))
        if self._flavor_says("allow_member_sriov") and self.has(Feature.MEMBER_SRIOV):
            fields["request_sriov"] = True
        return Member(**fields)

    def monitor(self, protocol: PoolProtocol) -> HealthMonitor | None:
        only_datagram = {MonitorType.UDP_CONNECT, MonitorType.SCTP}
        fitting = only_datagram | {MonitorType.TCP, MonitorType.HTTP} if protocol in DATAGRAM_POOLS else None
        choices = [
            kind
            for kind in MonitorType
            if feature_of("monitor", kind) in self.features
            and (kind in fitting if fitting is not None else kind not in only_datagram)
            and (Feature.MONITOR_ACROSS_PROTOCOLS in self.features or not asks_elsewhere(protocol, kind))
        ]
        if not choices or not self.draw(st.booleans()) or (new_id := self.new_id()) is None:
            return None
        kind = self.draw(st.sampled_from(choices))
        fields = self.common(new_id) | {"type": kind, "max_retries": self.draw(st.integers(1, 10))}
        least = UDP_CONNECT_MINIMUM_DELAY if kind is MonitorType.UDP_CONNECT else 1
        fields |= {"delay": self.draw(st.integers(least, 60)), "timeout": self.draw(st.integers(1, 60))}
        fields["max_retries_down"] = self.draw(st.integers(1, 10))
        if kind in (MonitorType.HTTP, MonitorType.HTTPS):
            fields["url_path"] = self.draw(st.none() | url_paths())
            fields["expected_codes"] = self.draw(st.none() | expected_codes())
            fields["http_method"] = self.draw(st.none() | st.sampled_from(HttpMethod))
            fields["http_version"] = self.draw(st.sampled_from((None, 1.0, 1.1)))
            if fields["http_version"] == 1.1:
                fields["domain_name"] = self.draw(st.none() | host_names())
        return HealthMonitor(**fields)

    def persistence(self, protocol: PoolProtocol) -> SessionPersistence | None:
        datagram = protocol in DATAGRAM_POOLS
        choices = [
            kind
            for kind in PersistenceType
            if feature_of("persistence", kind) in self.features and (not datagram or kind is PersistenceType.SOURCE_IP)
        ]
        if not choices or not self.draw(st.booleans()):
            return None
        kind = self.draw(st.sampled_from(choices))
        return SessionPersistence(
            type=kind,
            cookie_name=self.draw(tokens()) if kind is PersistenceType.APP_COOKIE else None,
            persistence_timeout=self.draw(st.none() | st.integers(1, 3600)) if datagram else None,
            persistence_granularity="255.255.255.0" if datagram and self.has(Feature.PERSISTENCE_GRANULARITY) else None,
        )

    def pool(self) -> Pool | None:
        protocols = [kind for kind in PoolProtocol if self._usable(kind) and algorithms(kind, self.features)]
        if not protocols or (new_id := self.new_id()) is None:
            return None
        protocol = self.draw(st.sampled_from(protocols))
        taken: set[tuple[str, int]] = set()
        algorithm = self.draw(st.sampled_from(algorithms(protocol, self.features)))
        fields = self.common(new_id) | {"protocol": protocol, "lb_algorithm": algorithm}
        if protocol not in DATAGRAM_POOLS and self.has(Feature.POOL_TLS):
            fields |= {"tls_enabled": True, **self._spoken()}
            fields["tls_container_ref"] = self.draw(st.sampled_from((None, *self.around.references)))
            fields["ca_tls_container_ref"], fields["crl_container_ref"] = self._authority()
        return Pool(
            **fields,
            members=self.several(lambda: self.member(taken), 4),
            healthmonitor=self.monitor(protocol),
            session_persistence=self.persistence(protocol),
        )

    def _usable(self, protocol: PoolProtocol) -> bool:
        if protocol in (PoolProtocol.PROXY, PoolProtocol.PROXYV2) and Feature.POOL_PROXY not in self.features:
            return False
        return any(protocol in COMPATIBLE_POOLS[listener] for listener in self._listener_protocols())

    def _listener_protocols(self) -> list[ListenerProtocol]:
        found = [kind for kind in ListenerProtocol if feature_of("listener", kind) in self.features]
        return [kind for kind in found if self.around.references or kind is not ListenerProtocol.TERMINATED_HTTPS]

    def listener(self, pools: Sequence[Pool], taken: set[tuple[str, int]]) -> Listener | None:
        protocols = self._listener_protocols()
        if not protocols:
            return None
        protocol, port = self.draw(st.sampled_from(protocols)), self.draw(st.sampled_from(self.around.ports))
        if (protocol.transport, port) in taken or (new_id := self.new_id()) is None:
            return None
        taken.add((protocol.transport, port))
        fitting = [pool.id for pool in pools if pool.protocol in COMPATIBLE_POOLS[protocol]]
        fields = self.common(new_id) | {"protocol": protocol, "protocol_port": port}
        fields["default_pool_id"] = self.draw(st.sampled_from((None, *fitting))) if fitting else None
        fields |= self.listener_options(protocol)
        wanted = {Feature.L7} if protocol in HTTP_LISTENERS else {Feature.L7, Feature.L7_WITHOUT_HTTP}
        if protocol is not ListenerProtocol.PROMETHEUS and wanted <= self.features:
            rule = self.tls_rule if protocol is ListenerProtocol.TERMINATED_HTTPS else self.rule
            fields["l7policies"] = self.several(lambda: self.policy(fitting, rule), 3)
        return Listener(**fields)

    def listener_options(self, protocol: ListenerProtocol) -> dict[str, Any]:
        """Fields that a listener may have or lack."""
        fields: dict[str, Any] = {}
        if not self._groups and self.has(Feature.LISTENER_ALLOWED_CIDRS):
            fields["allowed_cidrs"] = tuple(self.draw(st.lists(cidrs(), min_size=1, max_size=3)))
        if self.has(Feature.LISTENER_CONNECTION_LIMIT):
            fields["connection_limit"] = self.draw(st.integers(-1, 10**6))
        if self.has(Feature.LISTENER_TIMEOUTS):
            fields["timeout_client_data"] = self.draw(st.integers(0, 2073600000))
        if protocol in HTTP_LISTENERS and self.has(Feature.LISTENER_INSERT_HEADERS):
            terminated = protocol is ListenerProtocol.TERMINATED_HTTPS
            insertable = INSERTABLE_HEADERS | (INSERTABLE_TLS_HEADERS if terminated else frozenset())
            headers = self.draw(st.sets(st.sampled_from(sorted(insertable)), min_size=1))
            fields["insert_headers"] = tuple((header, "true") for header in sorted(headers))
        if protocol is ListenerProtocol.TERMINATED_HTTPS:
            fields |= self._certificates() | self._spoken()
        return fields

    def _certificates(self) -> dict[str, Any]:
        """What a TERMINATED_HTTPS listener shows its clients and asks of them."""
        references = st.sampled_from(self.around.references)
        others = tuple(self.draw(st.lists(references, max_size=2, unique=True)))
        fields: dict[str, Any] = {"sni_container_refs": others}
        fields["default_tls_container_ref"] = self.draw(st.none() | references if others else references)
        authority, revocations = self._authority()
        if authority is not None:
            fields |= {"client_ca_tls_container_ref": authority, "client_crl_container_ref": revocations}
            fields["client_authentication"] = self.draw(st.sampled_from(ClientAuthentication))
        if self.draw(st.booleans()):
            fields |= {"hsts_max_age": self.draw(st.integers(0, 10**7)), "hsts_preload": self.draw(st.booleans())}
            fields["hsts_include_subdomains"] = self.draw(st.booleans())
        return fields

    def _authority(self) -> tuple[str | None, str | None]:
        """References to an authority and to its revocation list, or to none."""
        pairs = list(zip_longest(self.around.authority_references, self.around.revocation_references))
        pairs = [pair for pair in pairs if pair[0] is not None]
        return self.draw(st.sampled_from([(None, None), *pairs, *((authority, None) for authority, _ in pairs)]))

    def _spoken(self) -> dict[str, Any]:
        """Versions, ciphers and application protocols that go together."""
        low, high = sorted(self.draw(st.tuples(st.integers(0, 3), st.integers(0, 3))))
        choices: dict[str, Any] = {
            "tls_versions": _TLS_VERSIONS[low : high + 1],
            "tls_ciphers": self.draw(st.sampled_from(_CIPHERS)),
            "alpn_protocols": tuple(self.draw(st.lists(st.sampled_from(AlpnProtocol), min_size=1, unique=True))),
        }
        return {name: value for name, value in choices.items() if self.draw(st.booleans())}

    def policy(self, pool_ids: Sequence[str], rule: Callable[[], L7Rule | None]) -> L7Policy | None:
        if (new_id := self.new_id()) is None:
            return None
        actions = [kind for kind in PolicyAction if pool_ids or kind is not PolicyAction.REDIRECT_TO_POOL]
        action = self.draw(st.sampled_from(actions))
        fields = self.common(new_id) | {"action": action, "position": self.draw(st.integers(1, 9))}
        if action is PolicyAction.REDIRECT_TO_POOL:
            fields["redirect_pool_id"] = self.draw(st.sampled_from(pool_ids))
        elif action is not PolicyAction.REJECT:
            target = "redirect_url" if action is PolicyAction.REDIRECT_TO_URL else "redirect_prefix"
            fields |= {target: self.draw(redirect_urls()), "redirect_http_code": self.draw(st.sampled_from((301, 302)))}
        return L7Policy(**fields, rules=self.several(rule, 3))

    def value(self, compare: CompareType) -> str:
        """What a rule compares with."""
        expressions = st.sampled_from(("^/a+$", "a|b", "[^#]"))
        return self.draw(expressions if compare is CompareType.REGEX else texts(6).filter(bool))

    def rule(self) -> L7Rule | None:
        if (new_id := self.new_id()) is None:
            return None
        kind = self.draw(st.sampled_from((RuleType.PATH, RuleType.HOST_NAME, RuleType.HEADER, RuleType.COOKIE)))
        compare = self.draw(st.sampled_from(CompareType))
        value = self.value(compare)
        key = self.draw(tokens()) if kind in (RuleType.HEADER, RuleType.COOKIE) else None
        invert = self.draw(st.booleans())
        return L7Rule(id=new_id, type=kind, compare_type=compare, key=key, value=value, invert=invert)

    def tls_rule(self) -> L7Rule | None:
        """A rule about the client's certificate, or any other."""
        kind = self.draw(st.sampled_from((None, *_TLS_RULES)))
        if kind is None or (new_id := self.new_id()) is None:
            return self.rule()
        key = self.draw(st.sampled_from(("CN", "O", "emailAddress"))) if kind is RuleType.SSL_DN_FIELD else None
        value = self.rule_value(kind, CompareType.EQUAL_TO)
        invert = self.draw(st.booleans())
        return L7Rule(id=new_id, type=kind, compare_type=CompareType.EQUAL_TO, key=key, value=value, invert=invert)

    def rule_value(self, kind: RuleType, compare: CompareType) -> str:
        """What a rule of that kind may compare with: some kinds take few words only."""
        if kind is RuleType.SSL_CONN_HAS_CERT:
            return "true"
        if kind is RuleType.SSL_VERIFY_RESULT:
            return self.draw(st.sampled_from(("0", "23")))
        return self.value(compare)

    def tree(self, tree_id: str) -> LoadBalancer:
        if not self._born:
            self._profiles = self._new_profiles()
        group = self.around.security_group_id
        allowed = group is not None and not self._flavor_says("sriov_vip")
        self._groups = allowed and self.has(Feature.VIP_SECURITY_GROUPS)
        pools = self.several(self.pool, 3)
        taken: set[tuple[str, int]] = set()
        fields = self.common(tree_id) | {"vip_subnet_id": self.around.vip_subnet_id, "pools": pools}
        fields["description"] = self.draw(texts(4))
        if self.around.additional_subnet_id is not None and self.has(Feature.VIP_ADDITIONAL):
            fields["additional_vips"] = ({"subnet_id": self.around.additional_subnet_id},)
        if self._groups:
            fields["vip_sg_ids"] = (group,)
        return LoadBalancer(**fields, **self._profiles, listeners=self.several(lambda: self.listener(pools, taken), 3))

    def _flavor_says(self, key: str) -> bool:
        return self._profiles.get("flavor_data", {}).get(key) is True

    def _new_profiles(self) -> dict[str, Any]:
        """Data of a flavor and a zone; named, or written down without a name."""
        fields: dict[str, Any] = {}
        if self.around.flavors and self.has(Feature.FLAVOR):
            fields["flavor_data"] = self.draw(st.sampled_from(self.around.flavors))
            fields["flavor_id"] = self.draw(st.sampled_from((None, identity(4))))
        if self.around.availability_zones and self.has(Feature.AVAILABILITY_ZONE):
            fields["availability_zone_data"] = self.draw(st.sampled_from(self.around.availability_zones))
            fields["availability_zone"] = self.draw(st.sampled_from((None, "zone")))
        return fields


@st.composite
def trees(
    draw: DrawFn,
    features: frozenset[Feature] = ALL,
    around: Surroundings = ANYWHERE,
    tree_id: str | None = None,
) -> LoadBalancer:
    """Valid trees that need no feature outside ``features``."""
    chosen = tree_id or identity(draw(st.integers(2**16, 2**31)))
    return Drawing(draw, features, around, (chosen,)).tree(chosen)
