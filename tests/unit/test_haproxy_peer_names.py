"""Controller and agent have to compute the same names, and the same as Octavia's."""

from __future__ import annotations

import pytest

from lbdrivers_amphora.haproxy.peers import peer_name


@pytest.mark.parametrize(
    ("amphora_id", "name"),
    [
        ("a1c1ba86-6f99-4f60-b469-a4a29d7384c5", "l_Ustq0qE-h-_Q1dlXLXBAiWR8U"),
        ("cd444019-ce8f-4f89-be6b-0edf76f41b77", "O08zAgUhIv9TEXhyYZf2iHdxOkA"),
        ("4ff5d6fe-854c-4022-8194-0c6801a7478b", "3dVescsRZ-RdRBfYVLW6snVI9gI"),
    ],
)
def test_known_names(amphora_id: str, name: str) -> None:
    assert peer_name(amphora_id) == name


def test_no_name_looks_like_an_option() -> None:
    assert not any(peer_name(str(number)).startswith("-") for number in range(500))
