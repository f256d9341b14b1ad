"""The picture that ``lbdrivers top`` shows, and what keys do to it.

Law: values in, renderables out; the same values give the same picture. Every row is one line, so that what fits on
a screen is known beforehand.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from rich import filesize
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from lbdrivers import drawing
from lbdrivers.cli.answers import vip_addresses
from lbdrivers.cli.top.rates import Rates, Reading
from lbdrivers.drivers.provider import Appliance
from lbdrivers.model.status import ProvisioningStatus

_QUIET, _UNEASY, _BAD = "dim", "yellow", "bold red"
_BLOCKS = " ▁▂▃▄▅▆▇█"
#: Narrowest screens, in columns, on which requests, errors, an address and a trend are shown as well.
_REQUESTS, _ERRORS, _ADDRESS, _TRENDS = 88, 96, 112, 132
#: Narrowest screen on which totals have a trend beside them.
_SUMS = 96
#: Lines of trouble at most; columns of a trend.
_TROUBLE, _TREND = 4, 20
#: Lines above and below the rows: two of title, an empty one, the columns' names, the keys.
_AROUND = 5


class Order(enum.StrEnum):
    """By what rows are in order."""

    NAME = "name"
    CONNECTIONS = "connections/s"
    REQUESTS = "requests/s"
    BYTES = "bytes/s"
    STATUS = "status"


@dataclass(frozen=True)
class View:
    """What whoever looks has chosen.

    :param appliances: whether each load balancer's appliances are shown below it.
    :param first: how many rows have been scrolled past.
    """

    order: Order = Order.NAME
    appliances: bool = True
    first: int = 0
    ended: bool = False


@dataclass(frozen=True)
class Picture:
    """Everything that is shown.

    :param at: seconds since the epoch.
    :param trouble: why there is nothing newer; empty when there is no reason.
    """

    readings: tuple[Reading, ...]
    at: float
    trouble: str = ""


#: What a terminal sends -> what it is called here.
KEYS = {"\x1b[A": "up", "\x1b[B": "down", "\x1b[5~": "page up", "\x1b[6~": "page down", "\x1b[H": "home"}
_PAGE = 10


def pressed(view: View, key: str) -> View:
    """The view after a key; one that means nothing changes nothing."""
    steps = {"up": -1, "k": -1, "down": 1, "j": 1, "page up": -_PAGE, "page down": _PAGE, " ": _PAGE}
    if key in steps:
        return replace(view, first=max(0, view.first + steps[key]))
    if key == "home":
        return replace(view, first=0)
    if key == "s":
        orders = list(Order)
        return replace(view, order=orders[(orders.index(view.order) + 1) % len(orders)])
    if key == "a":
        return replace(view, appliances=not view.appliances)
    return replace(view, ended=True) if key == "q" else view


def screen(picture: Picture, view: View, width: int, height: int) -> RenderableType:
    """The picture for a screen of that size."""
    rows = list(_rows(picture, view))
    trouble = _trouble(picture)[: min(_TROUBLE, (height - _AROUND) // 3)]
    room = max(1, height - _AROUND - len(trouble) - bool(trouble))
    first = min(view.first, max(0, len(rows) - room))
    shown = rows[first : first + room]
    body = _table(shown, width)
    filler = [Text("")] * (room - len(shown))
    below = [Text(""), *trouble] if trouble else []
    more = f"{first + 1}-{first + len(shown)} of {len(rows)}" if len(shown) < len(rows) else ""
    return Group(_title(picture, width), Text(""), body, *filler, *below, _keys(view, more))


def report(picture: Picture, width: int) -> RenderableType:
    """The whole picture, for scripts and files: as many lines as it takes."""
    trouble = _trouble(picture)
    body = _table(list(_rows(picture, View())), width)
    return Group(_title(picture, width), Text(""), body, *([Text(""), *trouble] if trouble else []))


# --- what surrounds the rows


def _title(picture: Picture, width: int) -> Table:
    grid = Table.grid(expand=True)
    grid.width = width
    grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    grid.add_column(no_wrap=True, justify="right")
    clock = datetime.fromtimestamp(picture.at, tz=UTC).strftime("%H:%M:%S UTC")
    grid.add_row(_counted(picture), Text(clock, _QUIET))
    total = sum((one.rates for one in picture.readings if one.rates), Rates())
    sums = Text("  ").join(
        Text.assemble((f"{name} ", _QUIET), (value, "bold"))
        for name, value in (
            ("conn/s", _number(total.connections)),
            ("req/s", _number(total.requests)),
            ("open", f"{sum(one.open_connections for one in picture.readings):,}"),
            ("in/s", _size(total.bytes_in)),
            ("out/s", _size(total.bytes_out)),
            ("errors/s", _number(total.request_errors)),
        )
    )
    grid.add_row(sums, trend(_together(picture.readings)) if width >= _SUMS else "")
    return grid


def _counted(picture: Picture) -> Text:
    balancers = Counter(_word(one) for one in picture.readings)
    appliances = Counter(one.status for reading in picture.readings for one in _appliances(reading))
    parts = [Text("lbdrivers", "bold")]
    for noun, counted in (("load balancer", balancers), ("appliance", appliances)):
        number = sum(counted.values())
        part = Text(f"  {number} {noun}{'' if number == 1 else 's'}")
        for word in sorted(counted):
            mark = drawing.status(word)
            part.append(" ").append(f"{mark.plain[0]} {counted[word]}", mark.style)
        parts.append(part)
    return Text("").join(parts)


def _together(readings: Iterable[Reading]) -> tuple[float, ...]:
    """The trend of all, as far back as the longest goes."""
    trends = [one.trend for one in readings if one.trend]
    length = max(map(len, trends), default=0)
    padded = [(0.0,) * (length - len(one)) + one for one in trends]
    return tuple(map(sum, zip(*padded, strict=True)))


def _trouble(picture: Picture) -> list[Text]:
    found = [_line("✖", _BAD, picture.trouble)] if picture.trouble else []
    for reading in picture.readings:
        if reading.entry.cause is not None:
            found.append(_line("✖", _BAD, f"{_name(reading)}: {reading.entry.cause.user}"))
        elif reading.observation is None:
            found.append(_line("?", _UNEASY, f"{_name(reading)}: its provider does not answer"))
    remarks: Counter[str] = Counter()
    example: dict[str, str] = {}
    for reading in picture.readings:
        for one in _appliances(reading):
            if one.remark:
                remarks[one.remark] += 1
                example[one.remark] = f"{_name(reading)} {one.role} {one.id[:8]}"
    for remark, number in remarks.items():
        place = example[remark] if number == 1 else f"{number} appliances"
        found.append(_line("◐", _UNEASY, f"{place}: {remark}"))
    return found


def _line(symbol: str, style: str, text: str) -> Text:
    """One line of trouble."""
    return _one_line(Text.assemble((f"{symbol} ", style), drawing.literal(text)))


def _one_line(text: Text) -> Text:
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _keys(view: View, more: str) -> Text:
    hide = "hide appliances" if view.appliances else "show appliances"
    keys = (("q", "quit"), ("s", f"order: {view.order}"), ("a", hide), ("↑↓", "scroll"))
    line = Text("  ").join(Text.assemble((key, "bold"), (f" {text}", _QUIET)) for key, text in keys)
    return _one_line(Text.assemble(line, (f"   {more}", _QUIET)))


# --- rows


@dataclass(frozen=True)
class _Row:
    name: Text
    address: str
    status: Text
    rates: Rates | None
    connections: int | None
    heard: Text
    trend: Text


def _rows(picture: Picture, view: View) -> Iterator[_Row]:
    for reading in _ordered(picture.readings, view.order):
        addresses = vip_addresses(reading.entry.desired, reading.observation)
        yield _Row(
            drawing.literal(_name(reading), "bold"),
            addresses[0] if addresses else "",
            _status(reading),
            reading.rates,
            None if reading.observation is None else reading.open_connections,
            Text(""),
            trend(reading.trend),
        )
        shown = _appliances(reading) if view.appliances else ()
        for number, one in enumerate(shown):
            yield _row(one, reading.appliances.get(one.id), picture.at, last=number == len(shown) - 1)


def _row(one: Appliance, rates: Rates | None, now: float, *, last: bool) -> _Row:
    mark = " ◀ VIP" if one.holds_vip else ""
    branch = "└ " if last else "├ "
    name = Text.assemble((branch, _QUIET), drawing.literal(f"{one.role} {one.id[:8]}"), (mark, "bold green"))
    connections = one.statistics.active_connections
    return _Row(
        name, one.address or "", drawing.status(one.status), rates, connections, _heard(one.heard_at, now), Text("")
    )


def _heard(at: float | None, now: float) -> Text:
    if at is None:
        return Text("")
    seconds = max(0.0, now - at)
    if seconds < 100:
        return Text(f"{seconds:.0f} s")
    return Text(f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.0f} h", _UNEASY)


def _ordered(readings: Sequence[Reading], order: Order) -> list[Reading]:
    named = sorted(readings, key=lambda one: (_name(one), one.entry.id))
    if order is Order.NAME:
        return named
    if order is Order.STATUS:
        return sorted(named, key=lambda one: (_word(one) in ("ONLINE", "OFFLINE"), _word(one)))

    def busy(one: Reading) -> float:
        rates = one.rates or Rates()
        if order is Order.CONNECTIONS:
            return -rates.connections
        return -rates.requests if order is Order.REQUESTS else -(rates.bytes_in + rates.bytes_out)

    return sorted(named, key=busy)


def _table(rows: Sequence[_Row], width: int) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0), expand=True)
    table.width = width
    table.add_column("NAME", no_wrap=True, overflow="ellipsis", ratio=1, min_width=20)
    if width >= _ADDRESS:
        table.add_column("ADDRESS", no_wrap=True, overflow="ellipsis", max_width=24)
    table.add_column("STATUS", no_wrap=True, min_width=11)
    numbers = (("CONN/S", 7), *((("REQ/S", 7),) if width >= _REQUESTS else ()), ("OPEN", 5), ("IN/S", 8), ("OUT/S", 8))
    for title, least in numbers:
        table.add_column(title, justify="right", no_wrap=True, min_width=least)
    if width >= _ERRORS:
        table.add_column("ERR/S", justify="right", no_wrap=True, min_width=5)
    table.add_column("HEARD", justify="right", no_wrap=True, min_width=6)
    if width >= _TRENDS:
        table.add_column("CONN/S LATELY", no_wrap=True, width=_TREND)
    for row in rows:
        table.add_row(*_cells(row, width))
    return table


def _cells(row: _Row, width: int) -> Iterator[RenderableType]:
    yield row.name
    if width >= _ADDRESS:
        yield Text(row.address, _QUIET)
    yield row.status
    rates = row.rates
    yield "-" if rates is None else _number(rates.connections)
    if width >= _REQUESTS:
        yield "-" if rates is None else _number(rates.requests)
    yield "-" if row.connections is None else f"{row.connections:,}"
    yield "-" if rates is None else _size(rates.bytes_in)
    yield "-" if rates is None else _size(rates.bytes_out)
    if width >= _ERRORS:
        errors = 0.0 if rates is None else rates.request_errors
        yield "-" if rates is None else Text(_number(errors), _BAD if errors else "")
    yield row.heard
    if width >= _TRENDS:
        yield row.trend


def trend(values: Sequence[float]) -> Text:
    """The newest values as bars, the highest as high as there is room."""
    shown = values[-_TREND:]
    highest = max(shown, default=0.0)
    steps = len(_BLOCKS) - 1
    # What is not nothing is seen, however little it is.
    heights = [0 if highest <= 0 or one <= 0 else max(1, round(steps * one / highest)) for one in shown]
    return Text("".join(_BLOCKS[height] for height in heights), "cyan")


def _status(reading: Reading) -> Text:
    word = _word(reading)
    provisioning = reading.entry.status
    if provisioning is ProvisioningStatus.ACTIVE or word == provisioning:
        return drawing.status(word)
    return drawing.status(provisioning)


def _word(reading: Reading) -> str:
    """Its operating status; how its provisioning stands where that is not known."""
    found = None if reading.observation is None else reading.observation.operating.get(reading.entry.id)
    return reading.entry.status.value if found is None else found.value


def _name(reading: Reading) -> str:
    return reading.entry.name or reading.entry.id


def _appliances(reading: Reading) -> tuple[Appliance, ...]:
    return () if reading.observation is None else reading.observation.appliances


def _number(value: float) -> str:
    return f"{value:,.1f}" if 0 < value < 100 else f"{value:,.0f}"


def _size(value: float) -> str:
    unit, suffix = filesize.pick_unit_and_suffix(int(value), ["B", "kB", "MB", "GB", "TB"], 1000)
    return f"{value / unit:,.0f} {suffix}" if unit == 1 else f"{value / unit:,.1f} {suffix}"
