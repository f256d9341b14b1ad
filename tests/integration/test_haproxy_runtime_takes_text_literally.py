"""What a running HAProxy does with hostile text: it compares with it and answers with it, no more."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator

import pytest
from support.bundles import bundle, facts, listener, member, policy, pool, rule, tree
from support.haproxy import Haproxy, free_port, loopback, request, web_servers
from support.patience import eventually

from lbdrivers.drivers.amphora import Vip
from lbdrivers.model.resources import L7Policy, Listener, Pool
from lbdrivers_amphora.haproxy.answers import failures
from lbdrivers_amphora.haproxy.ir import Configuration
from lbdrivers_amphora.haproxy.process import read
from lbdrivers_amphora.haproxy.transition import Runtime, transition
from lbdrivers_amphora.haproxy.translate import translate

pytestmark = pytest.mark.usefixtures("each_haproxy")

_VIP, _MEMBER = loopback(0), loopback(1)
_PORT, _MEMBER_PORT = free_port(_VIP), free_port(_MEMBER)

#: Path -> target of a redirect.
_TARGETS = {
    "/environment": "http://x/%[env(HOME)]",
    "/percent": "http://x/100%%41%",
    "/variable": "http://x/${HOME}$HOME",
    "/format": "http://x/%{+Q}o%ci%[src]",
    "/quotes": "http://x/'a'\"b\"",
    "/backslash": "http://x/\\a\\\\b",
    "/hash": "http://x/#fragment#",
    "/braces": "http://x/{{7*7}}|`id`",
}
#: Value of a header rule that has to match itself; none of the others may.
_VALUES = {
    "hash": "a #b",
    "flag": "-i",
    "end of flags": "--",
    "file": "-f /etc/passwd",
    "single quote": "it's",
    "double quote": '"a b"',
    "backslash": "a\\b\\\\c",
    "backslash at the end": "a\\",
    "percent": "%[env(HOME)]",
    "variable": "${HOME}",
    "braces": "{{ 7*7 }}",
    "or": "a || b",
    "comma": "a;b",
    "not ASCII": "z\u00fcrich \u0661",
}


def _policies() -> tuple[L7Policy, ...]:
    redirects = [
        policy(
            f"redirect {path}",
            "REDIRECT_TO_URL",
            rule(f"path {path}", "PATH", "EQUAL_TO", path),
            redirect_url=target,
        )
        for path, target in _TARGETS.items()
    ]
    prefix = policy(
        "prefix",
        "REDIRECT_PREFIX",
        rule("path prefix", "PATH", "STARTS_WITH", "/prefix"),
        redirect_prefix="http://x/%[env(HOME)]",
        redirect_http_code=307,
    )
    # Each value has a condition behind it that must not get lost.
    matches = [
        policy(
            f"match {name}",
            "REDIRECT_TO_URL",
            rule(f"value {name}", "HEADER", "EQUAL_TO", value, key="X-Value"),
            rule(f"behind {name}", "PATH", "EQUAL_TO", "/match"),
            redirect_url=f"http://matched/{name.replace(' ', '-')}",
        )
        for name, value in _VALUES.items()
    ]
    others = [
        policy(
            "regular expression",
            "REDIRECT_TO_URL",
            rule("expression", "PATH", "REGEX", r"^/re/(a|b)\.x{2}#?'\\$"),
            redirect_url="http://matched/expression",
        ),
        policy(
            "cookie",
            "REJECT",
            rule("cookie", "COOKIE", "CONTAINS", "#'\"", key="a$b`c|d"),
        ),
        policy(
            "file type",
            "REJECT",
            rule("type", "FILE_TYPE", "EQUAL_TO", "-i"),
        ),
        policy(
            "host",
            "REJECT",
            rule("host", "HOST_NAME", "STARTS_WITH", "Admin."),
            rule("not from here", "HEADER", "EQUAL_TO", "yes", key="X-Inside", invert=True),
        ),
    ]
    return (*redirects, prefix, *matches, *others)


@pytest.fixture(scope="module")
def haproxy(each_haproxy: str) -> Iterator[Haproxy]:
    target: Pool = pool(members=(member("m", _MEMBER, _MEMBER_PORT),))
    headers = dict.fromkeys(("X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Proto", "X-Real-IP"), "true")
    entry: Listener = listener(port=_PORT, default_pool_id=target.id, l7policies=_policies(), insert_headers=headers)
    with web_servers([_MEMBER], _MEMBER_PORT), Haproxy() as running:
        load_balancer = tree((entry,), (target,))
        running.start(translate(bundle(load_balancer, vips=(Vip(_VIP, "127.0.0.0/8"),)), facts(str(running.base))))
        assert eventually(lambda: _get("/").startswith(b"HTTP/1.1 200"))
        yield running


def _get(path: str, *headers: str, host: str = "x") -> bytes:
    return request(_VIP, _PORT, "".join(f"{line}\r\n" for line in (f"GET {path} HTTP/1.1", f"Host: {host}", *headers)))


def _location(answer: bytes) -> str:
    return next(line[10:].decode() for line in answer.split(b"\r\n") if line.lower().startswith(b"location: "))


@pytest.mark.parametrize("path", _TARGETS)
def test_a_redirect_answers_exactly_its_url(haproxy: Haproxy, path: str) -> None:
    assert _location(_get(path)) == _TARGETS[path]


def test_a_prefix_is_put_before_the_path_as_it_is(haproxy: Haproxy) -> None:
    answer = _get("/prefix/a?b=%[src]")
    assert answer.startswith(b"HTTP/1.1 307")
    assert _location(answer) == "http://x/%[env(HOME)]/prefix/a?b=%[src]"


@pytest.mark.parametrize("name", _VALUES)
def test_a_value_matches_itself_alone_and_drops_no_condition(haproxy: Haproxy, name: str) -> None:
    header = f"X-Value: {_VALUES[name]}"
    assert _location(_get("/match", header)) == f"http://matched/{name.replace(' ', '-')}"
    assert _get("/elsewhere", header).startswith(b"HTTP/1.1 200")
    assert _get("/match", f"X-Value: {_VALUES[name]}x").startswith(b"HTTP/1.1 200")
    assert _get("/match").startswith(b"HTTP/1.1 200")


def test_a_value_given_at_run_time_matches_itself_alone() -> None:
    """Each value takes the place of the one before it in a running process, and no worker is replaced."""
    port = free_port(_VIP)

    def comparing(running: Haproxy, value: str) -> Configuration:
        found = policy("p", "REJECT", rule("r", "HEADER", "EQUAL_TO", value, key="X-Value"))
        made = tree((listener(port=port, l7policies=(found,)),))
        return translate(bundle(made, vips=(Vip(_VIP, "127.0.0.0/8"),)), facts(str(running.base)))

    def rejected(value: str) -> bool:
        return request(_VIP, port, f"GET / HTTP/1.1\r\nHost: x\r\nX-Value: {value}\r\n").startswith(b"HTTP/1.1 403")

    with Haproxy() as running:
        before = comparing(running, "at first")
        running.start(before)
        worker, last = running.worker(), "at first"
        assert rejected(last)
        for value in _VALUES.values():
            after = comparing(running, value)
            found = transition(before, after, read(running.ask("show info"), running.ask("show acl")))
            assert isinstance(found, Runtime), found
            assert failures(found.commands, running.apply(found.commands)) == ()
            assert rejected(value) and not rejected(last) and not rejected(f"{value}x")
            before, last = after, value
        assert running.worker() == worker


def test_a_regular_expression_is_that_of_the_rule(haproxy: Haproxy) -> None:
    assert _location(_get("/re/a.xx'\\")) == "http://matched/expression"
    assert _get("/re/axxx'\\").startswith(b"HTTP/1.1 200")


def test_names_of_cookies_and_types_of_files(haproxy: Haproxy) -> None:
    assert _get("/", "Cookie: a$b`c|d=x#'\"y").startswith(b"HTTP/1.1 403")
    assert _get("/", "Cookie: other=x#'\"y").startswith(b"HTTP/1.1 200")
    assert _get("/picture.-i").startswith(b"HTTP/1.1 403")
    assert _get("/picture.-I").startswith(b"HTTP/1.1 200")


def test_hosts_compare_without_case_and_inverted_rules_invert(haproxy: Haproxy) -> None:
    assert _get("/", host="aDMIN.example.com").startswith(b"HTTP/1.1 403")
    assert _get("/", "X-Inside: yes", host="admin.example.com").startswith(b"HTTP/1.1 200")


def test_inserted_headers(haproxy: Haproxy) -> None:
    seen = _get("/").decode().lower()
    assert "x-forwarded-for: 127." in seen
    assert f"x-forwarded-port: {_PORT}\n" in seen
    assert "x-forwarded-proto: http\n" in seen
    assert "x-real-ip: 127." in seen


def test_a_project_is_logged_as_it_is() -> None:
    project = "100%[env(HOME)]'\"#\\"
    with Haproxy() as running, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(running.base / "log.sock"))
        log.settimeout(10)
        port = free_port(_VIP)  # of its own: the other HAProxy of this file shares nothing with it
        load_balancer = tree((listener(port=port),), project_id=project)
        # As root: the folder is closed to nobody.
        here = facts(str(running.base), log_socket=str(running.base / "log.sock"), haproxy_user=None)
        running.start(translate(bundle(load_balancer, vips=(Vip(_VIP, "127.0.0.0/8"),)), here))
        assert request(_VIP, port).startswith(b"HTTP/1.1 503")
        lines = iter(lambda: log.recv(65536).decode(), "")
        line = next(line for line in lines if load_balancer.id in line)
        assert f": {project} {load_balancer.id} {listener().id} 127." in line


def test_the_control_is_evaluated(haproxy: Haproxy) -> None:
    """The same target in a context that evaluates, to show that this very HAProxy would."""
    careless = haproxy.base / "careless.cfg"
    port = free_port(_VIP)
    careless.write_text(
        f"defaults\n mode http\n timeout client 1s\nfrontend f\n bind {_VIP}:{port}\n"
        " http-request redirect location http://x/%[env(HOME)]\n"
    )
    process = subprocess.Popen(["haproxy", "-db", "-f", str(careless)], env=os.environ | {"HOME": "/secret"})
    try:

        def ask() -> bytes:
            try:
                return request(_VIP, port)
            except OSError:
                return b""

        assert _location(eventually(ask)) == "http://x//secret"
    finally:
        process.terminate()
        process.wait(10)
