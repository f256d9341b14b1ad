"""HAProxy's verdict on a text, before that text takes the place of another one.

Law: pure, and the verdict is the real HAProxy's own. It reads no more than it has to: where servers alone differ
from what runs, an excerpt with those; what it does not like about that, it says of the whole text.
"""

from __future__ import annotations

from lbdrivers_amphora.agent import certificates
from lbdrivers_amphora.agent.effects import Finished, Program, ReadFile, Remove, RunProgram, WriteFile, do
from lbdrivers_amphora.agent.layout import Layout
from lbdrivers_amphora.haproxy.excerpt import excerpt


def check(layout: Layout, balancer: str, peer: str, text: bytes) -> Program[Finished]:
    """Write the text beside the one that it shall replace, as ``layout.haproxy_new``, and have it judged."""
    path = layout.haproxy_new(balancer)
    yield from do(WriteFile(path, text))
    applied = yield from do(ReadFile(layout.haproxy_applied(balancer)))
    part = None if applied is None else excerpt(applied, text)
    if part is not None and (yield from certificates.as_read(layout, balancer)):
        excerpt_path = layout.haproxy_excerpt(balancer)
        yield from do(WriteFile(excerpt_path, part))
        verdict = yield from do(RunProgram(_command(layout, peer, excerpt_path)))
        yield from do(Remove(excerpt_path))
        if verdict.ok:
            return verdict
    return (yield from do(RunProgram(_command(layout, peer, path))))


def _command(layout: Layout, peer: str, path: str) -> tuple[str, ...]:
    return (layout.config.haproxy_cmd, "-c", "-L", peer, "-f", path, "-f", layout.user_group)
