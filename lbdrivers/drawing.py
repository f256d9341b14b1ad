"""Draws load balancers, plans, statistics and drivers for a terminal: values in, rich renderables out.

Law: nothing here asks or changes anything. Text of users and daemons is drawn literally: no markup,
no control characters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from rich.console import Group
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from lbdrivers.drivers.provider import Appliance, Deviation, Mildness, Observation, Orphan, Statistics
from lbdrivers.model.infra import Network
from lbdrivers.model.resources import HealthMonitor, L7Policy, L7Rule, Listener, LoadBalancer, Member, Pool
from lbdrivers.registry import GROUPS, DriverInfo
from lbdrivers.store.entry import Entry

_GOOD, _UNEASY, _BAD, _QUIET = "green", "yellow", "bold red", "dim"
#: status word -> symbol and style.
_STATUS: Mapping[str, tuple[str, str]] = {
    **dict.fromkeys(("ACTIVE", "ONLINE", "ALLOCATED", "RUNNING"), ("●", _GOOD)),
    **dict.fromkeys(("PENDING_CREATE", "PENDING_UPDATE", "PENDING_DELETE"), ("◌", _UNEASY)),
    **dict.fromkeys(("DEGRADED", "DRAINING", "BOOTING", "FAILOVER_STOPPED"), ("◐", _UNEASY)),
    **dict.fromkeys(("ERROR",), ("✖", _BAD)),
    **dict.fromkeys(("OFFLINE", "NO_MONITOR", "DELETED"), ("○", _QUIET)),
}
_MILDNESS: Mapping[Mildness, str] = {
    Mildness.NOTHING: _QUIET,
    Mildness.RUNTIME: _GOOD,
    Mildness.RELOAD: "cyan",
    Mildness.RESTART: _UNEASY,
    Mildness.REPLACE: _BAD,
}


def literal(text: str, style: str = "") -> Text:
    """Text as it is, with what would move a terminal's cursor made visible."""
    return Text("".join(c if c.isprintable() or c == "\n" else f"\\x{ord(c):02x}" for c in text), style=style)


def status(word: str) -> Text:
    """A coloured status word with its symbol."""
    symbol, style = _STATUS.get(word, ("?", _UNEASY))
    return Text(f"{symbol} {word}", style=style)


def duration(seconds: float) -> str:
    """Seconds as people read them."""
    if seconds < 100:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def socket_address(address: str, port: int) -> str:
    """``address:port``, with brackets around IPv6."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def urls(tree: LoadBalancer, addresses: Sequence[str]) -> tuple[str, ...]:
    """Where clients find the load balancer: one text for each enabled listener and address."""
    schemes = {"HTTP": "http://{}", "TERMINATED_HTTPS": "https://{}", "HTTPS": "https://{}"}
    usual = {"HTTP": 80, "TERMINATED_HTTPS": 443, "HTTPS": 443}
    found = []
    for listener in tree.listeners:
        if not listener.admin_state_up:
            continue
        for address in addresses:
            place = socket_address(address, listener.protocol_port)
            if usual.get(listener.protocol) == listener.protocol_port:
                place = place.rpartition(":")[0]
            found.append(schemes.get(listener.protocol, listener.protocol.transport.lower() + "://{}").format(place))
    return tuple(found)


def _line(*parts: Text | str) -> Text:
    return Text("  ").join(part if isinstance(part, Text) else Text(part) for part in parts if part)


# --- show ------------------------------------------------------------------------------------


def load_balancer(entry: Entry, observation: Observation | None, now: float) -> Group:
    """The whole of one load balancer as a tree, and below it what is wrong.

    :param observation: None when the provider could not be asked.
    :param now: seconds since the epoch, for the time of the next attempt.
    """
    picture = _Picture(entry.desired, observation, entry.cause.object_id if entry.cause else None)
    return Group(picture.draw(entry), *_trouble(entry, now))


class _Picture:
    """Draws one tree with what was observed of it."""

    def __init__(self, tree: LoadBalancer, observation: Observation | None, culprit: str | None) -> None:
        self.tree = tree
        self.observation = observation or Observation(exists=False)
        self.culprit = culprit

    def draw(self, entry: Entry) -> Tree:
        tree = self.tree
        root = Tree(
            _line(
                self._name(tree, "bold"),
                status(entry.status),
                self._status(tree),
                Text(f"provider {entry.provider}", _QUIET),
            ),
            guide_style=_QUIET,
        )
        root.add(_line(Text("id", _QUIET), Text(tree.id, _QUIET)))
        addresses = self.observation.vip_addresses or ((tree.vip_address,) if tree.vip_address else ())
        root.add(_line("VIP", Text(", ".join(addresses) or "not known yet", "bold" if addresses else _QUIET)))
        drawn: set[str] = set()
        for listener in tree.listeners:
            self._listener(root, listener, drawn)
        for pool in tree.pools:
            if pool.id not in drawn:
                self._pool(root, pool, drawn)
        if self.observation.appliances:
            appliances = root.add("appliances")
            for appliance in self.observation.appliances:
                appliances.add(_appliance(appliance))
        return root

    def _name(self, resource: Listener | Pool | Member | L7Policy | LoadBalancer, style: str = "") -> Text:
        return literal(resource.name or resource.id, style)

    def _status(self, resource: Listener | Pool | Member | HealthMonitor | L7Policy | L7Rule | LoadBalancer) -> Text:
        if resource.id == self.culprit:
            return status("ERROR")
        word = self.observation.operating.get(resource.id)
        down = "" if resource.admin_state_up else "disabled"
        return _line(status(word) if word else "", Text(down, _QUIET) if down else "")

    def _listener(self, parent: Tree, listener: Listener, drawn: set[str]) -> None:
        place = f"{listener.protocol} :{listener.protocol_port}"
        branch = parent.add(_line("listener", self._name(listener), place, self._status(listener)))
        for policy in listener.l7policies:
            self._policy(branch, policy)
        for pool_id in listener.pool_ids():
            self._pool(branch, self.tree.pool(pool_id), drawn)

    def _policy(self, parent: Tree, policy: L7Policy) -> None:
        target = policy.redirect_url or policy.redirect_prefix or ""
        if policy.redirect_pool_id:
            pool = self.tree.pool(policy.redirect_pool_id)
            target = f"pool {pool.name or pool.id}"
        code = str(policy.redirect_http_code) if policy.redirect_http_code else ""
        name = literal(policy.name) if policy.name else ""
        head = _line(
            f"policy {policy.position}", name, policy.action.value, literal(target), code, self._status(policy)
        )
        branch = parent.add(head)
        for rule in policy.rules:
            key = f"[{rule.key}]" if rule.key else ""
            negation = "not " if rule.invert else ""
            words = f"if {negation}{rule.type}{key} {rule.compare_type} {rule.value!r}"
            branch.add(_line(literal(words), self._status(rule)))

    def _pool(self, parent: Tree, pool: Pool, drawn: set[str]) -> None:
        head = ("pool", self._name(pool), f"{pool.protocol} {pool.lb_algorithm}")
        if pool.id in drawn:
            parent.add(_line(*head, Text("(see above)", _QUIET)))
            return
        drawn.add(pool.id)
        branch = parent.add(_line(*head, self._status(pool)))
        if pool.session_persistence is not None:
            branch.add(_line("persistence", pool.session_persistence.type.value))
        if pool.healthmonitor is not None:
            branch.add(_line("monitor", literal(monitor_summary(pool.healthmonitor)), self._status(pool.healthmonitor)))
        for member in pool.members:
            place = socket_address(member.address, member.protocol_port)
            name = literal(member.name) if member.name else ""
            backup = "backup" if member.backup else ""
            branch.add(_line("member", name, place, f"weight {member.weight}", backup, self._status(member)))


def monitor_summary(monitor: HealthMonitor) -> str:
    """One line: what is asked, how often, and how many answers count."""
    request = ""
    if monitor.url_path is not None or monitor.http_method is not None:
        request = f" {monitor.http_method or 'GET'} {monitor.url_path or '/'} -> {monitor.expected_codes or '200'}"
    thresholds = f"up after {monitor.max_retries}, down after {monitor.max_retries_down}"
    return f"{monitor.type}{request}, every {monitor.delay} s, {thresholds}"


def _appliance(appliance: Appliance) -> Text:
    """One line; eight digits of the id tell it from the others and leave room on a terminal."""
    mark = Text("◀ VIP", "bold green") if appliance.holds_vip else ""
    return _line(
        literal(appliance.role),
        literal(appliance.id[:8]),
        literal(appliance.address or "no address"),
        status(appliance.status),
        mark,
        literal(appliance.remark, _UNEASY) if appliance.remark else "",
    )


def _trouble(entry: Entry, now: float) -> Iterable[Text]:
    if entry.cause is None:
        return
    yield Text("cause  ", _BAD) + literal(entry.cause.user)
    if entry.cause.operator not in ("", entry.cause.user):
        yield literal(f"       {entry.cause.operator}", "dim")
    if entry.next_attempt is None:
        yield Text("no further attempt; change the load balancer and apply it again")
    else:
        yield Text("next attempt  ") + _when(entry.next_attempt, now)


def _when(moment: float, now: float) -> Text:
    clock = datetime.fromtimestamp(moment, tz=UTC).strftime("%H:%M:%S UTC")
    return Text(f"{clock}, in {duration(moment - now)}" if moment > now else f"{clock}, due now")


# --- tables ----------------------------------------------------------------------------------


def _table(*columns: str, numbers: tuple[str, ...] = ()) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    return table


def load_balancers(entries: Iterable[Entry], observations: Mapping[str, Observation | None]) -> Table:
    """One line for each load balancer."""
    table = _table("NAME", "ID", "VIP", "PROVIDER", "PROVISIONING", "OPERATING", "LISTENERS")
    for entry in entries:
        observation = observations.get(entry.id)
        tree = entry.desired
        vips = observation.vip_addresses if observation else ()
        operating = observation.operating.get(entry.id) if observation else None
        table.add_row(
            literal(tree.name),
            entry.id,
            ", ".join(vips) or tree.vip_address or "",
            entry.provider,
            status(entry.status),
            status(operating) if operating else "",
            ", ".join(f"{listener.protocol}:{listener.protocol_port}" for listener in tree.listeners),
        )
    return table


_STATISTICS = ("ACTIVE", "TOTAL", "REQUESTS", "BYTES IN", "BYTES OUT", "ERRORS")


def statistics(tree: LoadBalancer, measured: Mapping[str, Statistics]) -> Table:
    """The statistics of each listener, and their sum."""
    table = _table("LISTENER", *_STATISTICS, numbers=_STATISTICS)
    total = Statistics()
    for listener in tree.listeners:
        values = measured.get(listener.id, Statistics())
        total = total + values
        table.add_row(_line(literal(listener.name), f"{listener.protocol}:{listener.protocol_port}"), *_numbers(values))
    table.add_section()
    table.add_row("total", *_numbers(total), style="bold")
    return table


def _numbers(values: Statistics) -> tuple[str, ...]:
    numbers = (
        values.active_connections,
        values.total_connections,
        values.requests,
        values.bytes_in,
        values.bytes_out,
        values.request_errors,
    )
    return tuple(f"{number:,}" for number in numbers)


def plan(actions: Iterable[tuple[str, str, Mildness | None]]) -> Table:
    """What an apply would do: subject, action and how much it disturbs, where that is known."""
    table = _table("SUBJECT", "ACTION", "HOW")
    for subject, action, mildness in actions:
        how = Text(mildness.value, _MILDNESS[mildness]) if mildness else Text("")
        table.add_row(literal(subject), literal(action), how)
    return table


def deviations(found: Iterable[Deviation]) -> Table:
    """What differs from what should be, and which verb mends it."""
    table = _table("SUBJECT", "WHAT", "WANTED", "FOUND", "MENDED BY")
    for one in found:
        wanted, shown = literal(one.wanted, _QUIET), literal(one.found, _UNEASY)
        table.add_row(literal(one.subject), literal(one.aspect), wanted, shown, one.remedy.value)
    return table


def orphans(found: Iterable[Orphan]) -> Table:
    """What belongs to nothing, and what proves it ours."""
    table = _table("KIND", "NAME", "PROOF")
    for one in found:
        proof = literal(one.proof) if one.proof else Text("none: it may be another controller's", _UNEASY)
        table.add_row(one.kind, literal(one.name), proof)
    return table


def drivers(infos: Iterable[DriverInfo]) -> Table:
    """Installed drivers by group, the broken ones with their cause."""
    table = _table("KIND", "NAME", "FROM", "CONTRACT", "STATE")
    for info in infos:
        state = literal(info.error, _BAD) if info.error else Text("ok", _GOOD)
        if info.features:
            state = _line(state, Text(f"{len(info.features)} features: {', '.join(info.features)}", _QUIET))
        contract = "" if info.contract is None else str(info.contract)
        origin = f"{info.distribution} {info.version}"
        table.add_row(GROUPS[info.group], literal(info.name), literal(origin), contract, state)
    return table


def networks(found: Iterable[Network]) -> Table:
    """Networks with the subnets that a document can refer to."""
    table = _table("NETWORK", "SUBNET", "SUBNET ID", "GATEWAY")
    for network in found:
        for subnet in network.subnets:
            table.add_row(literal(network.name), subnet.cidr, subnet.id, subnet.gateway or "")
    return table
