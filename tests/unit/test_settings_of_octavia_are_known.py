"""Configuration files: Octavia's are understood, what is outdated is told, what nobody knows is refused."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest
from oslo_config import cfg

import lbdrivers
import lbdrivers_amphora
from lbdrivers import settings
from lbdrivers.errors import InvalidInput
from lbdrivers.settings import check
from lbdrivers.settings.declared import declared, names_of
from lbdrivers.settings.names import CURRENT, OUTDATED, WHOLE, WHOLE_PREFIX
from lbdrivers_amphora import client_settings
from lbdrivers_amphora import settings as amphora
from lbdrivers_amphora.certificates import local as certificates
from lbdrivers_amphora.options import OPTIONS

DATA = Path(__file__).parent / "data"
QUEENS = DATA / "octavia-queens.conf"
AGENT = DATA / "amphora-agent.conf"
HEALTH = DATA / "octavia-health-manager.conf"
#: Each of these files has the heartbeat key of the examples.
WEAK_KEYS = "[health_manager]\nallow_weak_heartbeat_key = true\n"


def written(folder: Path, text: str) -> Path:
    file = folder / "given.conf"
    file.write_text(text)
    return file


def test_its_heartbeat_key_is_one_that_everybody_knows(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="heartbeat_key: is an example that everybody knows"):
        amphora.read(settings.load([QUEENS], state_path=tmp_path))


def test_octavias_file_of_2018_is_loaded(tmp_path: Path) -> None:
    allowing = written(tmp_path, WEAK_KEYS)
    configuration = settings.load([QUEENS, allowing], state_path=tmp_path)
    core = settings.read(configuration)
    assert core.database == "mysql+pymysql://octavia:octavia_123@controller/octavia"
    assert core.default_provider == "amphora"
    values = amphora.read(configuration)
    assert values.topology == "SINGLE"
    drivers = (values.compute_driver, values.network_driver, values.amphora_driver, values.certificate_driver)
    assert drivers == ("nova", "neutron", "rest", "local")
    assert values.management_networks == ("18a03d0a-8ad6-41e2-93ad-1abe8edce9b6",)
    assert values.active_timeout == 500.0
    assert client_settings.read(configuration).port == 9443
    found = certificates.read(configuration)
    assert found.server_authority == (
        Path("/etc/octavia/certs/ca_01.pem"),
        Path("/etc/octavia/certs/private/cakey.pem"),
    )
    assert found.client == (Path("/etc/octavia/certs/ca_01.pem"), Path("/etc/octavia/certs/client.pem"))
    assert found.passphrase is not None and found.passphrase.reveal() == b"foobar"


def test_what_octavia_has_dropped_is_named_in_one_warning() -> None:
    found = settings.examine([QUEENS])
    assert {str(place) for place, _ in found.outdated} == {
        "[api_settings] api_v1_enabled",
        "[api_settings] api_v2_enabled",
        "[health_manager] event_streamer_driver",
        "[health_manager] sync_provisioning_status",
        "[anchor]",
        "[controller_worker] amp_image_id",
        "[oslo_messaging] rpc_thread_pool_size",
        "[oslo_messaging_rabbit] rabbit_host",
        "[oslo_messaging_rabbit] rabbit_userid",
        "[oslo_messaging_rabbit] rabbit_password",
    }
    warning = found.warning()
    assert "\n" not in warning
    image = f"[controller_worker] amp_image_id ({QUEENS}:76): use [controller_worker] amp_image_tag"
    assert image in warning
    assert "octavia_123" not in warning and "rabbitmq_123" not in warning


def test_what_has_no_meaning_here_is_noted() -> None:
    found = settings.examine([HEALTH])
    assert found.warning() == ""
    assert "[health_manager] bind_ip" in found.note({})
    assert found.note({"health_manager": {place.option for place in found.known}}) == ""


def test_the_agents_file_is_loaded(tmp_path: Path) -> None:
    found = settings.examine([AGENT])
    names = [place.option for place, _ in found.outdated]
    assert names == ["respawn_count", "respawn_interval", "use_upstart", "amphora_udp_driver"]
    allowing = written(tmp_path, WEAK_KEYS)
    assert amphora.read(settings.load([AGENT, allowing], state_path=tmp_path)).topology == "ACTIVE_STANDBY"


def test_several_files_are_one_configuration(tmp_path: Path) -> None:
    later = written(tmp_path, WEAK_KEYS + "[controller_worker]\nloadbalancer_topology = ACTIVE_STANDBY\n")
    assert amphora.read(settings.load([QUEENS, later], state_path=tmp_path)).topology == "ACTIVE_STANDBY"


def test_hyphens_for_underscores_are_put_right() -> None:
    with pytest.raises(InvalidInput) as caught:
        settings.load([DATA / "amphora-agent-hyphens.conf"])
    assert [problem.remedy for problem in caught.value.problems] == [
        "did you mean haproxy_amphora?",
        "did you mean health_manager?",
        "did you mean amphora_agent?",
        "did you mean controller_worker?",
    ]


@pytest.mark.parametrize(
    ("text", "line", "path", "remedy"),
    [
        ("[controller_worker]\nloadbalancer_topolgy = SINGLE\n", 2, "[controller_worker] loadbalancer_topolgy",
         "did you mean loadbalancer_topology?"),
        ("[haproxy_amphora]\n\n# x\nbind-port = 1\n", 4, "[haproxy_amphora] bind-port", "did you mean bind_port?"),
        ("[controller_workr]\n", 1, "[controller_workr]", "did you mean controller_worker?"),
        ("[DEFAULT]\nheartbeat_key = x\n", 2, "[DEFAULT] heartbeat_key",
         "did you mean [health_manager] heartbeat_key?"),
        ("heartbeat_key = x\n", 1, "[DEFAULT] heartbeat_key", "did you mean [health_manager] heartbeat_key?"),
        ("[local]\nboot_time = 1\n", 2, "[local] boot_time", "did you mean boot_timeout?"),
        ("[lbdrivers]\nstate_pth = /x\n", 2, "[lbdrivers] state_pth", "did you mean state_path?"),
        ("[zzz]\n", 1, "[zzz]", "remove it"),
        ("[nova]\nqqqqqqqqqq = 1\n", 2, "[nova] qqqqqqqqqq", "remove it"),
        ("[nova]\nname = a\n  b\nregion_nam = 1\n", 2, "[nova] name", "remove it"),
    ],
)  # fmt: skip
def test_what_nobody_knows_is_refused(tmp_path: Path, text: str, line: int, path: str, remedy: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(InvalidInput) as caught:
        settings.load([file])
    problem = caught.value.problems[0]
    assert (problem.location, problem.path) == (f"{file}:{line}", path)
    assert problem.remedy.startswith(remedy)
    assert "nobody knows" in problem.message


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        settings.load([written(tmp_path, "[nowhere]\nx = 1\n[nova]\ny = 2\n[local]\nz = 3\n")])
    assert [problem.path for problem in caught.value.problems] == ["[nowhere]", "[nova] y", "[local] z"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[nova\n", "Invalid section"),
        ("no assignment\n", "No ':' or '='"),
        (" continued\n", "continuation"),
        ("= 3\n", "empty"),
        ("[]\n", "Empty section"),
    ],
)
def test_what_is_no_ini_file_is_refused_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    file = written(tmp_path, "# first\n" + text)
    with pytest.raises(InvalidInput, match=words) as caught:
        settings.load([file])
    assert caught.value.problems[0].location == f"{file}:2"


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        settings.load([tmp_path / "absent.conf"])
    (tmp_path / "binary.conf").write_bytes(b"\xff\xfe[x]")
    with pytest.raises(InvalidInput, match="UTF-8"):
        settings.load([tmp_path / "binary.conf"])


@pytest.mark.parametrize(
    "text",
    [
        "[keystone_authtoken]\nanything = 1\n",
        "[database]\nmax_retries = 1\nconnection = sqlite:////tmp/x\n",
        "[oslo_messaging_notifications]\ndriver = noop\n",
        "[oslo_policy]\npolicy_file = x\n",
        "[glance]\nvalid_interfaces = internal\n",
        "[neutron]\nauth_url = http://x\n",
        "[service_auth]\nmemcached_servers = x\n",
        "[Nova]\nregion_name = x\n",
        "[DEFAULT]\ntransport_url = rabbit://\nrpc_response_timeout = 60\n",
        "[database]\nconnection = sqlite:////tmp/a\n  b\n\n# comment\n; comment\n[local]\n",
    ],
)
def test_what_others_own_is_accepted(tmp_path: Path, text: str) -> None:
    assert settings.examine([written(tmp_path, text)]).warning() == ""


@pytest.mark.parametrize(("section", "option"), sorted(OUTDATED))
def test_each_outdated_name_says_what_replaces_it(tmp_path: Path, section: str, option: str) -> None:
    text = f"[{section}]\n" + (f"{option} = 1\n" if option else "inside = 1\n")
    found = settings.examine([written(tmp_path, text)])
    assert [(str(place), instead) for place, instead in found.outdated] == [
        (f"[{section}] {option}".rstrip(), OUTDATED[section, option])
    ]
    assert OUTDATED[section, option].removeprefix("nothing: ") in found.warning()
    assert option not in CURRENT.get(section, ())


@pytest.mark.parametrize("instead", sorted({text for text in OUTDATED.values() if text.startswith("[")}))
def test_what_replaces_an_option_is_known(instead: str) -> None:
    section, _, rest = instead[1:].partition("] ")
    option = rest.split()[0].rstrip(",")
    ours = {one.name for one in OPTIONS.get(section, ())}
    assert section in WHOLE or section.startswith(WHOLE_PREFIX) or option in CURRENT[section] or option in ours


@pytest.mark.parametrize(
    ("retries", "expected"),
    [
        ("", 60.0),
        ("amp_active_retries = 100\namp_active_wait_sec = 5\n", 500.0),
        ("amp_active_retries = 2\n", 20.0),
        ("amp_active_wait_sec = 1\n", 30.0),
        ("amp_active_timeout = 7\namp_active_retries = 2\n", 7.0),
    ],
)
def test_octavias_way_to_say_how_long_to_wait(tmp_path: Path, retries: str, expected: float) -> None:
    file = written(tmp_path, f"[controller_worker]\n{retries}")
    assert amphora.read(settings.load([file], state_path=tmp_path)).active_timeout == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "[controller_worker]\nloadbalancer_topology = BOTH\n",
            "given.conf:2: loadbalancer_topology: is refused: .*BOTH",
        ),
        ("[task_flow]\nmax_workers = 0\n", "given.conf:2: max_workers: is refused"),
        ("[controller_worker]\namp_boot_network_list =\n", "name a management network"),
    ],
)
def test_a_bad_value_is_told_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words) as caught:
        amphora.read(settings.load([written(tmp_path, text)], state_path=tmp_path))
    assert "LocationInfo" not in str(caught.value)


def test_an_error_without_a_place_is_told_as_it_is(tmp_path: Path) -> None:
    assert str(settings.refusal(ValueError("no"))) == "configuration: no"
    sentence = f"Value for option a from LocationInfo(location=x, detail='{tmp_path}/gone') is not valid: b"
    assert str(settings.refusal(ValueError(sentence))) == f"{tmp_path}/gone: a: is refused: b"


def test_octavias_name_of_its_provider_is_ours(tmp_path: Path) -> None:
    file = written(tmp_path, "[api_settings]\ndefault_provider_driver = octavia\n")
    assert settings.read(settings.load([file], state_path=tmp_path)).default_provider == "amphora"


def test_drivers_declarations_are_read_only_for_names_that_nothing_else_knows() -> None:
    asked = []

    def more() -> dict[str, set[str]]:
        asked.append(True)
        return {"vendor": {"speed"}}

    names = check.Names({"lbdrivers": {"state_path"}}, more)
    known = check.places("[lbdrivers]\nstate_path = x\n[nova]\nregion_name = x\n[oslo_x]\ny = 1\n", "f")
    check.check(known, names)
    assert not asked
    check.check(check.places("[vendor]\nspeed = 1\n", "f"), names)
    with pytest.raises(InvalidInput, match="did you mean speed"):
        check.check(check.places("[vendor]\nsped = 1\n", "f"), names)
    assert len(asked) == 1


def registrations(module: ModuleType) -> set[tuple[str, str]]:
    """Every option that a module makes at its top level."""
    made: set[tuple[str, str]] = set()
    for value in vars(module).values():
        if isinstance(value, tuple):
            made |= {(module.__name__, option.dest) for option in value if isinstance(option, cfg.Opt)}
    return made


def test_every_option_that_is_read_is_declared() -> None:
    """Else a file that sets it would be refused: add it to ``OPTIONS`` of the package."""
    known = declared()
    for section, options in names_of(settings.OPTIONS).items():
        known.setdefault(section, set()).update(options)
    everything = set().union(*known.values())
    for package in (lbdrivers, lbdrivers_amphora):
        folder = Path(package.__path__[0])
        for file in folder.rglob("*.py"):
            text = file.read_text()
            if "register_opt" not in text:
                continue
            name = ".".join(file.relative_to(folder.parent).with_suffix("").parts).removesuffix(".__init__")
            for module, option in registrations(importlib.import_module(name)):
                assert option in everything, f"{module} reads {option}, which no OPTIONS declares"
