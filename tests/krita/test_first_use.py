"""An artist's first minutes with Colorize, from the installer to the coloured picture, with the shipped weights."""

from __future__ import annotations

from collections.abc import Callable

import harness

EXAMPLE = harness.ROOT / "examples" / "chameleon"


def test_a_drawing_is_coloured_from_strokes_with_the_mouse(krita: Callable[..., harness.Result]) -> None:
    result = krita("first_use", EXAMPLE / "lineart.png", strokes=EXAMPLE / "strokes.txt")
    data = result.passed()
    assert data["status"] == "Ready (CPU)"
    # The head's stroke is #7cc24a; the body's, far from any stroke here, #4fae72.
    assert all(abs(found - wanted) < 25 for found, wanted in zip(data["head"], (0x7C, 0xC2, 0x4A), strict=True))
    assert all(abs(found - wanted) < 25 for found, wanted in zip(data["body"], (0x4F, 0xAE, 0x72), strict=True))
    assert result.left == [], "Krita has quit and the engine with it"
