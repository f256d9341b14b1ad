"""Templates of keepalived's files.

Law: a template holds layout and nothing else; the filters are the only way for a value into it, and
each quotes.
"""

from __future__ import annotations

import functools

import jinja2

from lbdrivers.model.secret import Secret
from lbdrivers_amphora.keepalived import quote


def _word(value: str | int) -> str:
    return quote.quote(str(value))


def _secret(value: Secret) -> str:
    try:
        return quote.quote(value.reveal().decode("ascii"))
    except ValueError:
        # The cause would show the secret.
        raise ValueError("the VRRP password has characters that keepalived would not read literally") from None


@functools.cache
def load(name: str) -> jinja2.Template:
    """The template of that file name in this package."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("lbdrivers_amphora.keepalived", package_path=""),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - HTML escaping would corrupt the file; quoting is keepalived's own, in the filters
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(word=_word, secret=_secret, command=quote.command, path=quote.url_path)
    return environment.get_template(name)
