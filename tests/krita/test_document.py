"""Masks, formats, layers and documents of less usual kinds, and what changes while Colorize is at work."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import harness
import pytest


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[harness.Home]:
    """One home for all tests here: installing takes as long as starting Krita."""
    home = harness.Home(tmp_path_factory.mktemp("krita") / "home")
    home.install()
    yield home
    home.close()


def near(found: list[int], wanted: tuple[int, ...], most: int = 20) -> bool:
    return all(abs(f - w) <= most for f, w in zip(found, wanted, strict=True))


def test_no_byte_changes_outside_soft_masks_also_over_a_scan_and_when_continued(
    krita: Callable[..., harness.Result],
) -> None:
    krita("outside").passed()


def test_unusual_documents_and_layers_are_coloured_as_hinted(krita: Callable[..., harness.Result]) -> None:
    data = krita("kinds").passed()
    assert data["too small"] == ["The image is too small: 7 x 40 pixels.", "Colorize works from 8 pixels a side on."]
    first, second = data["scan"]
    assert near(second, tuple(first), 3), "a second result over a scan is no darker than the first"


def test_what_is_asked_for_in_mid_stroke_leaves_the_stroke_whole(krita: Callable[..., harness.Result]) -> None:
    krita("mid_stroke").passed()


def test_changes_under_a_job_or_live_mode_lose_nothing(krita: Callable[..., harness.Result]) -> None:
    data = krita("meanwhile").passed()
    assert data["resized"] == "The size of the image has changed."
    assert data["no lineart"][0] == "No lineart is chosen."
    left, right = data["live"]
    assert near(left, (200, 40, 40))
    assert near(right, (40, 80, 200))
    assert data["lineart is back"] == "", "the message goes when its cause is gone"


def test_frames_follow_the_key_frames_of_lineart_and_hints(krita: Callable[..., harness.Result]) -> None:
    data = krita("frames", side=512).passed()
    assert data["message"] == "4 frames are coloured."
    for colours in (data["frames"], data["frames of a group"]):
        assert all(near(colour, (200, 40, 40)) for colour in colours[:4]), colours
        assert all(near(colour, (20, 160, 60)) for colour in colours[4:]), colours
    assert data["steps of a group"] == 1, "one step to undo"


def test_frames_of_a_small_image_are_coloured(krita: Callable[..., harness.Result]) -> None:
    krita("frames", side=64, short=True).passed()
