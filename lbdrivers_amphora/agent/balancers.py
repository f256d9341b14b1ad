"""HAProxy on the appliance: upload, start, stop, reload in the mildest way, delete.

Law: pure. A file is checked by the real HAProxy before it is swapped in. What is *applied* (a copy of
what the process really runs with) is kept apart from what is wanted; a change goes from one to the
other by runtime commands where they suffice, by a verified reload else. The last good file stays.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from lbdrivers_amphora.agent import certificates, states
from lbdrivers_amphora.agent.effects import (
    Announce,
    AskHaproxy,
    AskWorkers,
    AwaitHaproxy,
    CountTotals,
    Exists,
    ListFolder,
    Program,
    ReadFile,
    ReloadHaproxy,
    Remove,
    Rename,
    Service,
    ServicePid,
    StartService,
    StopService,
    WriteFile,
    do,
)
from lbdrivers_amphora.agent.haproxy_check import check
from lbdrivers_amphora.agent.layout import Layout
from lbdrivers_amphora.agent.responses import Response, failure, md5, success
from lbdrivers_amphora.agent.vrrp import haproxy_check
from lbdrivers_amphora.haproxy import answers, process
from lbdrivers_amphora.haproxy.certificates import Exchange, NotAtRuntime
from lbdrivers_amphora.haproxy.narrow import narrow, outline
from lbdrivers_amphora.haproxy.parse import has_server, parse
from lbdrivers_amphora.haproxy.peers import peer_name
from lbdrivers_amphora.haproxy.server_state import carry
from lbdrivers_amphora.haproxy.stats import parse_statistics
from lbdrivers_amphora.haproxy.transition import Nothing, Reload, Runtime, Transition, transition
from lbdrivers_amphora.wire.agent_config import ACTIVE_STANDBY
from lbdrivers_amphora.wire.routes import (
    ActOnBalancer,
    DeleteListeners,
    GetHaproxy,
    UploadHaproxy,
)

#: Words that begin a section of a configuration other than global (HAProxy configuration manual 2.6).
_OTHER_SECTION = re.compile(
    "backend|cache|defaults|fcgi-app|frontend|http-errors|listen|log-forward|mailers|peers|program|resolvers|ring|userlist"
)
_BIND = re.compile(r"^\s*bind\s+(\S+):\d+(?:\s|$)", re.MULTILINE)


def balancers(layout: Layout) -> Program[tuple[str, ...]]:
    """Ids of the load balancers that the appliance has a configuration of."""
    found: list[str] = []
    for name in (yield from do(ListFolder(layout.config.base_path))):
        exists = yield from do(Exists(layout.haproxy_config(name)))
        found += [name] if exists else []
    return tuple(found)


def upload(layout: Layout, request: UploadHaproxy) -> Program[Response]:
    """Check the text and swap it in; starts and reloads nothing."""
    balancer = request.load_balancer_id
    path, peer = layout.haproxy_config(balancer), peer_name(request.amphora_id)
    try:
        text = without_group(request.content.decode())
    except UnicodeDecodeError as error:
        return failure(400, "Invalid request", f"the text is not UTF-8: {error}")
    same = (yield from do(ReadFile(path))) == text.encode()
    if not same or (yield from certificates.changed(layout, balancer, text)):
        yield from do(WriteFile(layout.peer(balancer), peer.encode()))
        checked = yield from check(layout, balancer, peer, text.encode())
        if not checked.ok:
            yield from do(Rename(layout.haproxy_new(balancer), f"{path}.new-failed"))
            yield from certificates.restore(layout, balancer)
            return failure(400, "Invalid request", checked.words)
        yield from do(Rename(layout.haproxy_new(balancer), path))
    return success(202, etag=md5(request.content))


def without_group(text: str) -> str:
    """The text without ``group`` lines of its global section: the appliance's own file has the one that counts."""
    if "group" not in text:
        return text
    kept: list[str] = []
    in_global = False
    for line in text.split("\n"):
        word = next(iter(line.split(maxsplit=1)), "")
        in_global = word == "global" or (in_global and not _OTHER_SECTION.fullmatch(word))
        kept += [] if in_global and word == "group" else [line]
    return "\n".join(kept)


def get(layout: Layout, request: GetHaproxy) -> Program[Response]:
    """The text that is wanted."""
    text = yield from do(ReadFile(layout.haproxy_config(request.load_balancer_id)))
    if text is None:
        return _unknown(request.load_balancer_id)
    return Response(200, text, md5(text))


def _unknown(balancer: str) -> Response:
    return failure(404, "Loadbalancer Not Found", f"No loadbalancer with UUID: {balancer}")


def service(layout: Layout, balancer: str) -> Program[Service]:
    """The HAProxy of a load balancer, with the peer name that its upload told."""
    peer = yield from do(ReadFile(layout.peer(balancer)))
    return layout.haproxy(balancer, peer.decode() if peer else peer_name(layout.config.amphora_id))


def act(layout: Layout, request: ActOnBalancer) -> Program[Response]:
    """Start, stop or reload. Reloading what does not run starts it."""
    balancer, action = request.object_id, request.action
    text = yield from do(ReadFile(layout.haproxy_config(balancer)))
    if text is None:
        return _unknown(balancer)
    daemon = yield from service(layout, balancer)
    pid = yield from do(ServicePid(daemon))
    if action == "stop":
        return (yield from _stop(layout, balancer, daemon))
    yield from refresh_check(layout)
    if pid is None:
        response = yield from _start(layout, balancer, daemon)
        action = "start"
    elif action == "start":
        response = success(202, _started(balancer), transition="nothing", commands=[])
    else:
        response = yield from _change(layout, balancer, daemon, text)
    if layout.config.loadbalancer_topology != ACTIVE_STANDBY and _renewed(response):
        yield from do(Announce(bound_addresses(text.decode())))
    return response


def _renewed(response: Response) -> bool:
    """Whether a process began to serve: then its neighbours shall hear where the addresses are."""
    return isinstance(response.body, Mapping) and response.body.get("transition") in ("reload", "restart")


def bound_addresses(text: str) -> tuple[str, ...]:
    """Addresses on ``bind`` lines that are not loopback."""
    found = dict.fromkeys(address.strip("[]") for address in _BIND.findall(text))
    return tuple(address for address in found if not address.startswith("127.") and address not in ("*", "::1", "::"))


def _started(balancer: str) -> str:
    return f"Configuration file is valid\nhaproxy daemon for {balancer} started"


def _stop(layout: Layout, balancer: str, daemon: Service) -> Program[Response]:
    yield from refresh_check(layout, without=balancer)
    outcome = yield from do(StopService(daemon))
    if not outcome.ok:
        return failure(500, "Error stopping haproxy", outcome.words)
    yield from do(Remove(layout.haproxy_applied(balancer)))
    return success(202, f"Listener {balancer} stoped")


def _start(layout: Layout, balancer: str, daemon: Service) -> Program[Response]:
    # A fresh process starts from the file alone: states saved before an earlier reload are history.
    yield from do(WriteFile(layout.server_state(balancer), b"1\n"))
    yield from do(Remove(layout.lingering(balancer)))
    outcome = yield from do(StartService(daemon))
    if outcome.ok:
        outcome = yield from do(AwaitHaproxy(daemon, layout.socket(balancer)))
    if not outcome.ok:
        return failure(500, "Error starting haproxy", outcome.words)
    text = yield from do(ReadFile(layout.haproxy_config(balancer)))
    yield from certificates.settle(layout, balancer, (text or b"").decode(), {})
    return success(202, _started(balancer), transition="restart", commands=[])


def _change(layout: Layout, balancer: str, daemon: Service, wanted: bytes) -> Program[Response]:
    """From what is applied to what is wanted, in the mildest way that works."""
    applied = yield from do(ReadFile(layout.haproxy_applied(balancer)))
    decision, exchange = yield from _decide(layout, balancer, applied, wanted)
    kind = decision.kind
    commands: tuple[str, ...] | None = ()
    if isinstance(decision, Nothing | Runtime):
        commands = yield from _at_runtime(layout, balancer, decision, exchange)
        kind = "reload" if commands is None else "runtime" if commands else kind
    if kind == "restart":
        yield from do(StopService(daemon))
        return (yield from _start(layout, balancer, daemon))
    if kind == "reload":
        yield from _save(layout, balancer, wanted)
        outcome = yield from do(ReloadHaproxy(daemon, layout.socket(balancer), layout.master_socket(balancer)))
        if not outcome.ok:
            return (yield from _keep_last_good(layout, balancer, applied, outcome.words))
        yield from do(Remove(layout.lingering(balancer)))
    if applied != wanted:
        yield from do(WriteFile(layout.haproxy_applied(balancer), wanted))
    if kind == "reload" or exchange is not None:
        stores = exchange.stores if exchange is not None and kind != "reload" else {}
        yield from certificates.settle(layout, balancer, wanted.decode(), stores)
    return success(202, f"Listener {balancer} reloaded", transition=kind, commands=list(commands or ()))


def _at_runtime(
    layout: Layout, balancer: str, decision: Nothing | Runtime, exchange: Exchange | None
) -> Program[tuple[str, ...] | None]:
    """The commands that were carried out; None when one was not."""
    commands = tuple(decision.commands) if isinstance(decision, Runtime) else ()
    if exchange is not None and not (yield from certificates.begin(layout, balancer, exchange)):
        return None
    if commands and not (yield from _carry_out(layout, balancer, commands)):
        return None
    if exchange is None:
        return commands
    yield from certificates.end(layout, balancer, exchange)
    return (*exchange.told, *commands, *exchange.removals)


def _decide(
    layout: Layout, balancer: str, applied: bytes | None, wanted: bytes
) -> Program[tuple[Transition, Exchange | None]]:
    if applied is None:
        return Reload("what runs is not known"), None
    tls = yield from certificates.concern(layout, balancer)
    if applied == wanted and not tls:
        return Nothing(), None
    try:
        running, desired = (parse(text.decode()) for text in narrow(applied, wanted))
        # A certificate may concern every section.
        outlines = [parse(outline(text).decode()) for text in (applied, wanted)] if tls else []
    except ValueError as error:
        # Another controller's file: valid for HAProxy, which checked it, but not of our form.
        if applied != wanted:
            return Reload(f"not of our form: {error}"), None
        stale = yield from certificates.changed(layout, balancer, wanted.decode())
        return (Reload("certificates changed") if stale else Nothing()), None
    exchange = (yield from certificates.exchange(layout, balancer, *outlines)) if tls else None
    if isinstance(exchange, NotAtRuntime):
        return Reload(str(exchange)), None
    if exchange is not None:
        running, desired = exchange.in_names_of_process(running, desired)
    info, lists = (yield from do(AskHaproxy(layout.socket(balancer), ("show info", "show acl")))) or ("", "")
    lingering = yield from _lingering(layout, balancer, applied)
    return transition(running, desired, process.read(info, lists, lingering)), exchange


def _carry_out(layout: Layout, balancer: str, commands: tuple[str, ...]) -> Program[bool]:
    """Command by command: those behind one that failed may stand on it."""
    said: list[str] = []
    for command in commands:
        answer = yield from do(AskHaproxy(layout.socket(balancer), (command,)))
        if answer is None or answers.failures((command,), answer):
            return False
        said += answer
    known = yield from _noted_lingering(layout, balancer)
    yield from _note_lingering(layout, balancer, known, known | answers.lingering(commands, said))
    return True


def _lingering(layout: Layout, balancer: str, applied: bytes) -> Program[frozenset[tuple[str, str]]]:
    """Servers that were removed at run time and still have connections; most have lost their last one by now."""
    known = yield from _noted_lingering(layout, balancer)
    if not known:
        return known
    text = applied.decode()
    removals = tuple(
        f"del server {backend}/{server}"
        for backend, server in sorted(known)
        # A file may have brought it back since, in a process that was started anew.
        if not has_server(text, backend, server)
    )
    said = (yield from do(AskHaproxy(layout.socket(balancer), removals))) if removals else ()
    left = known if said is None else answers.lingering(removals, said)
    yield from _note_lingering(layout, balancer, known, left)
    return left


def _noted_lingering(layout: Layout, balancer: str) -> Program[frozenset[tuple[str, str]]]:
    text = yield from do(ReadFile(layout.lingering(balancer)))
    return frozenset((backend, server) for backend, server in json.loads(text or b"[]"))


def _note_lingering(
    layout: Layout, balancer: str, known: frozenset[tuple[str, str]], left: frozenset[tuple[str, str]]
) -> Program[None]:
    if left != known:
        yield from do(WriteFile(layout.lingering(balancer), json.dumps(sorted(left)).encode()))


def _save(layout: Layout, balancer: str, wanted: bytes) -> Program[None]:
    """Carry server states and counters over the reload."""
    answers = yield from do(AskHaproxy(layout.socket(balancer), ("show servers state",)))
    try:
        state = "" if answers is None else carry(answers[0], parse(wanted.decode()))
    except ValueError:
        state = "" if answers is None else answers[0].strip() + "\n"
    yield from do(WriteFile(layout.server_state(balancer), (state or "1\n").encode()))
    workers = yield from do(AskWorkers(layout.socket(balancer), layout.master_socket(balancer)))
    counted = {worker: states.counted(parse_statistics(text)) for worker, text in workers.items()}
    if counted:
        yield from do(CountTotals(layout.counters, balancer, counted))


def _keep_last_good(layout: Layout, balancer: str, applied: bytes | None, words: str) -> Program[Response]:
    """HAProxy kept its old configuration; so does the disk, else a crash would bring up the bad one."""
    path = layout.haproxy_config(balancer)
    yield from certificates.restore(layout, balancer)
    if applied is not None:
        yield from do(Rename(path, f"{path}.new-failed"))
        yield from do(WriteFile(path, applied))
    return failure(500, "Error reloading haproxy", words)


def refresh_check(layout: Layout, without: str | None = None) -> Program[None]:
    """Have keepalived's check look at every load balancer but ``without``."""
    if layout.config.loadbalancer_topology != ACTIVE_STANDBY:
        return
    files: list[str] = []
    for balancer in (yield from balancers(layout)):
        daemon = yield from service(layout, balancer)
        files += [daemon.pid_file] if balancer != without else []
    path = f"{layout.check_scripts}/haproxy_check_script.sh"
    text = haproxy_check(files).encode()
    if (yield from do(ReadFile(path))) != text:
        yield from do(WriteFile(path, text, 0o755))


def delete(layout: Layout, request: DeleteListeners) -> Program[Response]:
    """Stop HAProxy and remove all of the load balancer; absent is success."""
    balancer = request.object_id
    if not (yield from do(Exists(layout.haproxy_config(balancer)))):
        return success(200)
    yield from refresh_check(layout, without=balancer)
    outcome = yield from do(StopService((yield from service(layout, balancer))))
    if not outcome.ok:
        return failure(500, "Error stopping haproxy", outcome.words)
    for path in (layout.socket(balancer), layout.certificates(balancer), layout.folder(balancer)):
        yield from do(Remove(path))
    return success(200)


_SECTION = re.compile(r"^(\w+)[ \t]*(\S*)")


def listed(layout: Layout) -> Program[list[dict[str, str]]]:
    """One entry per frontend of every configuration."""
    entries: list[dict[str, str]] = []
    for balancer in (yield from balancers(layout)):
        text = yield from do(ReadFile(layout.haproxy_config(balancer)))
        entries += frontends((text or b"").decode())
    return entries


def frontends(text: str) -> list[dict[str, str]]:
    """Frontends of any haproxy.cfg with the type that their lines show."""
    entries: list[dict[str, str]] = []
    inside = False
    for line in text.splitlines():
        section = _SECTION.match(line)
        if section:
            inside = section[1] == "frontend" and "prometheus" not in section[2]
            if inside:
                entries.append({"status": "ACTIVE", "uuid": section[2], "type": ""})
            continue
        words = line.split()
        if not inside or len(words) < 2:
            continue
        if words[0] == "mode" and not entries[-1]["type"]:
            entries[-1]["type"] = words[1].upper()
        if words[0] == "bind" and "ssl" in words and "crt-list" in words:
            entries[-1]["type"] = "TERMINATED_HTTPS"
    return entries
