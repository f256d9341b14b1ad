"""Networks of the embedded site: guests reach each other over them, and the host never notices."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.local_site import LocalSite, a_site, eventually

from lbdrivers.errors import PermanentError, TemporaryError
from lbdrivers_amphora.site.guests import Guest, Plug, known_guests
from lbdrivers_amphora.site.namespaces import in_namespace


@pytest.fixture
def site() -> Iterator[LocalSite]:
    with a_site() as local:
        yield local


def host_network() -> list[str]:
    commands = (("link",), ("address",), ("route", "show", "table", "all"), ("-6", "route"), ("rule",), ("netns",))
    run = [subprocess.run(["ip", "-j", *c], capture_output=True, text=True, check=True).stdout for c in commands]
    # Lifetimes of addresses tick by themselves.
    return ["".join(part for part in text.split(",") if "life_time" not in part) for text in run]


def test_guests_reach_each_other_and_the_host_is_unchanged() -> None:
    before = host_network()
    with a_site() as site:
        client = Guest(site.site, "client").ensure([Plug("public-subnet")])
        server = Guest(site.site, "server").ensure([Plug("public-subnet", "10.211.16.77"), Plug("private-subnet")])
        assert server.addresses[0] == "10.211.16.77"
        assert len(server.addresses) == 2
        assert client.run(["ping", "-c1", "-W5", server.addresses[0]]).returncode == 0
        assert client.run(["ping", "-c1", "-W1", server.addresses[1]]).returncode != 0
        full = ["ping", "-c1", "-W5", "-M", "do", "-s", "1472", server.addresses[0]]
        assert client.run(full).returncode == 0
        assert known_guests(site.site) == {"client", "server"}
        site.compute.ensure(site.request("web"))
        assert host_network() == before
    assert host_network() == before


def test_a_socket_keeps_the_namespace_in_which_it_was_made(site: LocalSite) -> None:
    with Guest(site.site, "one").ensure([Plug("public-subnet")]) as one:
        listener = one.in_namespace(socket.create_server, ("0.0.0.0", 8080))
        with listener, Guest(site.site, "two").ensure([Plug("public-subnet")]) as two:
            address = (one.addresses[0], 8080)
            with two.in_namespace(socket.create_connection, address) as caller:
                accepted, peer = listener.accept()
                accepted.close()
                assert peer[0] == two.addresses[0]
                assert caller.getpeername() == address


def test_what_a_function_raises_in_a_namespace_is_raised_here(site: LocalSite) -> None:
    with Guest(site.site, "one").ensure([Plug("public-subnet")]) as one, pytest.raises(ZeroDivisionError):
        one.in_namespace(divmod, 1, 0)
    with pytest.raises(TemporaryError, match="gone"):
        in_namespace("/proc/999999999/ns/net", divmod, 1, 1)


def test_programs_in_a_guest_end_with_their_handle_and_with_the_guest(site: LocalSite) -> None:
    guest = Guest(site.site, "one").ensure([Plug("public-subnet")])
    with guest.popen(["sleep", "12345"]) as process:
        eventually(lambda: "12345" in guest.run(["ps", "ax"]).stdout)
        process.kill()
    eventually(lambda: "12345" not in guest.run(["ps", "ax"]).stdout)
    told = ["sh", "-c", "trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done"]
    with guest.popen(told, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        process.terminate()
        assert process.wait(20) == 7
    with guest.popen(["sleep", "12345"]) as process:
        guest.kill()
        assert process.wait(20) != 0
    with pytest.raises(TemporaryError, match="not running"):
        guest.run(["true"])
    guest.kill()


def test_a_program_that_takes_too_long_is_ended(site: LocalSite) -> None:
    with Guest(site.site, "one").ensure([Plug("public-subnet")]) as guest:
        began = time.monotonic()
        with pytest.raises(subprocess.TimeoutExpired):
            guest.run(["sleep", "60"], timeout=0.1)
        assert time.monotonic() - began < 30
        eventually(lambda: "sleep 60" not in guest.run(["ps", "ax"]).stdout)


def test_a_guest_cannot_have_an_address_that_is_taken(site: LocalSite) -> None:
    site.port("vip", "public", "10.211.16.5")
    with pytest.raises(PermanentError, match="in use") as caught:
        Guest(site.site, "one").ensure([Plug("public-subnet", "10.211.16.5")])
    assert "port vip holds it" in caught.value.operator
    Guest(site.site, "one").kill()
    with pytest.raises(PermanentError, match="called"):
        Guest(site.site, "one.2")


def test_networks_of_a_file_with_ipv6(tmp_path: Path) -> None:
    file = tmp_path / "networks.yaml"
    file.write_text(
        """
        networks:
        - id: 11111111-1111-4111-8111-111111111111
          name: both
          mtu: 1400
          subnets:
          - {id: 21111111-1111-4111-8111-111111111111, name: four, cidr: 192.0.2.0/29, controller_address: 192.0.2.6}
          - {id: 31111111-1111-4111-8111-111111111111, name: six, cidr: "2001:db8::/64", gateway: "2001:db8::1"}
        """
    )
    configuration = tmp_path / "lbdrivers.conf"
    configuration.write_text(f"[local]\nnetworks_file = {file}\n")
    with a_site(configuration=(configuration,)) as site:
        assert site.network.controller_address("both") == "192.0.2.6"
        first = Guest(site.site, "one").ensure([Plug("six")])
        second = Guest(site.site, "two").ensure([Plug("six")])
        assert first.addresses == ("2001:db8::2",)
        assert first.run(["ping", "-c1", "-W5", second.addresses[0]]).returncode == 0
        assert "mtu 1400" in first.run(["ip", "link", "show", "eth0"]).stdout
        first.kill()
        second.kill()


def test_eight_processes_allocate_without_a_collision(site: LocalSite) -> None:
    program = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
        "from support.local_site import LocalSite\n"
        "site = LocalSite(Path(sys.argv[2]))\n"
        "for i in range(10): print(site.port(f'{sys.argv[3]}-{i}').fixed[0].address)"
    )
    here = str(Path(__file__).parents[1])
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, here, str(site.state), str(i)], stdout=subprocess.PIPE, text=True
        )
        for i in range(8)
    ]
    addresses: list[str] = []
    for process in processes:
        with process:
            addresses += process.communicate(timeout=60)[0].split()
            assert process.returncode == 0
    assert len(addresses) == 80
    assert sorted(addresses, key=lambda a: int(a.rpartition(".")[2])) == [f"10.211.0.{i}" for i in range(2, 82)]
    assert len({port.mac for port in site.network.ports()}) == 80
