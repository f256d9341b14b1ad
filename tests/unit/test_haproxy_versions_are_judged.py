"""An appliance with an older HAProxy is refused by name; what counts is the version's first two numbers."""

from __future__ import annotations

import pytest
from support.bundles import bundle, facts, listener, tree

from lbdrivers.errors import UnsupportedError
from lbdrivers_amphora.haproxy.translate import translate
from lbdrivers_amphora.haproxy.versions import FLOOR, require


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("2.6.12-1+deb12u1", (2, 6)),
        ("2.6", (2, 6)),
        ("2.10.1", (2, 10)),
        ("3.0.11-1+deb13u4", (3, 0)),
        ("3.2-dev1", (3, 2)),
    ],
)
def test_the_floor_and_what_is_newer_is_served(text: str, version: tuple[int, int]) -> None:
    assert require(text) == version >= FLOOR


@pytest.mark.parametrize("text", ["2.5.9", "2.4.22-0ubuntu0.22.04.1", "1.8.27", "2.2"])
def test_what_is_older_is_refused_with_what_it_lacks(text: str) -> None:
    with pytest.raises(UnsupportedError, match=r"2\.6 is the oldest") as refused:
        translate(bundle(tree((listener(),))), facts(haproxy_version=text))
    assert f"HAProxy {text}, which lacks" in str(refused.value)
    assert "fd-hard-limit" in str(refused.value)


@pytest.mark.parametrize("text", ["", "2", "two.six", "2.6beta", "v2.6"])
def test_what_is_no_version_is_no_guess(text: str) -> None:
    with pytest.raises(UnsupportedError, match="no version"):
        require(text)
