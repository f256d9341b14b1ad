"""The operator's log format -> the log-format of one frontend.

Law: HAProxy evaluates what the operator wrote and nothing else; ids of load balancers and projects are
literal. Where bytes pass unread, what only HTTP knows is a dash, as HAProxy 2.6 would refuse the file.
"""

from __future__ import annotations

import re

from lbdrivers_amphora.haproxy.quote import log_format, token
from lbdrivers_amphora.haproxy.word import Word

# HTTP alone has these (HAProxy configuration manual 2.6, section 8.2.4), or the status (ST).
_HTTP_ONLY = frozenset(
    (
        "CC",
        "CS",
        "HM",
        "HP",
        "HPO",
        "HQ",
        "HU",
        "HV",
        "ST",
        "TR",
        "Ta",
        "Ti",
        "Tq",
        "Tr",
        "hr",
        "hrl",
        "hs",
        "hsl",
        "r",
        "tr",
        "trg",
        "trl",
    )
)
_VARIABLE = re.compile(r"%%|%(?:\{[^}]*\})?([A-Za-z]+)")
_PLACEHOLDER = re.compile(r"\{\{\s*(project_id|lb_id)\s*\}\}")


def log_line(template: str, mode: str, load_balancer_id: str, project_id: str) -> Word:
    """The word behind ``log-format``.

    :param template: HAProxy's log-format with the placeholders ``{{ project_id }}`` and ``{{ lb_id }}``.
    :param mode: of the frontend, ``http`` or ``tcp``.
    :param project_id: a dash stands for an empty one, so that the fields keep their places.
    """
    ids = {"lb_id": log_format(load_balancer_id), "project_id": log_format(project_id) if project_id else "-"}
    text = template if mode == "http" else _VARIABLE.sub(_without_http, template)
    return token(_PLACEHOLDER.sub(lambda found: ids[found[1]], text))


def _without_http(found: re.Match[str]) -> str:
    return "-" if found[1] in _HTTP_ONLY else found[0]
