"""Configuration -> text of haproxy.cfg.

Law: deterministic; every word passes ``quote``; the template holds layout and nothing else.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import jinja2

from lbdrivers_amphora.haproxy import quote
from lbdrivers_amphora.haproxy.ir import Configuration, Server
from lbdrivers_amphora.haproxy.server_line import endpoint, shared_words
from lbdrivers_amphora.haproxy.word import Line

#: Words that HAProxy takes on one line (MAX_LINE_ARGS of HAProxy 2.6).
LONGEST_LINE = 64


def render(configuration: Configuration) -> str:
    """The text that HAProxy reads.

    :raises ValueError: when a line cannot be written so that HAProxy reads the same words.
    """
    return _template().render(configuration=configuration)


def _word(word: str) -> str:
    return quote.quote(word)


def _line(words: Line) -> str:
    if len(words) > LONGEST_LINE:
        raise ValueError(f"a line of {len(words)} words is more than HAProxy reads ({LONGEST_LINE}): {words[0]}...")
    # ACLs stand deeper than what uses them, so that the eye finds the actions.
    indent = "    " if words[0] == "acl" else ""
    return indent + quote.spell(words)


def _servers(servers: Sequence[Server]) -> str:
    """A line for each. What many have in common is spelled once: a pool has thousands of members, and a few options."""
    spelled: dict[object, str] = {}
    lines: list[str] = []
    names = quote.quotes([server.name for server in servers])
    places = quote.quotes([endpoint(server.address, server.port) for server in servers])
    for server, name, place in zip(servers, names, places, strict=True):
        shared = server.shared
        if (options := spelled.get(shared)) is None:
            options = spelled[shared] = "".join(" " + quote.quote(word) for word in shared_words(server))
        number = "" if server.number is None else f" id {server.number}"
        lines.append(f"    server {name} {place} weight {server.weight}{number}{options}")
    return "\n".join(lines)


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("lbdrivers_amphora.haproxy", package_path=""),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - HTML escaping would corrupt the file; quoting is HAProxy's own, in the filters
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(word=_word, line=_line, servers=_servers, number=str)
    return environment.get_template("haproxy.cfg.j2")
