"""Text of haproxy.cfg -> configuration: what a running process was started with.

Law: ``parse(render(configuration)) == configuration``, and whatever this package did not write is
refused, never guessed at. It shares no code with rendering and quoting, so that each proves the
other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from lbdrivers_amphora.haproxy.ir import Backend, Check, Configuration, Frontend, Peers, Server
from lbdrivers_amphora.haproxy.tokenizer import tokenize
from lbdrivers_amphora.haproxy.word import Line, Word

_FIRST_LINE = "# Configuration for loadbalancer "
#: Sections in the order in which they are written, with the keywords that stand in them.
_KEYWORDS = {
    "global": (
        "master-worker stats server-state-file fd-hard-limit hard-stop-after "
        "httpclient.ssl.verify tune.ssl.cachesize user log nbthread cpu-map external-check insecure-fork-wanted"
    ),
    "defaults": "log no retries option",
    "peers": "peer",
    "frontend": (
        "maxconn bind mode timeout option tcp-request acl http-request http-after-response redirect use_backend "
        "default_backend log-format no"
    ),
    "backend": (
        "mode balance hash-type stick-table stick cookie dynamic-cookie-key load-server-state-from-file timeout "
        "option http-check external-check http-request server"
    ),
}
_NAMELESS = ("global", "defaults")
_NUMBER = re.compile(r"0|[1-9][0-9]*")
_ENDPOINT = re.compile(r"(?:\[([0-9a-f:.]+)\]|([0-9.]+)):([0-9]+)")


@dataclass
class _Section:
    """A section while it is read; ``start`` is the number of its first line."""

    kind: str
    name: Word
    start: int
    lines: list[Line] = field(default_factory=list)


def parse(text: str) -> Configuration:
    """Read back what ``render`` wrote.

    :raises ValueError: names the line or the section and what is wrong with it.
    """
    first, *rest = text.split("\n")
    if not first.startswith(_FIRST_LINE):
        raise ValueError(f"line 1: {first[:80]!r} does not begin with {_FIRST_LINE!r}; this file is not ours")
    (load_balancer_id,) = _tokens(first.removeprefix(_FIRST_LINE), 1, 1)
    sections = _sections(rest)
    kinds = [section.kind for section in sections]
    order = list(_KEYWORDS)
    once = all(kinds.count(kind) == 1 for kind in _NAMELESS) and kinds.count("peers") <= 1
    if not once or kinds != sorted(kinds, key=order.index):
        raise ValueError(f"the sections {', '.join(dict.fromkeys(kinds))} are not those, in the order, that we write")
    peers = [Peers(section.name, tuple(section.lines)) for section in sections if section.kind == "peers"]
    return Configuration(
        load_balancer_id=load_balancer_id,
        process=tuple(sections[0].lines),
        defaults=tuple(sections[1].lines),
        peers=peers[0] if peers else None,
        frontends=tuple(_frontend(section) for section in sections if section.kind == "frontend"),
        backends=tuple(_backend(section) for section in sections if section.kind == "backend"),
    )


def has_server(text: str, backend: str, server: str) -> bool:
    """Whether a configuration of ours has that server."""
    start = text.find(f"\nbackend {backend}\n")
    return start >= 0 and text.find(f"\n    server {server} ", start, _end(text, start + 1)) >= 0


def _end(text: str, start: int) -> int:
    """Where the section that starts there ends: an empty line stands before the next one."""
    end = text.find("\n\n", start)
    return len(text) if end < 0 else end


def _tokens(text: str, number: int, count: int | None = None) -> Line:
    """The words of a line. :raises ValueError: names the line."""
    try:
        words = tokenize(text)
    except ValueError as error:
        raise ValueError(f"line {number}: {error}") from None
    if count is not None and len(words) != count:
        raise ValueError(f"line {number}: {len(words)} words where we write {count}")
    return words


def _sections(lines: list[str]) -> list[_Section]:
    sections: list[_Section] = []
    for number, text in enumerate(lines, start=2):
        if not text:
            continue
        if not text.startswith(" "):
            sections.append(_section(text, number))
            continue
        words = _tokens(text, number)
        if not words:
            raise ValueError(f"line {number}: a comment or a blank line, which we do not write")
        if not sections:
            raise ValueError(f"line {number}: {words[0]} stands in no section")
        section = sections[-1]
        if words[0] not in _KEYWORDS[section.kind].split():
            raise ValueError(f"line {number}: we do not write {words[0]} into a section {section.kind}")
        section.lines.append(words)
    return sections


def _section(text: str, number: int) -> _Section:
    words = _tokens(text, number)
    if not words or words[0] not in _KEYWORDS:
        raise ValueError(f"line {number}: {text[:80]!r} does not start a section that we write")
    if len(words) != (1 if words[0] in _NAMELESS else 2):
        raise ValueError(f"line {number}: a section {words[0]} with {len(words) - 1} names")
    return _Section(words[0], words[-1], number)


def _frontend(section: _Section) -> Frontend:
    limit, lines = None, section.lines
    if lines and lines[0][0] == "maxconn":
        limit, lines = _maxconn(lines[0], section), lines[1:]
    if any(line[0] == "maxconn" for line in lines):
        raise ValueError(f"the frontend {section.name}: we write maxconn once, as its first line")
    return Frontend(section.name, limit, tuple(lines))


def _maxconn(line: Line, section: _Section) -> int:
    if len(line) != 2:
        raise ValueError(f"the frontend {section.name}: maxconn takes one number")
    return _number(line[1])


def _backend(section: _Section) -> Backend:
    lines = tuple(line for line in section.lines if line[0] != "server")
    if tuple(section.lines[: len(lines)]) != lines:
        raise ValueError(f"the backend {section.name}: we write servers behind everything else")
    try:
        servers = tuple(_server(line) for line in section.lines[len(lines) :])
    except ValueError as error:
        raise ValueError(f"the backend {section.name}: {error}") from None
    return Backend(section.name, lines, servers)


class _Options:
    """The options of a server line, taken in the order in which they are written."""

    def __init__(self, words: Line) -> None:
        self._words = list(words)

    def flag(self, keyword: str) -> bool:
        if self._words[:1] != [keyword]:
            return False
        del self._words[0]
        return True

    def value(self, keyword: str) -> Word | None:
        if not self.flag(keyword):
            return None
        if not self._words:
            raise ValueError(f"{keyword} without a value")
        return self._words.pop(0)

    def number(self, keyword: str) -> int | None:
        word = self.value(keyword)
        return None if word is None else _number(word)

    def until(self, keyword: str) -> Iterator[Word]:
        while self._words and self._words[0] != keyword:
            yield self._words.pop(0)

    def required(self, keyword: str) -> Word:
        word = self.value(keyword)
        if word is None:
            raise ValueError(f"no {keyword} where we write one")
        return word

    def rest(self, keyword: str) -> Line:
        """All that is left, where it begins with the keyword."""
        found: Line = ()
        if self._words[:1] == [keyword]:
            found, self._words = tuple(self._words), []
        return found

    def end(self) -> None:
        if self._words:
            raise ValueError(f"we do not write {self._words[0]} there")


def _server(line: Line) -> Server:
    if len(line) < 3:
        raise ValueError("a server without a name or an address")
    _, name, where, *rest = line
    try:
        address, port = _endpoint(where)
        options = _Options(tuple(rest))
        server = Server(
            name=name,
            address=address,
            port=port,
            weight=_number(options.required("weight")),
            number=options.number("id"),
            check=_check(options) if options.flag("check") else None,
            proxy=next(
                (Word(word) for word in ("send-proxy", "send-proxy-v2", "send-proxy-v2-ssl-cn") if options.flag(word)),
                None,
            ),
            backup=options.flag("backup"),
            disabled=options.flag("disabled"),
            tls=options.rest("ssl"),
        )
        options.end()
    except ValueError as error:
        raise ValueError(f"server {name}: {error}") from None
    return server


def _check(options: _Options) -> Check:
    further = tuple(options.until("inter"))
    interval = options.required("inter")
    if not interval.endswith("s"):
        raise ValueError(f"inter {interval} is not in seconds")
    return Check(
        interval=_number(interval.removesuffix("s")),
        fall=_number(options.required("fall")),
        rise=_number(options.required("rise")),
        options=further,
        address=_bare(options.value("addr")),
        port=options.number("port"),
    )


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{text} is not a number as we write it")
    return int(text)


def _bare(address: Word | None) -> Word | None:
    """Without the brackets of IPv6."""
    if address is None or not address.startswith("["):
        return address
    return Word(address.removeprefix("[").removesuffix("]"))


def _endpoint(text: str) -> tuple[Word, int]:
    found = _ENDPOINT.fullmatch(text)
    if found is None:
        raise ValueError(f"{text} is not an address and a port as we write them")
    return Word(found[1] or found[2]), _number(found[3])
