"""Variations and history in the real Krita, with a stand-in for a model that draws lots."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import harness


def test_variations_are_thumbnails_that_a_click_puts_into_the_picture_with_their_settings(
    home: harness.Home, krita: Callable[..., harness.Result], tmp_path: Path
) -> None:
    home.draw_lots()
    shot = tmp_path / "variations.png"
    result = krita("variations", harness.ROOT / "examples/three_friends/lineart.png", shot=shot)
    result.passed()
    assert result.left == []
    assert shot.stat().st_size > 10_000
