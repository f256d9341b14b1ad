"""Certificate files on the appliance: kept, given to the running HAProxy, and removed when nothing refers to them.

Law: pure. What a process has read is noted beside its applied configuration; a new certificate goes to it by
runtime commands, verified by what it shows afterwards, else by a reload. Contents pass through no decision:
effects name files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from lbdrivers_amphora.agent.effects import (
    AskHaproxy,
    ListFolder,
    LoadCertificate,
    Program,
    ReadFile,
    Remove,
    WriteFile,
    do,
)
from lbdrivers_amphora.agent.layout import Layout
from lbdrivers_amphora.agent.responses import Response, failure, md5, success
from lbdrivers_amphora.haproxy import certificates
from lbdrivers_amphora.haproxy.certificates import Exchange, Files, NotAtRuntime
from lbdrivers_amphora.haproxy.ir import Configuration
from lbdrivers_amphora.wire.routes import DeleteCertificate, GetCertificate, PutCertificate

#: No certificate is in a list of certificates; its first bytes tell them apart.
_PEM = b"-----BEGIN"


@dataclass(frozen=True)
class Held:
    """What the process has read.

    :param files: file name -> MD5; :param lists: text of the lists among them.
    :param stores: file name -> name that the process knows its content by, where they differ.
    :param noted: whether that is known at all.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    lists: Mapping[str, str] = field(default_factory=dict)
    stores: Mapping[str, str] = field(default_factory=dict)
    noted: bool = False


def put(layout: Layout, request: PutCertificate) -> Program[Response]:
    """Keep a PEM or crt-list; what runs gets it at its next change."""
    path = layout.certificate(request.load_balancer_id, request.name)
    if (yield from do(ReadFile(path))) != request.content:
        yield from do(WriteFile(path, request.content))
    return success(200, etag=md5(request.content))


def get(layout: Layout, request: GetCertificate) -> Program[Response]:
    """Its digest; the content stays here."""
    content = yield from do(ReadFile(layout.certificate(request.load_balancer_id, request.name)))
    if content is None:
        return failure(404, "Certificate Not Found", f"No certificate with filename: {request.name}")
    return Response(200, {"md5sum": md5(content)}, md5(content))


def delete(layout: Layout, request: DeleteCertificate) -> Program[Response]:
    """Remove it; absent is success."""
    yield from do(Remove(layout.certificate(request.load_balancer_id, request.name)))
    return success(200)


def held(layout: Layout, balancer: str) -> Program[Held]:
    """What the process has read; nothing when that is not known."""
    text = yield from do(ReadFile(layout.certificates_applied(balancer)))
    found = {} if text is None else json.loads(text)
    return Held(found["files"], found["lists"], found["stores"], noted=True) if "stores" in found else Held()


def kept(layout: Layout, balancer: str) -> Program[Mapping[str, str]]:
    """MD5 of what the process has read, as long as its file says the same: the next start would read the file."""
    there, _, _ = yield from _on_disk(layout, balancer)
    known = yield from held(layout, balancer)
    return {name: revision for name, revision in known.files.items() if there.get(name) == revision}


def concern(layout: Layout, balancer: str) -> Program[bool]:
    """Whether the load balancer has, or had, any certificate here."""
    known = yield from held(layout, balancer)
    return bool(known.files or (yield from do(ListFolder(layout.certificates(balancer)))))


def as_read(layout: Layout, balancer: str) -> Program[bool]:
    """Whether the files that are there are those that the process has read."""
    there, _, _ = yield from _on_disk(layout, balancer)
    return there == (yield from held(layout, balancer)).files


def changed(layout: Layout, balancer: str, text: str) -> Program[bool]:
    """Whether a file that the text refers to is not as the process has read it."""
    there, lists, _ = yield from _on_disk(layout, balancer)
    known = yield from held(layout, balancer)
    names = certificates.kept(text, layout.certificates(balancer), lists)
    return any(known.files.get(name) != there[name] for name in names if name in there)


def exchange(
    layout: Layout, balancer: str, running: Configuration, wanted: Configuration
) -> Program[Exchange | NotAtRuntime]:
    """What the process must be told of certificates, or why it cannot be told.

    :param running: one server of each backend is enough, in ``wanted`` too.
    """
    there, lists, sizes = yield from _on_disk(layout, balancer)
    known = yield from held(layout, balancer)
    folder = layout.certificates(balancer)
    try:
        before = Files(running, _names(known.lists, folder), known.files)
        return certificates.exchange(folder, before, Files(wanted, _names(lists, folder), there, sizes), known.stores)
    except NotAtRuntime as reason:
        return reason


def _names(lists: Mapping[str, str], folder: str) -> dict[str, tuple[str, ...]]:
    return {
        name: tuple(path.removeprefix(f"{folder}/") for path in certificates.listed(text))
        for name, text in lists.items()
    }


def begin(layout: Layout, balancer: str, found: Exchange) -> Program[bool]:
    """Give the process what is new. Whether it took all of it, and shows it."""
    for load in found.loads:
        if not (yield from do(LoadCertificate(layout.socket(balancer), load))).ok:
            return False
    if not found.gains:
        return True
    answers = yield from do(AskHaproxy(layout.socket(balancer), found.gains))
    return answers is not None and all(map(certificates.entered, answers))


def end(layout: Layout, balancer: str, found: Exchange) -> Program[None]:
    """Take from the process what nothing refers to any more. What a server that is going still uses stays in
    its memory until the next reload, and does no harm there."""
    if found.removals:
        yield from do(AskHaproxy(layout.socket(balancer), found.removals))


def settle(layout: Layout, balancer: str, text: str, stores: Mapping[str, str]) -> Program[None]:
    """The process has read what is there: note it, and remove the files that nothing refers to."""
    there, lists, _ = yield from _on_disk(layout, balancer)
    names = certificates.kept(text, layout.certificates(balancer), lists)
    for name in there:
        if name not in names:
            yield from do(Remove(layout.certificate(balancer, name)))
    note = {
        "files": {name: digest for name, digest in there.items() if name in names},
        "lists": {name: entries for name, entries in lists.items() if name in names},
        "stores": dict(stores),
    }
    path, content = layout.certificates_applied(balancer), json.dumps(note).encode()
    if (yield from do(ReadFile(path))) != content:
        yield from do(WriteFile(path, content))


def restore(layout: Layout, balancer: str) -> Program[None]:
    """Put the lists back that the process runs with, after a change that was refused, and remove what was brought
    for it. All else has names of its own, so that nothing was replaced."""
    known = yield from held(layout, balancer)
    if not known.noted:
        return
    for name in (yield from do(ListFolder(layout.certificates(balancer)))):
        if name not in known.files:
            yield from do(Remove(layout.certificate(balancer, name)))
    for name, text in known.lists.items():
        path = layout.certificate(balancer, name)
        if (yield from do(ReadFile(path))) != text.encode():
            yield from do(WriteFile(path, text.encode()))


def _on_disk(layout: Layout, balancer: str) -> Program[tuple[dict[str, str], dict[str, str], dict[str, int]]]:
    """MD5 of every file, text of those that are lists, sizes."""
    digests: dict[str, str] = {}
    lists: dict[str, str] = {}
    sizes: dict[str, int] = {}
    for name in (yield from do(ListFolder(layout.certificates(balancer)))):
        content = yield from do(ReadFile(layout.certificate(balancer, name)))
        if content is not None:
            digests[name], sizes[name] = md5(content), len(content)
            if _PEM not in content:
                lists[name] = content.decode(errors="replace")
    return digests, lists, sizes
