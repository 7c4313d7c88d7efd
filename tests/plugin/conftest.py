"""The plugin as the installer lays it out, importable as ``colorize`` without Krita, and a Qt without a screen."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from plugin_helpers import ENGINE, SessionHarness, end_engines, use_place

from installer.layout import assemble

# The folder tests/krita looks like a package of that name, and the plugin would take itself to be inside Krita.
sys.modules["krita"] = None  # type: ignore[assignment]
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
PYKRITA = Path(tempfile.mkdtemp(prefix="colorize-plugin-")) / "pykrita"
atexit.register(shutil.rmtree, PYKRITA.parent, ignore_errors=True)
assemble(PYKRITA)
sys.path.insert(0, str(PYKRITA))


@pytest.fixture(scope="session")
def app() -> Any:
    """The application that every widget and event loop needs."""
    from colorize.qt import QtWidgets

    return QtWidgets.QApplication.instance() or QtWidgets.QApplication(["colorize"])


@pytest.fixture(scope="session")
def pykrita() -> Path:
    """The folder that holds the package ``colorize``."""
    return PYKRITA


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory, small_weights: Path) -> Path:
    """A folder with the small model under the name of the default one."""
    folder = tmp_path_factory.mktemp("plugin-weights")
    shutil.copyfile(small_weights, folder / "stenciltorch.safetensors")
    return folder


@pytest.fixture
def place(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for the engine's files, told to all engines by the environment; none of them outlives the test."""
    use_place(tmp_path, weights, monkeypatch)
    yield tmp_path
    end_engines(tmp_path / "run")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Iterator[Path]:
    """A folder where an engine serves that the tests of a module share."""
    folder = tmp_path_factory.mktemp("served")
    with pytest.MonkeyPatch.context() as monkeypatch:
        use_place(folder, weights, monkeypatch)
        with subprocess.Popen([*ENGINE, "serve"], stdout=subprocess.DEVNULL):
            while not (folder / "run" / "engine.json").exists():
                time.sleep(0.02)
            yield folder
            end_engines(folder / "run")


@pytest.fixture
def make(app: Any, place: Path) -> Iterator[Callable[..., SessionHarness]]:  # noqa: ARG001 (it must be there)
    """Maker of sessions without an engine so far; they are closed at the end."""
    yield from _maker(place)


@pytest.fixture
def join(
    app: Any,  # noqa: ARG001 (it must be there)
    served: Path,
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[..., SessionHarness]]:
    """Maker of sessions that find the engine of this module."""
    use_place(served, weights, monkeypatch)
    yield from _maker(served)


def _maker(place: Path) -> Iterator[Callable[..., SessionHarness]]:
    made: list[SessionHarness] = []

    def build(*arguments: Any, **named: Any) -> SessionHarness:
        made.append(SessionHarness(place, *arguments, **named))
        return made[-1]

    yield build
    for harness in made:
        harness.session.close()
