"""Variations and history in the real Krita, with a small StablePaint that has learned nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import harness

LINEART = harness.ROOT / "examples" / "three_friends" / "lineart.png"


def test_variations_are_thumbnails_that_a_click_puts_into_the_picture_with_their_settings(
    home: harness.Home, krita: Callable[..., harness.Result], tmp_path: Path
) -> None:
    home.small_stablepaint()
    shot = tmp_path / "variations.png"
    result = krita("variations", LINEART, shot=shot)
    data = result.passed()
    assert result.left == []
    assert shot.stat().st_size > 10_000
    assert data["jobs"] == [4]
    assert data["previews"] > 4


def test_live_mode_follows_the_options_of_a_model_that_draws_lots(
    home: harness.Home, krita: Callable[..., harness.Result]
) -> None:
    home.small_stablepaint()
    krita("live_lots", LINEART).passed()
