"""The command line, as its users meet it: real processes, the memory provider behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SUBNET = "11111111-1111-4111-8111-111111111111"
DOCUMENT = f"""
loadbalancer:
  name: web
  provider: memory
  vip_subnet_id: {SUBNET}
  listeners:
    - name: http
      protocol: HTTP
      protocol_port: 80
      default_pool:
        name: pool
        protocol: HTTP
        lb_algorithm: ROUND_ROBIN
        members:
          - {{address: 192.0.2.11, protocol_port: 8080}}
          - {{address: 192.0.2.12, protocol_port: 8080, weight: 7}}
        healthmonitor: {{type: HTTP, delay: 1, timeout: 1, max_retries: 2}}
"""
FAILING = """
from lbdrivers.drivers.context import Progress
from lbdrivers.errors import PermanentError
from lbdrivers.memory.provider import MemoryProvider

class Failing(MemoryProvider):
    def __init__(self, context):
        super().__init__(context)
        self._report = context.report

    def apply(self, desired, applied):
        self._report(Progress("boot machine", "amphora-1", "started"))
        self._report(Progress("boot machine", "amphora-1", "done", 0.42))
        self._report(Progress("plug VIP", "amphora-1", "failed", 1.5))
        guilty = desired.listeners[0].id
        raise PermanentError("the VIP's network is full", "neutron said 409", object_id=guilty)
"""
FLAKY = """
import pathlib
from lbdrivers.drivers.provider import Mildness, PlannedAction
from lbdrivers.errors import TemporaryError
from lbdrivers.memory.provider import MemoryProvider

class Failing(MemoryProvider):
    def plan(self, desired, applied):
        if pathlib.Path("drifted").exists():
            return (PlannedAction("amphora 1", "replace", Mildness.REPLACE),)
        return super().plan(desired, applied)

    def apply(self, desired, applied):
        if not pathlib.Path("tried").exists():
            pathlib.Path("tried").touch()
            raise TemporaryError("no machine is free", "quota 0 of 0", retry_after=0.01)
        pathlib.Path("drifted").unlink(missing_ok=True)
        super().apply(desired, applied)
"""
WAITING = """
import pathlib
import time
from lbdrivers.drivers.context import Progress
from lbdrivers.memory.provider import MemoryProvider

class Failing(MemoryProvider):
    def __init__(self, context):
        super().__init__(context)
        self._report = context.report

    def apply(self, desired, applied):
        self._report(Progress("boot machine", "amphora-1", "done", 0.42))
        while not pathlib.Path("go").exists():
            time.sleep(0.01)
        super().apply(desired, applied)
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs the command with a state folder of its own, in a folder with ``web.yaml``."""
    (tmp_path / "web.yaml").write_text(DOCUMENT)
    environment = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    environment |= {"LBDRIVERS_STATE_PATH": str(tmp_path / "state"), "PYTHONPATH": str(tmp_path)}

    def call(*arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "lbdrivers", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=environment | extra, capture_output=True, text=True, timeout=60, check=False
        )

    return call


def answer(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_from_apply_to_delete(run: Run, tmp_path: Path) -> None:
    done = run("apply", "web.yaml")
    assert (done.returncode, done.stderr) == (0, "")
    assert "reach it at http://" in done.stdout
    assert "192.0.2.12:8080  weight 7  ● ONLINE" in done.stdout
    assert "monitor  HTTP GET / -> 200, every 1 s" in done.stdout
    assert "\x1b" not in done.stdout

    done = run("apply", "web.yaml")
    assert done.returncode == 0
    assert "nothing to change" in done.stdout

    again = answer(run("apply", "web.yaml", "--json"))
    assert (again["changed"], again["actions"], again["provisioning_status"]) == (False, [], "ACTIVE")
    assert set(again) >= {"load_balancer_id", "name", "vip_address", "seconds", "steps"}

    shown = answer(run("show", "web", "--json"))
    assert shown == answer(run("--state", str(tmp_path / "state"), "show", again["load_balancer_id"], "--json"))
    assert shown["vip_address"] == again["vip_address"]
    members = [(member["address"], member["operating_status"]) for member in shown["pools"][0]["members"]]
    assert members == [("192.0.2.11", "ONLINE"), ("192.0.2.12", "ONLINE")]
    assert "◀ VIP" in run("show", "web").stdout

    listed = run("list").stdout.splitlines()
    assert listed[0].split() == ["NAME", "ID", "VIP", "PROVIDER", "PROVISIONING", "OPERATING", "LISTENERS"]
    assert listed[1].split()[:4] == ["web", again["load_balancer_id"], again["vip_address"], "memory"]
    assert answer(run("list", "--json"))["loadbalancers"][0]["id"] == again["load_balancer_id"]

    statistics = answer(run("stats", "web", "--json"))
    assert set(statistics["total"]) == {
        "active_connections",
        "bytes_in",
        "bytes_out",
        "request_errors",
        "total_connections",
        "requests",
    }
    assert "total" in run("stats", "web").stdout

    assert answer(run("failover", "web", "--json"))["provisioning_status"] == "ACTIVE"
    assert answer(run("show", "web", "--json"))["vip_address"] == again["vip_address"]

    assert "deleted web" in run("delete", "web").stdout
    assert answer(run("list", "--json")) == {"loadbalancers": []}


def test_plan_says_what_apply_would_do_and_does_nothing(run: Run, tmp_path: Path) -> None:
    planned = answer(run("plan", "web.yaml", "--json"))
    assert planned["name"] == "web"
    assert planned["actions"]
    assert answer(run("list", "--json")) == {"loadbalancers": []}
    assert run("apply", "web.yaml").returncode == 0
    assert "nothing to change" in run("plan", "web.yaml").stdout
    (tmp_path / "web.yaml").write_text(DOCUMENT.replace("weight: 7", "weight: 8"))
    (action,) = answer(run("plan", "web.yaml", "--json"))["actions"]
    assert set(action) == {"subject", "action", "mildness"}
    assert answer(run("apply", "web.yaml", "--json"))["changed"] is True


def test_a_bad_file_is_refused_with_its_lines(run: Run, tmp_path: Path) -> None:
    (tmp_path / "web.yaml").write_text(DOCUMENT.replace("weight: 7", "weight: 700").replace("  name: web\n", ""))
    done = run("apply", "web.yaml")
    assert done.returncode == 2
    path = "loadbalancer.listeners[0].default_pool.members[1].weight"
    assert f"error: web.yaml:15: {path}: is too large: the most is 256 (got 700)" in done.stderr.splitlines()
    assert len(done.stderr.splitlines()) == 2
    assert done.stdout == ""
    assert not (tmp_path / "state").exists()
    done = run("apply", "web.yaml", "--json")
    assert (done.returncode, [problem["location"] for problem in json.loads(done.stdout)["problems"]]) == (
        2,
        ["web.yaml:2", "web.yaml:15"],
    )


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("apply", "absent.yaml"), 2, "absent.yaml: cannot be read: No such file or directory"),
        (("apply", "."), 2, "cannot be read: Is a directory"),
        (("apply", "latin1.yaml"), 2, "latin1.yaml:2: is not UTF-8 (got byte 0xe9); save it as UTF-8"),
        (("show", "nobody"), 2, "no load balancer of that name or id (got nobody); there is none yet"),
        (("delete", "nobody"), 2, "no load balancer of that name or id"),
        (("apply", "other.yaml"), 1, "there is no provider 'nobody'; installed: "),
        (("networks", "--driver", "memory"), 1, "cannot list networks"),
        (("--config-file", "absent.conf", "list"), 2, "absent.conf"),
        (("launch",), 2, "invalid choice: 'launch'"),
        (("apply",), 2, "FILE"),
        (("apply", "web.yaml", "--timeout", "-1"), 2, "--timeout"),
        ((), 2, "COMMAND"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], status: int, words: str
) -> None:
    (tmp_path / "latin1.yaml").write_bytes("a: b\nname: caf\xe9\n".encode("latin-1"))
    (tmp_path / "other.yaml").write_text(DOCUMENT.replace("memory", "nobody"))
    done = run(*arguments)
    assert done.returncode == status
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def plant_provider(folder: Path, source: str) -> None:
    """A provider named ``failing``, as pip leaves it, and a document for it."""
    information = folder / "failing-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: failing\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[lbdrivers.providers]\nfailing = failing_provider:Failing\n")
    (folder / "failing_provider.py").write_text(source)
    (folder / "web.yaml").write_text(DOCUMENT.replace("provider: memory", "provider: failing"))


def test_a_failure_has_its_cause_and_the_next_attempt(run: Run, tmp_path: Path) -> None:
    plant_provider(tmp_path, FAILING)
    done = run("apply", "web.yaml")
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["error: the VIP's network is full", "  neutron said 409"]
    steps = [line.split() for line in done.stdout.splitlines()]
    assert ["ok", "boot", "machine", "amphora-1", "0.42", "s"] in steps
    assert ["failed", "plug", "VIP", "amphora-1", "1.50", "s"] in steps
    shown = run("show", "web").stdout
    assert "✖ ERROR" in shown
    assert "cause  the VIP's network is full" in shown
    assert "neutron said 409" in shown
    assert "next attempt  " in shown
    described = answer(run("show", "web", "--json"))
    listener = described["listeners"][0]["id"]
    assert (described["cause"], described["cause_object_id"]) == ("the VIP's network is full", listener)
    assert described["next_attempt"] > 0
    assert "deleted web" in run("delete", "web").stdout


def test_what_fails_for_now_is_tried_again_and_said(run: Run, tmp_path: Path) -> None:
    plant_provider(tmp_path, FLAKY)
    done = run("apply", "web.yaml")
    assert (done.returncode, done.stderr) == (0, "")
    assert "  wait  no machine is free (quota 0 of 0); again in 0.0 s" in done.stdout.splitlines()


def test_what_has_drifted_is_repaired_by_applying_the_same_file(run: Run, tmp_path: Path) -> None:
    plant_provider(tmp_path, FLAKY)
    assert run("apply", "web.yaml").returncode == 0
    assert answer(run("apply", "web.yaml", "--json"))["changed"] is False
    (tmp_path / "drifted").touch()
    action = {"subject": "amphora 1", "action": "replace", "mildness": "replace"}
    assert answer(run("plan", "web.yaml", "--json"))["actions"] == [action]
    assert answer(run("apply", "web.yaml", "--json"))["actions"] == [action]
    assert not (tmp_path / "drifted").exists()
    assert "nothing to change" in run("apply", "web.yaml").stdout


def test_verbose_tells_the_chain_of_causes(run: Run) -> None:
    done = run("-v", "apply", "web.yaml", LBDRIVERS_STATE_PATH="/proc/nowhere")
    assert done.returncode == 2
    assert "caused by" in done.stderr
    assert "Traceback" not in done.stderr


def test_colours_are_for_terminals(run: Run) -> None:
    assert "\x1b[" in run("drivers", FORCE_COLOR="1").stdout
    assert "\x1b[3" not in run("drivers", FORCE_COLOR="1", NO_COLOR="1").stdout


def test_an_interrupted_command_is_completed_by_running_it_again(run: Run, tmp_path: Path) -> None:
    plant_provider(tmp_path, WAITING)
    environment = os.environ | {"LBDRIVERS_STATE_PATH": str(tmp_path / "state"), "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", "lbdrivers", "apply", "web.yaml"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert "boot machine" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _output, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == "error: interrupted; what was begun is remembered: run the same command again to complete it\n"
    (tmp_path / "go").touch()
    assert answer(run("apply", "web.yaml", "--json"))["provisioning_status"] == "ACTIVE"


HOOK = """
import os
import pathlib
import threading
from lbdrivers.errors import PermanentError

def start(state_path, command_line):
    calls = pathlib.Path("calls")
    threads = threading.active_count()
    with calls.open("a") as stream:
        stream.write(f"{state_path} {os.environ['LBDRIVERS_STATE_PATH']} {threads} {' '.join(command_line[1:])}\\n")
    if pathlib.Path("refuse").exists():
        raise PermanentError("not on this host")
"""


def test_start_hooks_run_first_and_know_how_to_start_again(run: Run, tmp_path: Path) -> None:
    information = tmp_path / "hook-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: hook\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[lbdrivers.start]\nhook = planted_hook:start\n")
    (tmp_path / "planted_hook.py").write_text(HOOK)
    assert run("drivers").returncode == 0
    assert not (tmp_path / "calls").exists()
    assert run("list", "--state", "elsewhere").returncode == 0
    expected = f"elsewhere {tmp_path / 'elsewhere'} 1 -m lbdrivers list --state elsewhere\n"
    assert (tmp_path / "calls").read_text() == expected
    (tmp_path / "refuse").touch()
    done = run("apply", "web.yaml")
    assert (done.returncode, done.stderr) == (1, "error: not on this host\n")


def test_a_reader_that_goes_away_is_no_traceback(run: Run, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "lbdrivers", "drivers"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
    assert done.returncode == 1


def test_arguments_are_parsed_without_importing_what_works() -> None:
    """So that --help answers at once."""
    script = "import sys; from lbdrivers.cli import parse; parse(['list']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    heavy = {"pydantic", "rich", "sqlalchemy", "yaml", "stevedore", "oslo_config", "taskflow", "lbdrivers.document"}
    assert not heavy & set(done.stdout.split())


def test_options_count_before_and_after_the_command() -> None:
    from lbdrivers.cli import parse

    parsed = parse(["--config-file", "a", "-v", "--state", "x", "list", "--config-file", "b", "-v"])
    assert [str(path) for path in parsed.config_file] == ["a", "b"]
    assert (parsed.verbose, str(parsed.state)) == (2, "x")
    assert str(parse(["--state", "x", "list", "--state", "y"]).state) == "y"
