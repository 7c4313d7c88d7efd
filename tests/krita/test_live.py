"""The artist draws on while the engine works."""

from __future__ import annotations

from collections.abc import Callable

import harness

WATCHED = ("decode", "digest", "pack", "prepare", "small_picture")


def test_no_result_cuts_a_stroke_and_live_mode_follows_the_strokes(krita: Callable[..., harness.Result]) -> None:
    krita("strokes").passed()


def test_what_takes_long_with_many_pixels_is_not_done_by_the_thread_of_kritas_window(
    krita: Callable[..., harness.Result],
) -> None:
    # How long the window's pauses are is printed by benchmarks/krita/live.py.
    data = krita("smooth", timeout=120.0).passed()
    assert data["in the window's thread"] == dict.fromkeys(WATCHED, False)
    assert data["writes"] >= 2 * 4, "each of two layers is given to Krita in strips of a quarter at most"
