"""Small pictures and a small model for the tests, made on the spot."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Pixels = NDArray[np.uint8]
# On a busy machine an example may take any time, and what fails here should fail elsewhere.
settings.register_profile(
    "anywhere",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("anywhere")


def pytest_configure() -> None:
    """Prepare the process, before any test brings torch with it."""
    # Tests side by side, each with a thread per core, would wait for each other.
    if "PYTEST_XDIST_WORKER" in os.environ:
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    # Let Ctrl-C reach the processes of the tests: what a shell starts in the background would ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In parallel runs a file's tests share its set-up; those with Krita are one at a time, for it needs the cores.

    What takes longest comes first, so that short files are left to fill up the end of a parallel run.
    """
    groups = {item: "krita" if "krita" in item.path.parent.name else item.path.stem for item in items}
    for item, group in groups.items():
        item.add_marker(pytest.mark.xdist_group(group))
        if group == "krita":
            item.add_marker(pytest.mark.slow)
    slow = {groups[item] for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (groups[item] != "krita", groups[item] not in slow))


@pytest.fixture(scope="session")
def sketch() -> Callable[..., Pixels]:
    """Maker of a grey drawing, uint8 HxW: black lines on white, with soft edges."""

    def make(width: int = 64, height: int = 48) -> Pixels:
        big = Image.new("L", (width * 4, height * 4), 255)
        draw = ImageDraw.Draw(big)
        draw.rectangle((width, height, 3 * width, 3 * height), outline=0, width=10)
        draw.ellipse((width * 1.4, height * 1.4, 2.6 * width, 2.6 * height), outline=0, width=10)
        return np.asarray(big.resize((width, height), Image.Resampling.BOX))

    return make


@pytest.fixture(scope="session")
def strokes() -> Callable[..., Pixels]:
    """Maker of hints, uint8 HxWx4: a red stroke in the middle and a green one in a corner, on transparent."""

    def make(width: int = 64, height: int = 48) -> Pixels:
        hints = np.zeros((height, width, 4), np.uint8)
        hints[height // 2 - 2 : height // 2 + 2, width // 2 - 4 : width // 2 + 4] = (200, 30, 40, 255)
        hints[2:6, 2:10] = (20, 150, 60, 255)
        return hints

    return make


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Saver of an array or a picture under a name in the test's folder; returns the path."""

    def write(name: str, picture: Pixels | Image.Image, **options: object) -> Path:
        path = tmp_path / name
        image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
        image.save(path, **options)  # type: ignore[arg-type]
        return path

    return write


@pytest.fixture(scope="session")
def small_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weight file of a small network that has learned nothing, always the same."""
    import torch

    from engine.models.checkpoint import save_model
    from engine.models.stenciltorch import Compact, CompactConfig

    config = CompactConfig(widths=(8, 16, 32, 64), encoder_blocks=(0, 1, 1), decoder_blocks=(1, 1, 1))
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(1)
        save_model(path, Compact(config).state_dict(), "stenciltorch-compact", config, {})
    return path


@pytest.fixture(scope="session")
def small_stablepaint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weight file of a small StablePaint that has learned nothing but samples that differ, always the same."""
    path = tmp_path_factory.mktemp("weights") / "small-stablepaint.safetensors"
    program = Path(__file__).parent / "krita" / "small_stablepaint.py"
    subprocess.run([sys.executable, program, path], check=True)
    return path
