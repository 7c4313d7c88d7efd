"""G'MIC's two ways to colour line art, on files like any user's."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from training.evaluation.baselines import GMIC_SMART

GMIC_SECONDS = 300.0
"""After so long a filter is stopped."""
GMIC_PROPAGATION = "0,1,0,0.05"
"""Colour spots over lineart in, the colours as one layer of their own, smoothness as the filter starts with."""
FILTERS = {
    # Layers go in from the top down; smart colouring returns its colours as the lowest one, propagation as the first.
    "gmic_files": ["keep[-1]"],
    "gmic_smart": ["fx_colorize_lineart_smart", GMIC_SMART, "keep[-1]"],
    "gmic_propagation": ["fx_colorize_lineart", GMIC_PROPAGATION, "keep[0]"],
}
"""By name; the first one only starts, reads and writes."""


class Gmic:
    """Runs the filters in a folder, with as many threads as torch has."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.failed: set[str] = set()
        """Filters that ended badly or were stopped."""
        self._environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}

    def write(self, lineart: NDArray[np.float32], hints: NDArray[np.uint8]) -> None:
        """Put HxW lineart in [0, 1] and HxWx4 hints where the filters look for them."""
        Image.fromarray(hints).save(self._folder / "hints.png", compress_level=1)
        grey = Image.fromarray(np.rint(lineart * 255).astype(np.uint8))
        grey.convert("RGB").save(self._folder / "line.png", compress_level=1)

    def run(self, name: str) -> bool:
        """Run a filter; says whether it ended well and in time."""
        command = ["gmic", "hints.png", "line.png", *FILTERS[name], "to_rgb", "round", "output", f"{name}.png"]
        self.failed.discard(name)
        with contextlib.suppress(subprocess.SubprocessError):
            subprocess.run(
                command,
                cwd=self._folder,
                env=self._environment,
                capture_output=True,
                timeout=GMIC_SECONDS,
                check=True,
            )
            return True
        self.failed.add(name)
        return False

    def colour(self, name: str) -> NDArray[np.uint8] | None:
        """HxWx3 flat colours of what was written; None where the filter failed."""
        if not self.run(name):
            return None
        with Image.open(self._folder / f"{name}.png") as image:
            return np.asarray(image.convert("RGB"))

    @property
    def work(self) -> dict[str, Callable[[], Any]]:
        """Every filter by name."""
        return {name: partial(self.run, name) for name in FILTERS}
