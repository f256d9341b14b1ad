"""Configuration and who is down -> the table that balances the datagrams.

Law: pure. A flow is judged once, by its first datagram; conntrack carries the others the same way, so
that a change of rules moves no flow. A flow's mark says which listener and member it belongs to: bytes
are counted and flows are ended by it. Everything of a member is an element of a map, so that members
come and go without a rule being touched.

    prerouting --entry4/6--> service4/6 --> limit
                               | known client: affinity4/6, if usable4/6
                               | else: numgen or jhash --slots4/6--> mark
                               v
                             deliver4/6: remember the client, DNAT by members4/6
    forward --counted--> count

Sources: nft(8), "NAT STATEMENTS", "NUMGEN EXPRESSION", "JENKINS HASH EXPRESSIONS", "SET STATEMENT".
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from lbdrivers_amphora.nftables import quote, ring
from lbdrivers_amphora.nftables.ir import Affinity, Balance, Configuration, Member, Pool, Service, family
from lbdrivers_amphora.nftables.quote import identifier, reference, words
from lbdrivers_amphora.nftables.render import text
from lbdrivers_amphora.nftables.table import Chain, Collection, Hook, Table, merged
from lbdrivers_amphora.nftables.word import Line, Word

Marks = Mapping[tuple[str, str], int]
"""(listener id, member id) -> mark of the flows between them."""

# Clients that one listener remembers; the oldest leave by their timeout only (some 100 bytes each).
_CLIENTS = 65536
_DOT = words(".")[0]
_REJECT = words("reject with icmpx port-unreachable")


@dataclass(frozen=True, slots=True)
class _Family:
    """How rules speak of IPv4 or IPv6."""

    number: int
    protocol: str
    bits: int
    type: str


_FAMILIES = (_Family(4, "ip", 32, "ipv4_addr"), _Family(6, "ip6", 128, "ipv6_addr"))


def table_name(load_balancer_id: str) -> Word:
    """The table of a load balancer."""
    return identifier("lbdrivers", load_balancer_id)


def counter_name(what: str, listener_id: str) -> Word:
    """A listener's counter: ``in`` and ``out`` (as the client sees them), ``flows``, ``refused``."""
    return identifier(what, listener_id)


def table(configuration: Configuration, down: frozenset[str] = frozenset()) -> Table:
    """The whole table; ``down`` has the ids of members whose probes fail.

    :raises ValueError: for a value that has no place in a ruleset, such as an id that is no UUID.
    """
    marks = flow_marks(configuration)
    services = [_service(service, down, marks) for service in configuration.services]
    made = merged(table_name(configuration.load_balancer_id), (_base(configuration, down, marks), *services))
    return replace(made, counters=(*made.counters, revision(made)))


def revision(table: Table) -> Word:
    """The name of the counter by which the kernel tells what ruleset it holds."""
    return quote.revision(hashlib.md5(text(table).encode(), usedforsecurity=False).hexdigest())


def revision_of(table: Table) -> Word:
    """The name of the revision that is in the table."""
    return table.counters[-1]


def flow_marks(configuration: Configuration) -> dict[tuple[str, str], int]:
    """A mark for every member behind every listener: the same on both amphorae, and after every change."""
    pairs = sorted(
        (service.listener_id, member.id)
        for service in configuration.services
        if service.pool is not None
        for member in service.pool.members
    )
    taken: dict[int, tuple[str, str]] = {}
    for pair in pairs:
        mark = int.from_bytes(hashlib.sha256("/".join(pair).encode()).digest()[:4], "big")
        while mark == 0 or mark in taken:
            mark = (mark + 1) % (1 << 32)
        taken[mark] = pair
    return {pair: mark for mark, pair in taken.items()}


def kept_marks(configuration: Configuration, down: frozenset[str]) -> frozenset[int]:
    """Marks of the flows that may go on: those of drained members too, not of disabled or dead ones."""
    marks = flow_marks(configuration)
    return frozenset(
        marks[service.listener_id, member.id]
        for service in configuration.services
        if service.pool is not None
        for member in service.pool.members
        if _works(member, down)
    )


def _works(member: Member, down: frozenset[str]) -> bool:
    return member.enabled and member.id not in down


def serving(pool: Pool, down: frozenset[str], version: int) -> tuple[Member, ...]:
    """Members of a family that get new flows: those that can, else the backups that can."""
    able = [m for m in pool.members if family(m.address) == version and _works(m, down) and m.weight > 0]
    return tuple(m for m in able if not m.backup) or tuple(able)


# --- what all services share


def _base(configuration: Configuration, down: frozenset[str], marks: Marks) -> Table:
    entries = tuple(_entry(one, configuration) for one in _FAMILIES)
    counted: dict[Line, Line] = {
        (quote.mark(marks[service.listener_id, member.id]),): _jump("jump", "count", service)
        for service in configuration.services
        if service.pool is not None
        for member in service.pool.members
        if _works(member, down)
    }
    accept = words("accept")[0]
    untracked = words("meta l4proto tcp notrack")
    chains = (
        Chain(
            words("prerouting")[0],
            tuple((*words(f"{one.protocol} daddr . udp dport vmap"), reference(_entry_name(one))) for one in _FAMILIES),
            Hook(words("type nat hook prerouting priority dstnat"), accept),
        ),
        # Forwarding is on for this alone; nobody gets from one network into another around a listener.
        Chain(
            words("forward")[0],
            (words("ct status & dnat == 0 drop"), (*words("ct mark vmap"), reference(words("counted")[0]))),
            Hook(words("type filter hook forward priority filter"), accept),
        ),
        # Members answer to the amphora, whatever their own routes are.
        Chain(
            words("postrouting")[0],
            (words("ct status dnat masquerade"),),
            Hook(words("type nat hook postrouting priority srcnat"), accept),
        ),
        # HAProxy's connections need no conntrack.
        Chain(words("untracked")[0], (untracked,), Hook(words("type filter hook prerouting priority raw"), accept)),
        # A client in the members' network must not be told to go there directly.
        Chain(
            words("own")[0],
            (untracked, words("icmp type redirect drop"), words("icmpv6 type nd-redirect drop")),
            Hook(words("type filter hook output priority raw"), accept),
        ),
    )
    counts = Collection(words("counted")[0], words("ct mark"), words("verdict"), elements=counted)
    return Table(table_name(configuration.load_balancer_id), collections=(*entries, counts), chains=chains)


def _entry_name(one: _Family) -> Word:
    return words(f"entry{one.number}")[0]


def _entry(one: _Family, configuration: Configuration) -> Collection:
    """Where listeners are: VIP and port -> service."""
    elements: dict[Line, Line] = {
        (quote.address(address), _DOT, quote.port(service.port)): _jump("goto", f"service{one.number}", service)
        for service in configuration.services
        for address in service.addresses
        if family(address) == one.number
    }
    return Collection(_entry_name(one), words(f"{one.protocol} daddr . udp dport"), words("verdict"), elements=elements)


def _jump(verb: str, prefix: str, service: Service) -> Line:
    return (*words(verb), identifier(prefix, service.listener_id))


# --- one service


def _service(service: Service, down: frozenset[str], marks: Marks) -> Table:
    def name(prefix: str) -> Word:
        return identifier(prefix, service.listener_id)

    def counting(what: str) -> Line:
        return (*words("counter name"), quote.quoted(counter_name(what, service.listener_id)))

    limit: tuple[Line, ...] = ()
    if service.limit is not None:
        over = (*words("ct count over"), quote.number(service.limit, (1 << 31) - 1))
        limit = ((*over, *counting("refused"), *words("drop")),)
    count = tuple(
        (*words(f"ct direction {way}"), *counting(what)) for way, what in (("original", "in"), ("reply", "out"))
    )
    common = Table(
        name("service"),
        counters=tuple(counter_name(what, service.listener_id) for what in ("in", "out", "flows", "refused")),
        chains=(Chain(name("limit"), limit), Chain(name("count"), count)),
    )
    branches = [
        _Branch(service, one, name, counting).table(down, marks)
        for one in _FAMILIES
        if any(family(address) == one.number for address in service.addresses)
    ]
    return merged(common.name, (common, *branches))


@dataclass(frozen=True, slots=True)
class _Branch:
    """One service in one family."""

    service: Service
    family: _Family
    named: Callable[[str], Word]
    counting: Callable[[str], Line]

    def name(self, prefix: str) -> Word:
        return self.named(f"{prefix}{self.family.number}")

    @property
    def _client(self) -> Line:
        return words(f"{self.family.protocol} saddr")

    def table(self, down: frozenset[str], marks: Marks) -> Table:
        pool = self.service.pool
        members = () if pool is None else serving(pool, down, self.family.number)
        collections = self._allowed()
        if pool is None or not members:
            rules = (*self._gate(), (*self.counting("refused"), *_REJECT))
            return Table(self.name("service"), collections=collections, chains=(Chain(self.name("service"), rules),))
        numbers = {member.id: marks[self.service.listener_id, member.id] for member in members}
        size, shares = self._shares(pool.balance, members)
        collections = (*collections, *self._collections(members, numbers, shares))
        if pool.affinity is not None:
            collections = (*collections, *self._memory(numbers))
        chains = (
            Chain(self.name("deliver"), self._deliver(pool.affinity)),
            Chain(self.name("service"), (*self._gate(), *self._choose(pool, size))),
        )
        return Table(self.name("service"), collections=collections, chains=chains)

    # -- who may come

    def _allowed(self) -> tuple[Collection, ...]:
        if not self.service.allowed:
            return ()
        cidrs = [cidr for cidr in self.service.allowed if family(cidr) == self.family.number]
        elements: dict[Line, Line] = {(network,): () for network in quote.networks(cidrs)}
        return (Collection(self.name("allowed"), self._client, options=(words("flags interval"),), elements=elements),)

    def _gate(self) -> tuple[Line, ...]:
        rules: list[Line] = []
        if self.service.allowed:
            stranger = (*self._client, *words("!="), reference(self.name("allowed")))
            rules.append((*stranger, *self.counting("refused"), *words("drop")))
        return (*rules, (*words("jump"), self.named("limit")))

    # -- whom they reach

    @staticmethod
    def _shares(balance: Balance, members: tuple[Member, ...]) -> tuple[int, ring.Shares]:
        weights = {member.id: member.weight for member in members}
        return ring.by_weight(weights) if balance is Balance.ROUND_ROBIN else ring.by_hash(weights)

    def _collections(
        self, members: tuple[Member, ...], numbers: Mapping[str, int], shares: ring.Shares
    ) -> tuple[Collection, ...]:
        targets: dict[Line, Line] = {
            (quote.mark(numbers[member.id]),): (quote.address(member.address), _DOT, quote.port(member.port))
            for member in members
        }
        slots: dict[Line, Line] = {
            (quote.interval(low, high),): (quote.mark(numbers[owner]),) for low, high, owner in shares
        }
        target = words(f"{self.family.protocol} daddr . udp dport")
        return (
            Collection(self.name("members"), words("ct mark"), target, elements=targets),
            Collection(
                self.name("slots"),
                words("numgen inc mod 65536"),
                words("ct mark"),
                options=(words("flags interval"),),
                elements=slots,
            ),
        )

    def _memory(self, numbers: Mapping[str, int]) -> tuple[Collection, ...]:
        size = (*words("size"), quote.number(_CLIENTS, _CLIENTS))
        usable: dict[Line, Line] = {(quote.mark(number),): () for number in numbers.values()}
        return (
            Collection(self.name("usable"), words("ct mark"), elements=usable),
            Collection(
                self.name("affinity"),
                self._client,
                words("ct mark"),
                options=(size, words("flags dynamic,timeout")),
            ),
        )

    def _network(self, affinity: Affinity) -> Line:
        """The client's network, which stands for the client."""
        prefix = affinity.prefix4 if self.family.number == 4 else affinity.prefix6
        if prefix == self.family.bits:
            return self._client
        return (*self._client, *words("&"), quote.netmask(prefix, self.family.bits))

    def _choose(self, pool: Pool, size: int) -> tuple[Line, ...]:
        deliver = (*words("goto"), self.name("deliver"))
        modulus = (*words("mod"), quote.number(size, (1 << 32) - 1, 1))
        seed = (*words("seed"), quote.number(_seed(pool), (1 << 32) - 1))
        spread: dict[Balance, Line] = {
            Balance.ROUND_ROBIN: (*words("numgen inc"), *modulus),
            Balance.SOURCE_IP: (*words("jhash"), *self._client, *modulus, *seed),
            Balance.SOURCE_IP_PORT: (*words("jhash"), *self._client, *words(". udp sport"), *modulus, *seed),
        }
        pick = (*words("ct mark set"), *spread[pool.balance], *words("map"), reference(self.name("slots")))
        if pool.affinity is None:
            return pick, deliver
        clients, network = reference(self.name("affinity")), self._network(pool.affinity)
        return (
            (*words("ct mark set"), *network, *words("map"), clients),
            (*words("ct mark"), reference(self.name("usable")), *deliver),
            # An entry that leads nowhere would be refreshed, never changed.
            (*words("delete"), clients, *words("{"), *network, *words(": ct mark }")),
            pick,
            deliver,
        )

    def _deliver(self, affinity: Affinity | None) -> tuple[Line, ...]:
        protocol = self.family.protocol
        target = (*words(f"meta l4proto udp dnat {protocol} to ct mark map"), reference(self.name("members")))
        if affinity is None:
            return self.counting("flows"), target
        lasting = (*words("timeout"), Word(f"{quote.number(affinity.timeout, 1 << 31, 1)}s"))
        key = (*words("{"), *self._network(affinity), *lasting, *words(": ct mark }"))
        remember = (*words("update"), reference(self.name("affinity")), *key)
        return remember, self.counting("flows"), target


def _seed(pool: Pool) -> int:
    """Of a pool, so that both amphorae hash alike and nobody can aim at a member of many load balancers."""
    return int.from_bytes(hashlib.sha256(pool.id.encode()).digest()[:4], "big")
