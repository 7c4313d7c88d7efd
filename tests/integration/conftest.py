"""A running engine for the tests of the service and of its clients."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from service_helpers import Engine


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, small_weights: Path) -> Iterator[Engine]:
    """An engine for the tests that leave it as it was."""
    engine = Engine(tmp_path_factory.mktemp("engine"), small_weights)
    yield engine
    engine.close()
