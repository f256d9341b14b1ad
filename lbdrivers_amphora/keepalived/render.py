"""Configuration -> text of keepalived.conf.

Law: deterministic; every value passes ``quote``; the template holds layout and nothing else.
"""

from __future__ import annotations

import functools

import jinja2

from lbdrivers.model.secret import Secret
from lbdrivers_amphora.keepalived import quote
from lbdrivers_amphora.keepalived.ir import Configuration
from lbdrivers_amphora.keepalived.translate import TABLE


def render(configuration: Configuration) -> str:
    """The text that keepalived reads. It may hold the VRRP password: write it 0600.

    :raises ValueError: when a value cannot be written so that keepalived reads just that.
    """
    return _template().render(configuration=configuration, table=TABLE)


def _word(value: str | int) -> str:
    return quote.quote(str(value))


def _secret(value: Secret) -> str:
    try:
        return quote.quote(value.reveal().decode("ascii"))
    except ValueError:
        # The cause would show the secret.
        raise ValueError("the VRRP password has characters that keepalived would not read literally") from None


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("lbdrivers_amphora.keepalived", package_path=""),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - HTML escaping would corrupt the file; quoting is keepalived's own, in the filters
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(word=_word, secret=_secret)
    return environment.get_template("keepalived.conf.j2")
