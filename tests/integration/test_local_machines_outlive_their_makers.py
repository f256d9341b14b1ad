"""Machines of the embedded site: they live on, die, come back, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.local_site import SLEEPER, LocalSite, a_site, eventually

from lbdrivers.errors import PermanentError, TemporaryError
from lbdrivers.model.infra import Machine, MachineRequest, MachineStatus

MAKER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from support.local_site import LocalSite
site = LocalSite(Path(sys.argv[2]))
print(site.compute.ensure(site.request(sys.argv[3])).address)
"""


@pytest.fixture
def site() -> Iterator[LocalSite]:
    with a_site() as local:
        yield local


def make(site: LocalSite, name: str) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", MAKER, str(Path(__file__).parents[1]), str(site.state), name]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


def status(site: LocalSite) -> MachineStatus | None:
    machine = site.compute.find("web")
    return machine.status if machine else None


def test_a_machine_survives_the_process_that_made_it(site: LocalSite) -> None:
    with make(site, "web") as maker:
        output, _ = maker.communicate(timeout=60)
    found = site.compute.find("web")
    assert found is not None
    assert found.status is MachineStatus.RUNNING
    assert found.address == output.strip()
    assert site.compute.known() == {"web"}
    before = site.processes("machines")
    assert site.compute.ensure(site.request("web")) == found
    assert site.processes("machines") == before
    assert len(before) == 1


def test_makers_that_run_at_once_give_one_machine(site: LocalSite) -> None:
    site.port("management-web")
    makers = [make(site, "web") for _ in range(4)]
    outputs = set()
    for maker in makers:
        with maker:
            outputs.add(maker.communicate(timeout=60)[0])
            assert maker.returncode == 0
    assert len(outputs) == 1
    assert len(site.processes("machines")) == 1


def test_threads_that_run_at_once_give_one_machine_each(site: LocalSite) -> None:
    made: list[Machine] = []
    requests = [site.request(name) for name in ("one", "two", "one", "two")]
    threads = [threading.Thread(target=lambda r=request: made.append(site.compute.ensure(r))) for request in requests]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 4
    assert {machine.name for machine in made} == {"one", "two"}
    assert len({machine.address for machine in made}) == 2
    assert len(site.processes("machines")) == 2


def test_the_first_port_is_eth0_with_its_address(site: LocalSite) -> None:
    machine = site.compute.ensure(site.request("web"))
    port = site.network.port("management-web")
    assert port is not None
    assert port.machine == "web"
    eth0 = site.links("web")["eth0"]
    assert eth0["address"] == port.mac
    assert [a["local"] for a in eth0["addr_info"] if a["family"] == "inet"] == [machine.address]
    assert eth0["mtu"] == 1500
    assert "UP" in eth0["flags"]
    assert machine.vantage is not None
    reached = ["nsenter", f"--net={machine.vantage}", "ping", "-c1", "-W5", str(machine.address)]
    assert subprocess.run(reached, capture_output=True, check=False).returncode == 0


def test_files_are_in_memory_and_for_root_alone(site: LocalSite) -> None:
    secret = os.urandom(24).hex().encode()
    big = os.urandom(150_000).hex().encode()
    path = "/etc/octavia/certs/deep/server.pem"
    site.compute.ensure(site.request("web", {path: secret, "/var/lib/octavia/big": big}))
    assert site.inside("web", "cat", path).encode() == secret
    assert site.inside("web", "stat", "-c", "%a %U", path).strip() == "600 root"
    assert site.inside("web", "cat", "/var/lib/octavia/big").encode() == big
    assert not Path("/etc/octavia/certs/deep").exists()
    for file in site.state.rglob("*"):
        assert not file.is_file() or secret not in file.read_bytes()


def test_the_controllers_state_is_hidden(site: LocalSite) -> None:
    (site.state / "key.pem").write_text("secret")
    site.compute.ensure(site.request("web"))
    assert site.inside("web", "ls", "-A", str(site.state)) == ""
    (site.state / "key.pem").unlink()


def test_a_dead_machine_is_found_stopped_and_boots_again_with_all_its_ports(site: LocalSite) -> None:
    request = site.request("web", {"/etc/octavia/first": b"1"})
    address = site.compute.ensure(request).address
    site.port("vrrp", "public")
    site.compute.attach("web", "vrrp")
    pid = site.site.machine("web").pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: status(site) is MachineStatus.STOPPED)
    assert site.processes("machines") == []
    assert site.compute.known() == {"web"}
    with pytest.raises(TemporaryError):
        site.compute.attach("web", "vrrp")
    again = site.compute.ensure(request)
    assert again.status is MachineStatus.RUNNING
    assert again.address == address
    port = site.network.port("vrrp")
    assert port is not None
    assert {link["address"] for link in site.links("web").values()} >= {port.mac}


def test_a_machine_that_lost_its_network_is_found_in_error_and_repaired(site: LocalSite) -> None:
    request = site.request("web")
    address = site.compute.ensure(request).address
    pid = site.site.fabric.pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: site.site.fabric.pid() is None)
    lost = site.compute.find("web")
    assert lost is not None
    assert lost.status is MachineStatus.ERROR
    eventually(lambda: "eth0" not in site.links("web"))
    again = site.compute.ensure(request)
    assert again.status is MachineStatus.RUNNING
    assert [a["local"] for a in site.links("web")["eth0"]["addr_info"] if a["family"] == "inet"] == [address]


def test_ports_are_plugged_and_unplugged_any_number_of_times(site: LocalSite) -> None:
    site.compute.ensure(site.request("web"))
    port = site.port("vrrp", "public")
    for _ in range(2):
        site.compute.attach("web", "vrrp")
        links = [link for link in site.links("web").values() if link["address"] == port.mac]
        assert len(links) == 1
    # The agent moves the link into a namespace of its own and renames it; it stays plugged.
    site.inside("web", "ip", "netns", "add", "amphora-haproxy")
    site.inside("web", "ip", "link", "set", links[0]["ifname"], "netns", "amphora-haproxy", "name", "eth1")
    site.compute.attach("web", "vrrp")
    assert port.mac not in {link["address"] for link in site.links("web").values()}
    plugged = site.network.port("vrrp")
    assert plugged is not None
    assert plugged.machine == "web"
    for _ in range(2):
        site.compute.detach("web", "vrrp")
        assert "eth1" not in site.inside("web", "ip", "-n", "amphora-haproxy", "link")
    assert site.network.port("vrrp") == port
    site.compute.detach("nobody", "vrrp")
    site.compute.detach("web", "nothing")


def test_a_port_belongs_to_one_machine(site: LocalSite) -> None:
    site.compute.ensure(site.request("one"))
    site.compute.ensure(site.request("two"))
    site.port("vrrp", "public")
    site.compute.attach("one", "vrrp")
    with pytest.raises(PermanentError, match="machine one"):
        site.compute.attach("two", "vrrp")
    site.compute.remove("one")
    port = site.network.port("vrrp")
    assert port is not None
    assert port.machine is None
    site.compute.attach("two", "vrrp")
    with pytest.raises(PermanentError, match="no port"):
        site.compute.attach("two", "nothing")
    with pytest.raises(PermanentError, match="no machine"):
        site.compute.attach("one", "management-one")


def test_a_machine_whose_port_is_missing_leaves_no_process(site: LocalSite) -> None:
    with pytest.raises(PermanentError, match="no port"):
        site.compute.ensure(MachineRequest("web", ("nothing",)))
    eventually(lambda: status(site) is MachineStatus.STOPPED)
    assert site.processes("machines") == []


def test_what_is_absent_is_removed_with_success(site: LocalSite) -> None:
    site.compute.remove("nothing")
    site.network.remove_port("nothing")
    assert site.compute.find("nothing") is None
    with pytest.raises(PermanentError, match="cannot be used"):
        site.compute.find("../escape")


def test_a_removed_machine_leaves_its_ports_and_then_nothing(site: LocalSite) -> None:
    site.compute.ensure(site.request("web"))
    port = site.network.port("management-web")
    site.compute.remove("web")
    site.compute.remove("web")
    assert site.compute.find("web") is None
    left = site.network.port("management-web")
    assert left is not None
    assert port is not None
    assert (left.fixed, left.mac, left.machine) == (port.fixed, port.mac, None)
    site.network.remove_port("management-web")
    assert list(site.state.iterdir()) == []
    assert site.processes() == []


def test_the_command_is_started_again_when_it_ends() -> None:
    with a_site(("/bin/sh", "-c", "echo $$ >> /run/starts; exit 3")) as site:
        site.compute.ensure(site.request("web"))
        # The first start may still be on its way.
        starts = ("sh", "-c", "test ! -e /run/starts || cat /run/starts")
        eventually(lambda: len(site.inside("web", *starts).split()) >= 3)
        assert "ended: status 3" in site.compute.console("web")


def test_processes_in_a_machine_may_take_leave() -> None:
    """SIGTERM first, as keepalived needs a moment to hand its VIP over; whoever ignores it is killed."""
    program = "trap 'echo goodbye > $0; exit' TERM; echo ready > $0.ready; while :; do sleep 0.01; done"
    with a_site() as outer:
        note = outer.state.with_suffix(".note")
        ready = Path(f"{note}.ready")
        try:
            with a_site(("/bin/sh", "-c", program, str(note))) as site:
                site.compute.ensure(site.request("web"))
                eventually(ready.exists)
                site.compute.remove("web")
                assert note.read_text() == "goodbye\n"
        finally:
            note.unlink(missing_ok=True)
            ready.unlink(missing_ok=True)
    with a_site(("/bin/sh", "-c", "trap '' TERM; exec " + " ".join(SLEEPER))) as site:
        site.compute.ensure(site.request("deaf"))
        site.compute.remove("deaf")
        assert site.processes("machines") == []
