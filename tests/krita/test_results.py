"""Results in the document: one step to undo, nothing outside the mask, all kinds of documents, animations."""

from __future__ import annotations

from collections.abc import Callable

import harness

RED, BLUE = (200, 40, 40), (40, 80, 200)


def near(found: list[int], wanted: tuple[int, ...], most: int = 20) -> bool:
    return all(abs(f - w) <= most for f, w in zip(found, wanted, strict=True))


def test_a_result_is_one_step_to_undo_and_leaves_everything_outside_the_mask(
    krita: Callable[..., harness.Result],
) -> None:
    left, right = krita("one_step").passed()["sRGB"]
    assert near(left, RED)
    assert near(right, BLUE)


def test_documents_of_all_kinds_and_sizes_are_coloured(krita: Callable[..., harness.Result]) -> None:
    data = krita("formats").passed()
    for kind in ("RGBA U16", "RGBA F16", "RGBA F32", "GRAYA U8"):
        assert near(data[kind][0], RED), kind
        assert near(data[kind][1], BLUE), kind
    # Print has no such blue, and versions of Krita differ in how far they are off.
    assert near(data["CMYKA U8"][0], RED, 40)
    assert data["CMYKA U8"][1][2] > 2 * data["CMYKA U8"][1][0]
    assert data["CMYKA U8 is"] == ["CMYKA", "U8"]
    # A grey document cannot hold colours; the docker says that it made it RGB.
    assert data["GRAYA U8 is"] == ["RGBA", "U8"]


def test_frames_become_one_layer_and_one_step_to_undo(krita: Callable[..., harness.Result]) -> None:
    data = krita("animation").passed()
    assert data["message"].startswith("5 frames are coloured.")
    assert all(near(colour, RED) for colour in data["colours"])


def test_choices_are_saved_with_the_document(krita: Callable[..., harness.Result], home: harness.Home) -> None:
    data = krita("remembered", path=home.path / "Zoë's 1st drawing.kra").passed()
    assert data["mask"] == "selection"
    assert data["context"] == ""
