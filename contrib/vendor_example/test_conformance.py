"""nginx keeps every law of the provider contract: each is a test, on real processes."""

import tempfile
from pathlib import Path

import pytest
from lbdrivers_nginx.provider import FEATURES, NginxProvider

from lbdrivers import settings
from lbdrivers.drivers.context import DriverContext
from lbdrivers.memory.records import MemoryRecords
from lbdrivers.testing.check_provider import ProviderFixture, checks_for
from lbdrivers.testing.surroundings import Surroundings


@pytest.mark.parametrize("check", checks_for(FEATURES), ids=str)
def test_law(check):
    with tempfile.TemporaryDirectory() as folder:
        context = DriverContext(settings.load(state_path=Path(folder)), MemoryRecords(), load=lambda *_: None)
        check(ProviderFixture(lambda: NginxProvider(context), Surroundings(ports=(18080, 18081, 18443, 18444))))
