"""A running engine for the tests of the service and of its clients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from client_helpers import StandIn, Talk
from numpy.typing import NDArray
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


@pytest.fixture
def start(tmp_path: Path, small_weights: Path) -> Iterator[Callable[..., Engine]]:
    """Starter of engines that are taken away after the test."""
    engines: list[Engine] = []

    def make(*options: object, weights: Path = small_weights) -> Engine:
        engines.append(Engine(tmp_path, weights, *options))
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()


@pytest.fixture(scope="session")
def poster() -> NDArray[np.uint8]:
    """A drawing that takes a while."""
    rows = np.arange(2400)[:, None]
    columns = np.arange(1800)[None]
    lines = ((rows % 60 < 3) | (columns % 60 < 3)) & ((rows // 60 + columns // 60) % 5 > 0)
    return np.where(lines, 0, 255).astype(np.uint8)


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[Callable[..., StandIn]]:
    """Starter of engines of a few lines, for tests of the client."""
    engines: list[StandIn] = []

    def make(name: str = "first", **options: Any) -> StandIn:
        engines.append(StandIn(tmp_path, name, **options))
        return engines[-1]

    yield make
    for engine in engines:
        engine.kill()


@pytest.fixture
def talk(tmp_path: Path) -> Iterator[Talk]:
    """A client, and all that it has said."""
    spoken = Talk(tmp_path)
    yield spoken
    spoken.client.close()
