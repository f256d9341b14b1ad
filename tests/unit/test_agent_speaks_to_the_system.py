"""Texts and frames that the agent hands to others: systemd units, ARP, neighbour advertisements."""

from __future__ import annotations

import configparser
import shlex
from pathlib import Path

from lbdrivers_amphora.agent.announce import advertisement, arp_frame
from lbdrivers_amphora.agent.effects import Service
from lbdrivers_amphora.agent.files import read_file, replace_file
from lbdrivers_amphora.agent.layout import Layout
from lbdrivers_amphora.agent.reports import memory, processor_times
from lbdrivers_amphora.agent.services import unit
from lbdrivers_amphora.wire.agent_config import AgentConfig

_NAMESPACE = Path("/run/netns/amphora-haproxy")


def _unit(service: Service) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # the documented way to keep case
    parser.read_string(unit(service, _NAMESPACE))
    return parser


def test_haproxys_unit() -> None:
    service = Layout(AgentConfig("a")).haproxy("lb", "peer")
    parser = _unit(service)
    assert parser["Service"]["NetworkNamespacePath"] == str(_NAMESPACE)
    assert parser["Service"]["Restart"] == "always"
    assert parser["Service"]["ExecReload"] == "/bin/kill -USR2 $MAINPID"
    assert tuple(shlex.split(parser["Service"]["ExecStart"])) == service.command


def test_a_units_words_are_quoted() -> None:
    service = Service("x", ("/bin/x", "a b", 'c"d', "50%", "$HOME", "e\\f"), "/p", "/l")
    line = _unit(service)["Service"]["ExecStart"]
    assert line == '/bin/x "a b" "c\\"d" "50%%" "$$HOME" "e\\\\f"'


def test_gratuitous_arp_asks_for_its_own_address() -> None:
    frame = arp_frame("02:00:00:00:00:01", "10.0.0.100")
    assert frame.hex() == (
        "ffffffffffff" "020000000001" "0806" "0001" "0800" "06" "04" "0001"
        "020000000001" "0a000064" "ffffffffffff" "0a000064"
    )  # fmt: skip


def test_advertisements_override() -> None:
    message = advertisement("02:00:00:00:00:01", "fd00::1")
    assert message.hex() == "88000000a0000000" + "fd" + "00" * 14 + "01" + "0201020000000001"


def test_figures_of_the_machine() -> None:
    assert processor_times(b"cpu  10 2 30 400 5 6 7 0 0 0\ncpu0 1\n") == {
        "total": 460,
        "user": "10",
        "system": "30",
        "soft_irq": "7",
    }
    assert processor_times(b"")["total"] == 0
    assert memory(b"MemTotal:  100 kB\nMemFree: 40 kB\nSlab: 3 kB\n")["slab"] == 3


def test_a_file_is_replaced_whole_with_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    replace_file(path, b"one", 0o600)
    replace_file(path, b"two", 0o644)
    assert (read_file(path), path.stat().st_mode & 0o777) == (b"two", 0o644)
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]
    assert read_file(tmp_path / "absent") is None
