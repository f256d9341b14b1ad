"""Writes docs/top.svg: what ``lbdrivers top`` shows of an example; ``--check`` says whether it is up to date.

Law: the picture is drawn by the command's own view, from values that are the same in every run.
"""

from __future__ import annotations

import html
import io
import math
import re
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from rich.console import Console
from written_page import write_or_check

from lbdrivers.cli.top.rates import Meter, Reading
from lbdrivers.cli.top.view import Picture, View, screen
from lbdrivers.drivers.provider import Appliance, Observation, Statistics
from lbdrivers.model.resources import LoadBalancer
from lbdrivers.model.status import OperatingStatus, ProvisioningStatus
from lbdrivers.store.entry import Cause, Entry

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "top.svg"
COMMAND = "python docs/draw_top.py"
WIDTH, HEIGHT = 140, 21
AT = 1_764_158_400.0
#: Name, VIP, operating status, connections a second; requests, bytes in and out for each of them.
EXAMPLE = (
    ("api", "198.51.100.20", OperatingStatus.ONLINE, 412.0, 8, 1_900, 14_200),
    ("mail", "198.51.100.25", OperatingStatus.DEGRADED, 9.5, 0, 22_000, 3_100),
    ("shop", "198.51.100.80", OperatingStatus.ONLINE, 1_840.0, 3, 2_400, 61_000),
    ("wiki", "198.51.100.81", OperatingStatus.ERROR, 0.0, 0, 0, 0),
)
#: Rich's own form of SVG, without a font from elsewhere.
_FORM = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
 font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" /></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def picture() -> Picture:
    """The example after a minute of looks."""
    meter = Meter()
    readings: tuple[Reading, ...] = ()
    for second in range(61):
        entries = [_entry(number) for number in range(len(EXAMPLE))]
        observations = {entry.id: _observation(number, second) for number, entry in enumerate(entries)}
        meter, readings = meter.look(entries, observations, float(second))
    return Picture(readings, AT + 60)


def _entry(number: int) -> Entry:
    name, vip, operating, *_ = EXAMPLE[number]
    identity = f"00000000-0000-4000-8000-{number:012}"
    tree = LoadBalancer(id=identity, name=name, vip_address=vip, vip_subnet_id=identity)
    broken = operating is OperatingStatus.ERROR
    status = ProvisioningStatus.ERROR if broken else ProvisioningStatus.ACTIVE
    cause = Cause("no machine can be booted: the zone north has no room", "") if broken else None
    return Entry(identity, name, "amphora", 1, tree, 1, tree, status, cause, 0, None, False, 0, 0, None, AT, AT)


def _observation(number: int, second: int) -> Observation:
    _, vip, operating, *_ = EXAMPLE[number]
    if operating is OperatingStatus.ERROR:
        return Observation(True, (vip,), {_entry(number).id: operating})
    master, backup = (_appliance(number, place, second) for place in range(2))
    if operating is OperatingStatus.DEGRADED:
        text = f"silent for {second + 17} s"
        backup = replace(backup, status="ERROR", holds_vip=None, remark=text, heard_at=AT - 17)
    return Observation(True, (vip,), {_entry(number).id: operating}, {"all": master.statistics}, (master, backup))


def _appliance(number: int, place: int, second: int) -> Appliance:
    """One of a pair, as it was when it spoke last: every third second."""
    _, _, _, rate, requests, size_in, size_out = EXAMPLE[number]
    spoke = second - (second + number + place) % 3
    served = sum(_load(rate, number, moment) for moment in range(spoke + 1))
    counted = Statistics(
        round(_load(rate, number, spoke) / 9),
        round(served * size_in),
        round(served * size_out),
        0,
        round(served),
        round(served * requests),
    )
    return Appliance(
        f"{(number * 2 + place + 3) * 2_654_435_761 % 16**8:08x}-0000-4000-8000-000000000000",
        "BACKUP" if place else "MASTER",
        "ALLOCATED",
        f"192.0.2.{10 + 2 * number + place}",
        holds_vip=not place,
        statistics=Statistics() if place else counted,
        heard_at=AT + spoke,
    )


def _load(rate: float, number: int, second: int) -> float:
    """Connections in one second: a wave of its own for each."""
    return rate * (1 + 0.5 * math.sin(second / 6 + number) + 0.15 * math.sin(second * 0.7))


def page() -> str:
    """The SVG."""
    console = Console(
        record=True, width=WIDTH, height=HEIGHT, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    console.print(screen(picture(), View(), WIDTH, HEIGHT))
    return console.export_svg(title="lbdrivers top", code_format=_FORM, unique_id="top")


def words(svg: str) -> list[str]:
    """What can be read in it, whatever form the library gave it."""
    return [text for one in re.findall(r"<text[^>]*>([^<]*)</text>", svg) if (text := html.unescape(one).strip())]


def main(arguments: list[str]) -> int:
    """Write the picture, or with --check compare it. :returns: exit status."""
    return write_or_check(PAGE, page(), COMMAND, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
