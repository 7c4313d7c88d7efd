"""The artist draws on while the engine works."""

from __future__ import annotations

from collections.abc import Callable

import harness

LONGEST = 100
"""Milliseconds that the window may wait for the plugin."""


def test_no_result_cuts_a_stroke_and_live_mode_follows_the_strokes(krita: Callable[..., harness.Result]) -> None:
    krita("strokes").passed()


def test_krita_never_waits_long_for_the_plugin(krita: Callable[..., harness.Result]) -> None:
    data = krita("smooth", rounds=3, timeout=120.0).passed()
    # The best of three: other programs on a busy machine also make Krita wait.
    assert min(data[f"colouring {n}"]["worst_own"] for n in (1, 2, 3)) < LONGEST, data
    assert min(data[f"live {n}"]["worst_own"] for n in (1, 2, 3)) < LONGEST, data
