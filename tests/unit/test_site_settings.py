"""Section [local] of the configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from lbdrivers import settings as core
from lbdrivers.errors import InvalidInput, PermanentError
from lbdrivers_amphora.site import settings
from lbdrivers_amphora.site.place import Site, file_name


def test_everything_has_a_default(tmp_path: Path) -> None:
    values = settings.read(core.load(state_path=tmp_path))
    assert values.path == tmp_path / "local"
    assert values.state_path == tmp_path
    assert values.networks_file == settings.PACKAGED_NETWORKS
    assert values.boot_timeout == 20.0


def test_every_option_is_read(tmp_path: Path) -> None:
    file = tmp_path / "lbdrivers.conf"
    file.write_text("[local]\npath = /run/site\nnetworks_file = /etc/networks.yaml\nboot_timeout = 3.5\n")
    values = settings.read(core.load([file], state_path=tmp_path))
    assert (values.path, values.networks_file, values.boot_timeout) == (
        Path("/run/site"),
        Path("/etc/networks.yaml"),
        3.5,
    )


def test_a_bad_value_is_named(tmp_path: Path) -> None:
    file = tmp_path / "lbdrivers.conf"
    file.write_text("[local]\nboot_timeout = soon\n")
    with pytest.raises(InvalidInput, match="soon"):
        settings.read(core.load([file], state_path=tmp_path))


def test_making_a_site_touches_nothing(tmp_path: Path) -> None:
    site = Site.of(core.load(state_path=tmp_path / "state"))
    site.release_if_unused()
    assert list(site.boxes()) == []
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "-x", "a b", "a\0", "ä", "x" * 129])
def test_a_name_that_is_no_file_name_is_refused(name: str) -> None:
    with pytest.raises(PermanentError, match="cannot be used"):
        file_name(name)
