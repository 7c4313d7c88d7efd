"""A running engine for the tests of the service and of its clients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from service_helpers import Caller, Engine


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, small_weights: Path) -> Iterator[Engine]:
    """An engine for the tests that leave it as it was."""
    engine = Engine(tmp_path_factory.mktemp("engine"), small_weights)
    yield engine
    engine.close()


@pytest.fixture
def call() -> Iterator[Callable[..., Caller]]:
    """Maker of clients."""
    callers: list[Caller] = []

    def make(engine: Engine, **options: object) -> Caller:
        callers.append(Caller(engine.connection, **options))  # type: ignore[arg-type]
        return callers[-1]

    yield make
    for caller in callers:
        caller.close()
