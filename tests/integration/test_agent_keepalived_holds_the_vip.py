"""An appliance of a pair: keepalived owns the VIP, and gives it up when HAProxy is gone."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.appliance import CLIENT, MAC, VIP, Appliance
from support.appliance_site import OWN, an_appliance
from support.bundles import bundle, listener, member, pool, tree
from support.patience import eventually

from lbdrivers.drivers.amphora import (
    Bundle,
    DaemonState,
    Interface,
    InterfaceAddress,
    Peer,
    Role,
    Topology,
    Vip,
    VrrpTimers,
)
from lbdrivers.drivers.provider import Mildness
from lbdrivers.errors import DriverError
from lbdrivers_amphora.agent.files import replace_file
from lbdrivers_amphora.client import RestAmphoraDriver
from lbdrivers_amphora.wire import agent_config, routes

_SIX = "fd00::100"
_VIPS = (Vip(VIP, "10.0.0.0/24", CLIENT), Vip(_SIX, "fd00::/64"))
_TIMERS = VrrpTimers(check_interval=1)


Pair = tuple[Appliance, RestAmphoraDriver]


@pytest.fixture(scope="module")
def site() -> Iterator[Pair]:
    with an_appliance(_interface(), topology=agent_config.ACTIVE_STANDBY) as made, made.appliance.members(8081):
        yield made.appliance, made.driver


def _interface() -> Interface:
    return Interface(MAC, 1500, (InterfaceAddress(OWN, "10.0.0.0/24"),), _VIPS)


def _bundle(appliance: Appliance, *, priority: int = 100, served: bool = True) -> Bundle:
    own = Peer(appliance.amphora_id, OWN, Role.MASTER, priority)
    other = Peer("6a6a6a6a-0000-4000-8000-000000000001", "10.0.0.12", Role.BACKUP, 90)
    each = pool(members=(member("m", CLIENT, 8081),))
    fronts = (listener(default_pool_id=each.id),) if served else ()
    made = bundle(tree(fronts, (each,)), Topology.ACTIVE_STANDBY, _VIPS, timers=_TIMERS)
    return replace(made, amphora_id=own.amphora_id, peers=(own, other))


def test_the_vip_is_not_there_before_keepalived_says_so(site: Pair) -> None:
    appliance, speaker = site
    report = speaker.report(appliance.machine, appliance.amphora_id)
    assert (report.holds_vip, report.keepalived) == (False, DaemonState.STOPPED)


def test_the_pair_is_configured_and_the_vip_serves(site: Pair) -> None:
    appliance, speaker = site
    assert speaker.configure(appliance.machine, _bundle(appliance)) is Mildness.RESTART
    assert eventually(lambda: speaker.report(appliance.machine, appliance.amphora_id).holds_vip)
    assert appliance.get() == (200, "8081")
    assert _SIX in appliance.run("ip", "-n", "amphora-haproxy", "address", "show", "dev", "eth1")
    rules = appliance.run("ip", "-n", "amphora-haproxy", "rule")
    assert VIP in rules


def test_the_same_again_does_nothing(site: Pair) -> None:
    appliance, speaker = site
    speaker.configure(appliance.machine, _bundle(appliance))
    assert speaker.configure(appliance.machine, _bundle(appliance)) is Mildness.NOTHING
    assert speaker._ask(appliance.machine, appliance.amphora_id, routes.ActOnKeepalived("reload")).status == 202


def test_plugging_again_leaves_keepalived_its_addresses(site: Pair) -> None:
    appliance, speaker = site
    speaker.configure(appliance.machine, _bundle(appliance))
    assert eventually(lambda: speaker.report(appliance.machine, appliance.amphora_id).holds_vip)
    speaker.plug(appliance.machine, appliance.amphora_id, (_interface(),))
    assert speaker.report(appliance.machine, appliance.amphora_id).holds_vip
    assert _SIX in appliance.run("ip", "-n", "amphora-haproxy", "address", "show", "dev", "eth1")
    assert VIP in appliance.run("ip", "-n", "amphora-haproxy", "rule")
    assert appliance.get() == (200, "8081")


def test_a_new_priority_is_a_reload(site: Pair) -> None:
    appliance, speaker = site
    speaker.configure(appliance.machine, _bundle(appliance))
    assert speaker.configure(appliance.machine, _bundle(appliance, priority=95)) is Mildness.RELOAD
    report = speaker.report(appliance.machine, appliance.amphora_id)
    assert report.keepalived is DaemonState.RUNNING
    assert speaker.configure(appliance.machine, _bundle(appliance, priority=95)) is Mildness.NOTHING
    assert eventually(lambda: appliance.get()[0]) == 200


def test_a_file_that_keepalived_refuses_changes_nothing(site: Pair) -> None:
    appliance, speaker = site
    speaker.configure(appliance.machine, _bundle(appliance))
    before = speaker.report(appliance.machine, appliance.amphora_id).revisions
    upload = routes.UploadKeepalived(b"vrrp_instance x {\n    interface eth1\n    nonsense\n")
    answer = speaker._ask(appliance.machine, appliance.amphora_id, upload)
    assert answer.status == 400
    assert "nonsense" in answer.words
    assert speaker.report(appliance.machine, appliance.amphora_id).revisions == before


def test_a_file_of_octavias_form_is_accepted(site: Pair) -> None:
    appliance, speaker = site
    # Without enable_script_security, as Octavia writes it: keepalived -t ends with a remark on that.
    text = (
        f"vrrp_script check_script {{\n    script {appliance.config.base_path}/vrrp/check_script.sh\n}}\n"
        "vrrp_instance x {\n    interface eth1\n    virtual_router_id 1\n    priority 100\n    nopreempt\n"
        "    authentication {\n        auth_type PASS\n        auth_pass 1234567\n    }\n"
        f"    virtual_ipaddress {{\n        {VIP}\n    }}\n    track_script {{\n        check_script\n    }}\n}}\n"
    )
    answer = speaker._ask(appliance.machine, appliance.amphora_id, routes.UploadKeepalived(text.encode()))
    assert answer.status == 200, answer.words


def test_the_check_tells_whether_haproxy_lives(site: Pair) -> None:
    appliance, speaker = site
    speaker.configure(appliance.machine, _bundle(appliance))
    script = f"{appliance.config.base_path}/vrrp/check_script.sh"
    check = ("sh", "-c", f"{script}; echo status $?")
    assert appliance.run(*check) == "status 0\n"
    folder = Path(appliance.config.base_path) / _bundle(appliance).load_balancer.id
    pid_file = next(folder.glob("*.pid"))
    kept = pid_file.read_text()
    pid_file.write_text("4194304\n")
    assert appliance.run(*check) == "status 1\n"
    pid_file.write_text(kept)
    assert appliance.run(*check) == "status 0\n"


def test_a_killed_keepalived_is_started_again(site: Pair) -> None:
    appliance, speaker = site
    speaker.configure(appliance.machine, _bundle(appliance))
    pid_file = Path(appliance.config.base_path) / "vrrp" / "octavia-keepalived.pid"
    before = int(pid_file.read_text())
    appliance.signal(before, signal.SIGKILL)

    def pid() -> int:
        try:
            return int(pid_file.read_text())
        except (OSError, ValueError):
            return before

    assert eventually(pid, lambda found: found != before) != before
    assert eventually(lambda: speaker.report(appliance.machine, appliance.amphora_id).holds_vip)
    assert eventually(lambda: appliance.get()[0]) == 200


def test_the_death_of_haproxy_gives_the_vip_up_before_any_check_runs(site: Pair) -> None:
    """The check is due once a minute, so that only the agent's notice can have told keepalived."""
    appliance, speaker = site
    rare = replace(_bundle(appliance), timers=VrrpTimers(check_interval=60))
    speaker.configure(appliance.machine, rare)
    assert eventually(lambda: speaker.report(appliance.machine, appliance.amphora_id).holds_vip)
    folder = Path(appliance.config.base_path) / rare.load_balancer.id
    config = folder / "haproxy.cfg"
    good = config.read_bytes()
    # It shall not come up again by itself; whole at once, as it may be started at any moment.
    replace_file(config, b"nonsense\n", 0o600)
    down = Path(appliance.config.base_path) / "vrrp" / f"{rare.load_balancer.id}.down"
    assert down.read_text() == "0\n"
    for pid in speaker.report(appliance.machine, appliance.amphora_id).haproxy_pids:
        appliance.signal(pid, signal.SIGKILL)
    assert eventually(lambda: not speaker.report(appliance.machine, appliance.amphora_id).holds_vip)
    assert down.read_text() == "1\n"
    replace_file(config, good, 0o600)
    assert eventually(lambda: speaker.report(appliance.machine, appliance.amphora_id).holds_vip)
    assert down.read_text() == "0\n"
    assert eventually(lambda: appliance.get()[0]) == 200
    assert eventually(lambda: speaker.configure(appliance.machine, _bundle(appliance))) is not None


def test_without_listeners_keepalived_still_holds_the_vip(site: Pair) -> None:
    appliance, speaker = site
    speaker.configure(appliance.machine, _bundle(appliance))
    speaker.configure(appliance.machine, _bundle(appliance, served=False))
    time.sleep(3.5)  # longer than the check takes to make up its mind (2 failures, 1 s apart)
    report = speaker.report(appliance.machine, appliance.amphora_id)
    assert (report.haproxy, report.holds_vip) == (DaemonState.STOPPED, True)
    speaker.configure(appliance.machine, _bundle(appliance))
    assert eventually(lambda: appliance.get()[0]) == 200


def test_stopping_keepalived_gives_the_vip_up(site: Pair) -> None:
    appliance, speaker = site
    speaker.configure(appliance.machine, _bundle(appliance))
    assert eventually(lambda: speaker.report(appliance.machine, appliance.amphora_id).holds_vip)
    assert speaker._ask(appliance.machine, appliance.amphora_id, routes.ActOnKeepalived("stop")).status == 202
    assert eventually(lambda: not speaker.report(appliance.machine, appliance.amphora_id).holds_vip)
    with pytest.raises((OSError, DriverError)):
        appliance.get(timeout=0.3)
