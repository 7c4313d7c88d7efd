"""An artist's first minutes with Colorize, from the installer to the coloured picture, with the shipped weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import harness
import numpy as np
from numpy.typing import NDArray

EXAMPLE = harness.ROOT / "examples" / "chameleon"


def test_a_drawing_is_coloured_from_strokes_with_the_mouse(krita: Callable[..., harness.Result]) -> None:
    result = krita("first_use", EXAMPLE / "lineart.png", strokes=EXAMPLE / "strokes.txt", timeout=150)
    data = result.passed()
    assert data["status"] == "Ready (CPU)"
    # The head's stroke is #7cc24a; the body's, far from any stroke here, #4fae72.
    assert all(abs(found - wanted) < 25 for found, wanted in zip(data["head"], (0x7C, 0xC2, 0x4A), strict=True))
    assert all(abs(found - wanted) < 25 for found, wanted in zip(data["body"], (0x4F, 0xAE, 0x72), strict=True))
    assert result.left == [], "Krita has quit and the engine with it"
    group, colour = pixels(data, "plain-group"), pixels(data, "plain-colour")
    assert np.array_equal(group[..., 3], colour[..., 3])
    assert np.abs(group - colour).max() <= 1
    group, colour, flats = (pixels(data, f"soft-{name}") for name in ("group", "colour", "flats"))
    assert np.array_equal(group[..., 3], colour[..., 3])
    alpha = colour[..., 3:] / 255
    assert 0 < np.count_nonzero((alpha > 0) & (alpha < 1)) < alpha.size
    assert np.abs(flats - colour)[..., :3].max() > 10, "there is shading"
    assert np.abs(group - colour)[alpha[..., 0] > 0].max() <= 1


def pixels(data: dict[str, Any], name: str) -> NDArray[np.int64]:
    """What the scenario kept of a layer or group, height x width x BGRA."""
    width, height = data["size"]
    return np.fromfile(data[name], np.uint8).reshape(height, width, 4).astype(np.int64)
