"""Starts one process of a real Octavia. Runs inside Octavia's own environment; imports nothing of ours.

    python octavia_server.py (database | api | driver-agent) CONFIGURATION FOLDER PORT

What has to be helped along for SQLite: its tables are made from Octavia's models, as its migrations are
for MariaDB; its pool takes no time limit; the noop network driver has a file of its own.
"""

from __future__ import annotations

import socketserver
import sys
import wsgiref.simple_server
from pathlib import Path

import sqlalchemy


def keep_noop_network_in(folder: Path) -> None:
    """The noop network driver keeps its ports in a fixed place that all Octavias of a machine share."""
    make = sqlalchemy.create_engine

    def create_engine(url, *arguments, **named):
        mine = f"sqlite:///{folder / 'noop-network.sqlite'}"
        return make(mine if "noop" in str(url) else url, *arguments, **named)

    sqlalchemy.create_engine = create_engine


def without_pool_timeout() -> None:
    """SQLite's pool refuses the option, and no configuration file can take it back."""
    from octavia.common import config, service

    prepare = service.prepare_service

    def prepared(argv=None):
        prepare(argv)
        config.cfg.CONF.set_override("pool_timeout", None, "database")

    service.prepare_service = prepared


def make_database() -> None:
    from octavia.db import api, base_models
    from octavia.tests.functional.db.base import OctaviaDBTestBase

    base_models.BASE.metadata.create_all(api.get_engine())

    class Seeds:
        _seed_lookup_table = OctaviaDBTestBase._seed_lookup_table

    session = api.get_session()
    with session.begin():
        OctaviaDBTestBase._seed_lookup_tables(Seeds(), session)


class Threaded(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    daemon_threads = True


def serve_api(port: int, arguments: list[str]) -> None:
    from octavia.api import app

    application = app.setup_app(argv=arguments)
    wsgiref.simple_server.make_server("127.0.0.1", port, application, server_class=Threaded).serve_forever()


def main() -> None:
    role, file, folder, port = sys.argv[1:5]
    arguments = ["octavia", "--config-file", file]
    keep_noop_network_in(Path(folder))
    without_pool_timeout()
    if role == "driver-agent":
        from octavia.cmd import driver_agent

        sys.argv = arguments
        driver_agent.main()
    elif role == "api":
        serve_api(int(port), arguments)
    else:
        from octavia.common import service

        service.prepare_service(arguments)
        make_database()


if __name__ == "__main__":
    main()
