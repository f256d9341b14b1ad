"""Certificate files of a configuration: which it refers to, and how a running process comes by new ones.

Law: pure. Files of a load balancer are in one folder; a list of certificates (crt-list) names others in it. What
counts is content, not names: where one file takes the place of another, the process keeps the name that it
knows and gets the new content. What cannot be said so raises ``NotAtRuntime``, and is a reload.

Whom the process trusts changes by a reload alone. HAProxy 2.6 and 3.0 take another authority or revocation list
at run time, but do not tell connections to members that show no certificate; with one, and for clients, what was
told reaches no default certificate that is renewed later, and the worker may crash at the next change.

Sources: HAProxy 2.6 management guide, section 9.3 ("new", "set", "commit", "del ssl ..."); that the default
certificate of a list cannot be deleted, what is said above, and what is answered, was tried on the daemon and is
proved by the tests.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise

from lbdrivers_amphora.haproxy.ir import Configuration, Frontend, Server
from lbdrivers_amphora.haproxy.quote import token
from lbdrivers_amphora.haproxy.word import Line

_LIST, _DEFAULT = "crt-list", "default"
#: Keyword in front of a file -> what the runtime commands call such a file.
_CERTIFICATE_KIND = "cert"
_KINDS = {"crt": _CERTIFICATE_KIND, "ca-file": "ca-file", "crl-file": "crl-file", _DEFAULT: _CERTIFICATE_KIND}
#: Bytes of a payload; HAProxy takes a command into one buffer of 16,384 (tune.bufsize).
_LARGEST_PAYLOAD = 15_000
_SAFE = re.compile(r"[A-Za-z0-9._/-]+")
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)
_FINGERPRINT = re.compile(r"^SHA1 FingerPrint: ([0-9A-F]{40})$", re.MULTILINE)


class NotAtRuntime(Exception):
    """A difference between files that no runtime command makes; its text says which."""


@dataclass(frozen=True)
class Files:
    """A configuration with the files that it refers to.

    :param lists: name of a list -> names of the files in it, the default certificate first.
    :param digests: file name -> digest of its content.
    :param sizes: file name -> bytes.
    """

    configuration: Configuration
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Load:
    """Give the process the content of a file.

    :param kind: ``cert``, ``ca-file`` or ``crl-file``.
    :param store: under which name the process knows it; :param source: the file itself.
    :param new: whether the process does not know the name yet.
    """

    kind: str
    store: str
    source: str
    new: bool = False

    def __str__(self) -> str:
        return f"set ssl {self.kind} {self.store}"


@dataclass(frozen=True)
class Exchange:
    """How certificates of a running process become the wanted ones.

    :param folder: of the files.
    :param loads: come first; then ``gains``, what else changes, and ``removals``.
    :param stores: file name -> name that the process knows its content by, where they differ, afterwards;
        ``stores_before``: now.
    """

    folder: str
    loads: tuple[Load, ...] = ()
    gains: tuple[str, ...] = ()
    removals: tuple[str, ...] = ()
    stores: Mapping[str, str] = field(default_factory=dict)
    stores_before: Mapping[str, str] = field(default_factory=dict)

    def in_names_of_process(self, running: Configuration, wanted: Configuration) -> tuple[Configuration, Configuration]:
        """Both in the names that the process knows, or any part of both: what still differs is no certificate."""
        return _renamed(running, self.folder, self.stores_before), _renamed(wanted, self.folder, self.stores)

    @property
    def told(self) -> tuple[str, ...]:
        """What happens before everything else, in words."""
        return (*map(str, self.loads), *self.gains)


_Slots = dict[tuple[str, str], str]


def references(configuration: Configuration, folder: str) -> frozenset[str]:
    """Names of the files in the folder that the configuration itself names."""
    return frozenset(name for line in set(_lines(configuration)) for _, name in _named(line, folder))


def _lines(configuration: Configuration) -> Iterator[Line]:
    """What can name certificates: a server's words are the same for all of a pool."""
    for frontend in configuration.frontends:
        yield from _binds(frontend)
    for backend in configuration.backends:
        yield from {server.tls for server in backend.servers}


def _binds(frontend: Frontend) -> Iterator[Line]:
    return (line for line in frontend.lines if line[0] == "bind")


def _named(line: Line, folder: str) -> Iterator[tuple[str, str]]:
    """(keyword, file name)."""
    for keyword, word in pairwise(line):
        if word.startswith(f"{folder}/"):
            yield keyword, word.removeprefix(f"{folder}/")


def listed(text: str) -> tuple[str, ...]:
    """Paths in a list of certificates, the default one first.

    :raises NotAtRuntime: when it has more than a path on a line: options and filters of another controller.
    """
    lines = [line.split() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if any(len(words) > 1 for words in lines):
        raise NotAtRuntime("a list of certificates has options")
    return tuple(words[0] for words in lines)


def exchange(folder: str, running: Files, wanted: Files, stores: Mapping[str, str]) -> Exchange:
    """What the process must be told of certificates, before and after everything else.

    :param running: what the process was started with or last changed to.
    :param stores: as in ``Exchange``, of the running process.
    :raises NotAtRuntime: when runtime commands do not lead there.
    """
    old, new = _slots(running, folder), _slots(wanted, folder)
    if not old and not new:
        return Exchange(folder)
    lists = _common_lists(old, new)
    becomes = _becomes(old, new, running, wanted, lists)
    after = {target: stores.get(name, name) for name, target in becomes.items()}
    kinds = _kinds(new, wanted)
    loads = [
        Load(kinds[target], after[target], target)
        for name, target in becomes.items()
        if name != target or running.digests.get(name) != wanted.digests.get(target)
    ]
    for load in loads:
        if load.kind != _CERTIFICATE_KIND:
            raise NotAtRuntime(f"the file {load.source} changes who is trusted")
    held = _kinds(old, running)
    known = {stores.get(name, name) for name in held}
    for name in kinds:
        if name not in after:
            if name in known:
                raise NotAtRuntime(f"the name {name} is taken by other content")
            after[name] = name
            loads.append(Load(kinds[name], name, name, new=True))
    gains, losses = _list_commands(folder, lists, running, wanted, stores, after)
    gone = [f"del ssl {held[name]} {folder}/{stores.get(name, name)}" for name in held if name not in becomes]
    found = Exchange(
        folder,
        tuple(_placed(load, folder, wanted) for load in loads),
        tuple(gains),
        (*losses, *gone),
        {name: store for name, store in after.items() if name != store},
        stores,
    )
    for word in " ".join((*found.gains, *found.removals)).split():
        _check(word)
    return found


def _slots(files: Files, folder: str) -> _Slots:
    """(place, keyword) -> file name. The servers of a backend are one place, as they are all alike."""
    slots: _Slots = {}
    for frontend in files.configuration.frontends:
        for index, line in enumerate(_binds(frontend)):
            slots |= {(f"{frontend.name} {index}", keyword): name for keyword, name in _named(line, folder)}
    for backend in files.configuration.backends:
        alike = {server.tls for server in backend.servers}
        if len(alike) > 1:
            raise NotAtRuntime(f"the servers of {backend.name} speak TLS in several ways")
        slots |= {(backend.name, keyword): name for line in alike for keyword, name in _named(line, folder)}
    for (_, keyword), name in list(slots.items()):
        if keyword == _LIST:
            if not files.lists.get(name):
                raise NotAtRuntime(f"the list of certificates {name} is not there")
            slots[name, _DEFAULT] = files.lists[name][0]
    return slots


def _common_lists(old: _Slots, new: _Slots) -> list[str]:
    found: dict[str, None] = {}
    for slot, name in old.items():
        if slot[1] == _LIST and slot in new:
            if new[slot] != name:
                raise NotAtRuntime("a listener has another list of certificates")
            found[name] = None
    return list(found)


def _becomes(old: _Slots, new: _Slots, running: Files, wanted: Files, lists: Iterable[str]) -> dict[str, str]:
    """Name of a file -> name of the one that takes its place, everywhere."""
    pairs = [(name, new[slot]) for slot, name in old.items() if slot in new and slot[1] != _LIST]
    for name in lists:
        stays = set(wanted.lists[name][1:])
        pairs += [(entry, entry) for entry in running.lists[name][1:] if entry in stays]
    becomes: dict[str, str] = {}
    for name, target in pairs:
        if becomes.setdefault(name, target) != target:
            raise NotAtRuntime(f"what was one file, {name}, becomes several")
    if len(set(becomes.values())) != len(becomes):
        raise NotAtRuntime("what were several files become one")
    return becomes


def _kinds(slots: _Slots, files: Files) -> dict[str, str]:
    """File name -> kind, of everything that the configuration and its lists name, lists aside."""
    found = {name: _KINDS[keyword] for (_, keyword), name in slots.items() if keyword != _LIST}
    lists = {name for (_, keyword), name in slots.items() if keyword == _LIST}
    found |= {entry: _CERTIFICATE_KIND for name in sorted(lists) for entry in files.lists[name]}
    return found


def _list_commands(
    folder: str,
    lists: Iterable[str],
    running: Files,
    wanted: Files,
    stores: Mapping[str, str],
    after: Mapping[str, str],
) -> tuple[list[str], list[str]]:
    """Entries that join and leave. The process appends, so those that stay must come first, in their order."""
    gains, losses = [], []
    for name in lists:
        # In the process's names: a certificate that something else shows too may have been exchanged already.
        before = tuple(stores.get(entry, entry) for entry in running.lists[name][1:])
        behind = tuple(after[entry] for entry in wanted.lists[name][1:])
        if len({*wanted.lists[name]}) != len(wanted.lists[name]):
            raise NotAtRuntime(f"the list {name} has a certificate twice")
        stays = tuple(entry for entry in before if entry in behind)
        if behind[: len(stays)] != stays:
            raise NotAtRuntime(f"the list {name} has another order")
        place = f"{folder}/{name} {folder}"
        gains += [f"add ssl crt-list {place}/{entry}" for entry in behind[len(stays) :]]
        losses += [f"del ssl crt-list {place}/{entry}" for entry in before if entry not in behind]
    return gains, losses


def _placed(load: Load, folder: str, wanted: Files) -> Load:
    """With whole paths. :raises NotAtRuntime: when it cannot be sent."""
    if load.source not in wanted.digests:
        raise NotAtRuntime(f"the file {load.source} is not there")
    if wanted.sizes.get(load.source, 0) > _LARGEST_PAYLOAD:
        raise NotAtRuntime(f"the file {load.source} is too large for a command")
    _check(f"{folder}/{load.store}")
    return replace(load, store=f"{folder}/{load.store}", source=f"{folder}/{load.source}")


def _check(word: str) -> None:
    if not _SAFE.fullmatch(word):
        raise NotAtRuntime(f"{word!r} cannot be a word of a runtime command")


def _renamed(configuration: Configuration, folder: str, names: Mapping[str, str]) -> Configuration:
    paths = {f"{folder}/{name}": token(f"{folder}/{store}") for name, store in names.items() if name != store}
    if not paths:
        return configuration
    seen: dict[Line, Line] = {}

    def line(words: Line) -> Line:
        if words not in seen:
            seen[words] = tuple(paths.get(word, word) for word in words)
        return seen[words]

    def server(one: Server) -> Server:
        return one._replace(tls=line(one.tls)) if line(one.tls) != one.tls else one

    return replace(
        configuration,
        frontends=tuple(
            replace(one, lines=tuple(line(words) if words[0] == "bind" else words for words in one.lines))
            for one in configuration.frontends
        ),
        backends=tuple(
            replace(one, servers=tuple(server(each) for each in one.servers)) for one in configuration.backends
        ),
    )


def kept(text: str, folder: str, lists: Mapping[str, str]) -> frozenset[str]:
    """Names of all files in the folder that a configuration's text mentions, and those in the lists among them.

    Any text will do, another controller's too: a path counts wherever it stands.

    :param lists: text of every file in the folder that can be a list, by name.
    """
    path = re.compile(rf"{re.escape(folder)}/([0-9A-Za-z_.-]+)")
    found = set(path.findall(text))
    for name in sorted(found):
        found |= set(path.findall(lists.get(name, "")))
    return frozenset(found)


def commands(load: Load, content: bytes) -> tuple[str, ...]:
    """What gives the process the content. A payload ends with an empty line, so it has none itself."""
    lines = [line.strip() for line in content.decode().splitlines() if line.strip()]
    payload = "\n".join(lines)
    first = (f"new ssl {load.kind} {load.store}",) if load.new else ()
    what = f"ssl {load.kind} {load.store}"
    return (*first, f"set {what} <<\n{payload}\n", f"commit {what}")


def refused(answers: tuple[str, ...]) -> str:
    """The first answer that is a complaint; empty when all is well. A name that is there already does no harm."""
    good = re.compile(
        r"New (?:empty certificate store|CA file created|CRL file created) .*|.* already exists!"
        r"|.*transaction (?:created|updated) for .*|Committing .*\.*\n?Success!",
        re.IGNORECASE | re.DOTALL,
    )
    return next((answer or "no answer" for answer in answers if not good.fullmatch(answer.strip())), "")


def shows(load: Load, answer: str, content: bytes) -> bool:
    """Whether the answer to ``show ssl ...`` is about this content. Of revocation lists nothing tells."""
    if load.kind == "crl-file":
        return "Certificate Revocation List #1" in answer
    found = [
        hashlib.sha1(binascii.a2b_base64(body), usedforsecurity=False).hexdigest().upper()
        for body in _CERTIFICATE.findall(content)
    ]
    shown = _FINGERPRINT.findall(answer)
    return shown == found[:1] if load.kind == _CERTIFICATE_KIND else sorted(shown) == sorted(found)


def entered(line: str) -> bool:
    """Whether the answer says that a certificate joined a list."""
    return line.strip().endswith("Success!")
