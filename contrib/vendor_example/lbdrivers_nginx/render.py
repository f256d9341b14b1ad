"""A load balancer as an nginx configuration. Law: pure; the same tree always gives the same text.

No text of users is rendered, only ids, addresses and numbers; the tree itself travels in comments at the
beginning, so that text and tree are swapped in one step (JSON has no raw line feed to end a comment).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from lbdrivers.errors import PermanentError
from lbdrivers.model.resources import Algorithm, Listener, ListenerProtocol, LoadBalancer, Pool

_TREE = "#tree "
_LONGEST = 800  # characters, at most 3,200 bytes: nginx reads 4,096 at a time and takes no longer line
_RETURN = "return 200 "
_METHODS = {
    Algorithm.ROUND_ROBIN: "",
    Algorithm.LEAST_CONNECTIONS: "least_conn;",
    Algorithm.SOURCE_IP: "hash $remote_addr consistent;",
    Algorithm.SOURCE_IP_PORT: "hash $remote_addr:$remote_port consistent;",
}
_HASHED = (Algorithm.SOURCE_IP, Algorithm.SOURCE_IP_PORT)
_FORWARD = 'proxy_http_version 1.1; proxy_set_header Host $http_host; proxy_set_header Connection ""; '
# Nothing is kept on disk: workers may not reach the folder, and a load balancer need not.
_UNBUFFERED = "proxy_request_buffering off; proxy_max_temp_file_size 0; client_max_body_size 0;"


def quoted(text: str) -> str:
    """One word of nginx's language. Its quotes protect blanks and braces, but nothing escapes a ``$``.

    :raises PermanentError: when the text has a character that cannot be carried literally.
    """
    if bad := sorted({one for one in text if one in '"\\$' or not one.isprintable()}):
        raise PermanentError(f"nginx cannot take {bad} in {text!r}")
    return f'"{text}"'


def place(address: str, port: int) -> str:
    """An address with its port."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def configuration(tree: LoadBalancer, address: str, folder: str, module: str) -> str:
    """The text of ``nginx.conf``; ``revision`` gives the tree and the revision back."""
    http = "\n".join(_context(tree, address, http=True))
    stream = "\n".join(_context(tree, address, http=False))
    revision = hashlib.sha256(f"{address}\n{http}\n{stream}".encode()).hexdigest()
    plain = tree.model_dump_json()
    lines = [
        *(_TREE + plain[start : start + _LONGEST] for start in range(0, len(plain), _LONGEST)),
        f"load_module {quoted(module)};" if module else "",
        "worker_processes 1; worker_shutdown_timeout 30s; pid pid; error_log error.log warn;",
        "events { worker_connections 4096; }",
        f"http {{ access_log off; {_UNBUFFERED}",
        *(f"{what}_temp_path tmp-{what};" for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")),
        # Answered by the worker that runs: so an observer learns which configuration is in force.
        f"server {{ listen {quoted(f'unix:{folder}/control')}; {_RETURN}{revision}; }}",
        http,
        f"}}\nstream {{\n{stream}\n}}\n",
    ]
    return "\n".join(lines)


def parsed(text: str) -> tuple[LoadBalancer, str]:
    """The tree that a configuration was made of, and its revision."""
    plain = "".join(line.removeprefix(_TREE) for line in text.split("\n") if line.startswith(_TREE))
    revision = text.rpartition(f'control"; {_RETURN}')[2].partition(";")[0]
    return LoadBalancer.model_validate_json(plain), revision


def serving(tree: LoadBalancer) -> tuple[Listener, ...]:
    """The listeners that are switched on."""
    return tuple(one for one in tree.listeners if tree.admin_state_up and one.admin_state_up)


def _context(tree: LoadBalancer, address: str, *, http: bool) -> Iterator[str]:
    listeners = [one for one in serving(tree) if (one.protocol is ListenerProtocol.HTTP) is http]
    pools = {pool.id: pool for pool in tree.pools if pool.admin_state_up and pool.members}
    used = {one.default_pool_id for one in listeners} & set(pools)
    for pool_id in sorted(used, key=str):
        yield from _upstream(pools[str(pool_id)])
    for listener in listeners:
        listen = f"listen {place(address, listener.protocol_port)};"
        target = f"proxy_pass {'http://' if http else ''}pool_{listener.default_pool_id};"
        nothing = "return 503;" if http else 'return "";'
        action = target if listener.default_pool_id in used else nothing
        yield f"server {{ {listen} {f'location / {{ {_FORWARD}{action} }}' if http else action} }}"


def _upstream(pool: Pool) -> Iterable[str]:
    """nginx knows no backup servers where it hashes: there they serve when all others are switched off."""
    hashed = pool.lb_algorithm in _HASHED
    primaries = any(one.admin_state_up and one.weight and not one.backup for one in pool.members)
    yield f"upstream pool_{pool.id} {{ {_METHODS[pool.lb_algorithm]}"
    for member in pool.members:
        words = [f"server {place(member.address, member.protocol_port)}", f"weight={max(member.weight, 1)}"]
        if not member.admin_state_up or not member.weight or (hashed and member.backup and primaries):
            words.append("down")
        if member.backup and not hashed and primaries:
            words.append("backup")
        yield " ".join(words) + ";"
    yield "}"
