"""Krita quits without a word, whatever Colorize is doing, and takes its engine along; so does one window of two."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import harness
import pytest

MORE = 250
"""MiB by which Krita and the engine may grow while Krita quits. A job gives up what it has, so nothing need grow."""
STENCILTORCH = {"state": "job", "side": 1024}
STABLEPAINT = {"state": "job", "side": 512, "model": "stablepaint", "variations": 4, "rounds": 30}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[harness.Home]:
    """One home for all tests here: installing takes as long as starting Krita."""
    home = harness.Home(tmp_path_factory.mktemp("krita") / "home")
    home.install()
    home.small_stablepaint()
    yield home
    home.close()


@pytest.mark.parametrize(
    ("args", "managed"),
    [
        pytest.param({"state": "no document"}, True, id="no document"),
        pytest.param({"state": "idle"}, True, id="a document"),
        pytest.param({"state": "live"}, True, id="live"),
        pytest.param(STENCILTORCH, True, id="StencilTorch at work"),
        pytest.param(STABLEPAINT, True, id="StablePaint at work"),
        pytest.param(STABLEPAINT, False, id="StablePaint at work without a window manager"),
        pytest.param({"state": "killed"}, True, id="engine killed"),
    ],
)
def test_krita_quits_silently_and_leaves_no_engine(
    krita: Callable[..., harness.Result], args: dict[str, Any], managed: bool
) -> None:
    result = krita("quitting", managed=managed, **args)
    result.passed()
    assert result.left == []
    for who, most in result.memory["quit"].items():
        assert most < result.memory["at work"][who] + MORE, result.memory


def test_the_docker_goes_on_when_another_window_is_closed(krita: Callable[..., harness.Result]) -> None:
    krita("two_windows").passed()
