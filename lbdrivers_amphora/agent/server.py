"""The agent's process: HTTPS in, programs performed, JSON out.

Law: a handshake without a certificate of the controllers' authority fails; so does one below TLS 1.2.
Requests that change something run one after another, those that only look beside them. Daemons
outlive this process.
"""

from __future__ import annotations

import argparse
import logging
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from flask import Flask, Response, jsonify, request
from gunicorn.app.base import BaseApplication
from werkzeug.exceptions import HTTPException

from lbdrivers_amphora.agent import core, datagrams, effects, files, responses, services
from lbdrivers_amphora.agent.beacon import Beacon
from lbdrivers_amphora.agent.host import Host, unprivileged
from lbdrivers_amphora.agent.layout import NAMESPACE, Layout
from lbdrivers_amphora.agent.namespace import Namespace
from lbdrivers_amphora.nftables.checks import Target
from lbdrivers_amphora.wire import agent_config, routes
from lbdrivers_amphora.wire.agent_config import AgentConfig
from lbdrivers_amphora.wire.fields import Malformed
from lbdrivers_amphora.wire.request import Refused, Request

_LOG = logging.getLogger(__name__)

#: Threads that serve requests; changes wait for each other, looks do not.
_THREADS = 8
#: Seconds that an idle connection of the controller is kept.
_KEEP_ALIVE = 75
#: A certificate, crt-list or configuration is far smaller; what is larger is no request of ours.
_BODY_LIMIT = 64 << 20
_TLS_VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}


class Agent:
    """The agent in its process: configuration, host, and the order of requests."""

    def __init__(self, config: AgentConfig, config_file: Path) -> None:
        self.layout = Layout(config)
        self._config_file = config_file
        namespace = Namespace(NAMESPACE)
        namespace.ensure()
        self._supervisor: services.Supervisor | None = None
        manager: services.ServiceManager
        if services.systemd_is_init():
            manager = services.Systemd(namespace.path)
        else:
            manager = self._supervisor = services.Supervisor(Path(self.layout.services), namespace)
        self._host = Host(namespace, manager, config.haproxy_cmd, self._reconfigure, self._turned)
        self._beacon = Beacon(lambda: self.layout, self._host.perform)
        self._changes = threading.Lock()

    def boot(self) -> None:
        """Restore what an earlier life left: links first, then the daemons that use them."""
        with self._changes:
            for trouble in effects.run(core.boot(self.layout, unprivileged=unprivileged()), self._host.perform):
                _LOG.error("not restored: %s", trouble)
            if self._supervisor is not None:
                self._supervisor.adopt()
        self._host.warm_up()
        self._beacon.start()

    def handle(self, wanted: Request) -> responses.Response:
        """Carry a request out."""
        if type(wanted) in core.LOOKS:
            return self._run(wanted)
        with self._changes:
            return self._run(wanted)

    def _run(self, wanted: Request) -> responses.Response:
        try:
            return effects.run(core.program(self.layout, wanted), self._host.perform)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            _LOG.exception("%s failed", type(wanted).__name__)
            return responses.failure(500, "Internal Server Error", f"{type(error).__name__}: {error}")

    def _turned(self, balancer: str, down: Mapping[str, Target]) -> bool:
        """Members of a load balancer went down or came up. :returns: whether the rules say so now."""
        with self._changes:
            outcome = effects.run(datagrams.turned(self.layout, balancer, down), self._host.perform)
        if not outcome.ok:
            _LOG.error("datagrams of %s: %s", balancer, outcome.words)
        return outcome.ok

    def _reconfigure(self, content: bytes) -> None:
        """Mutable options work at once, the others when the process starts again."""
        files.replace_file(self._config_file, content, 0o600)
        config, unknown = agent_config.parse(content.decode())
        _report_unknown(self._config_file, unknown)
        self.layout = Layout(agent_config.with_mutable_of(self.layout.config, config))
        self._beacon.reconfigured()


def _report_unknown(path: Path, unknown: tuple[str, ...]) -> None:
    if unknown:
        _LOG.warning("%s: options that mean nothing here: %s", path, ", ".join(unknown))


def application(agent: Agent) -> Flask:
    """The WSGI application: every route of the API, each parsed into its typed request."""
    app = Flask("lbdrivers-amphora-agent", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = _BODY_LIMIT
    for kind in routes.ROUTES:
        rule = kind.PATH.replace("{", "<").replace("}", ">")
        app.add_url_rule(rule, kind.__name__, _view(agent, kind), methods=[kind.METHOD])
    app.register_error_handler(HTTPException, _framework_error)
    return app


def _view(agent: Agent, kind: type[Request]) -> Callable[..., Response]:
    def view(**arguments: str) -> Response:
        try:
            wanted = kind.parse(arguments, request.get_data(cache=False))
        except Refused as refusal:
            return _answer(responses.Response(refusal.status, refusal.payload))
        return _answer(agent.handle(wanted))

    return view


def _answer(response: responses.Response) -> Response:
    if isinstance(response.body, bytes):
        answer = Response(response.body, response.status, mimetype="text/plain")
    else:
        answer = jsonify(response.body)
        answer.status_code = response.status
    if response.etag is not None:
        # The API's ETag is a bare digest, without the quotes of RFC 9110.
        answer.headers["ETag"] = response.etag
    return answer


def _framework_error(error: HTTPException) -> Response:
    return _answer(responses.framework_failure(error.code or 500, str(error)))


class _Server(BaseApplication):  # type: ignore[misc]  # gunicorn ships no types
    """gunicorn with one worker of several threads, speaking mutual TLS."""

    def __init__(self, config: AgentConfig, config_file: Path) -> None:
        self._agent_config, self._config_file = config, config_file
        super().__init__()

    def load_config(self) -> None:
        config = self._agent_config
        host = f"[{config.bind_host}]" if ":" in config.bind_host else config.bind_host
        minimum = _TLS_VERSIONS[config.agent_tls_protocol]

        def context(_config: Any, make: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
            # Made per connection, so that a new certificate serves from the next handshake on.
            made = make()
            made.minimum_version = minimum
            return made

        for name, value in {
            "bind": f"{host}:{config.bind_port}",
            "workers": 1,
            "worker_class": "gthread",
            "threads": _THREADS,
            "timeout": config.agent_request_read_timeout,
            "keepalive": _KEEP_ALIVE,
            "certfile": config.agent_server_cert,
            "ca_certs": config.agent_server_ca,
            "cert_reqs": ssl.CERT_REQUIRED,
            "ssl_context": context,
            "control_socket_disable": True,
            "accesslog": "-" if config.debug else None,
            "errorlog": "-",
            "loglevel": "debug" if config.debug else "warning",
            "proc_name": "lbdrivers-amphora-agent",
        }.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Flask:
        agent = Agent(self._agent_config, self._config_file)
        agent.boot()
        return application(agent)


def main() -> None:
    """``lbdrivers-amphora-agent --config-file FILE``: serve until told to end."""
    parser = argparse.ArgumentParser(prog="lbdrivers-amphora-agent", description="The agent of an amphora.")
    parser.add_argument("--config-file", type=Path, default=Path("/etc/octavia/amphora-agent.conf"))
    path: Path = parser.parse_args().config_file
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        config, unknown = agent_config.parse(path.read_text())
    except (OSError, UnicodeDecodeError, Malformed) as error:
        sys.exit(f"{path}: {error}")
    _report_unknown(path, unknown)
    _Server(config, path).run()


if __name__ == "__main__":
    main()
