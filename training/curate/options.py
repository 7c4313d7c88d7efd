"""What `training curate` can be told, and the reasons for which it leaves a picture out."""

from __future__ import annotations

from dataclasses import dataclass

REASONS = {
    "denied": "On the deny list",
    "broken": "Broken or unreadable",
    "too_large": "Too large to decode safely",
    "animated": "Animated, or several pages",
    "no_licence": "No licence",
    "too_small": "Too small",
    "greyscale": "Greyscale or a single tint",
    "comic_page": "Comic page",
    "blurry": "Blurry",
    "photo": "Photo",
    "near_duplicate": "Near-duplicate",
    "no_partner": "Line drawing whose coloured partner is missing or left out",
}
"""Reasons with their titles, in the order of precedence: a file is rejected for the first that holds."""

TRAIN, TEST = "train", "test"
LINES = ("pair_line", "lineart")
"""Kinds that are line drawings: they are grey by nature and are judged by their size alone."""


@dataclass(frozen=True)
class Options:
    """Thresholds and choices; the defaults were set on some 3,500 open illustrations and 130 photos.

    Attributes:
        min_side: shortest side a picture must have, in pixels.
        short_side: pictures are made smaller until their short side is this, in pixels.
        coloured: least share of coloured pixels, in [0, 1]; fewer is greyscale.
        tint: a picture whose colours all lie within this CIELAB distance of one tint is greyscale too.
        photo: photo score from which a picture is a photo; see ``measure.photo_score``.
        panels: framed panels from which a picture is a comic page.
        sharpness: least sharpness in [0, 1]: one over the width of the sharpest edges in pixels.
        duplicate_bits: most bits of 64 in which the perceptual hashes of near-duplicates differ.
        duplicate_colour: most mean CIELAB difference between near-duplicates, so that a recoloured copy is kept.
        require_licence: reject what names no licence.
        split_by: ``artist`` or ``work``: what is never divided between training and test.
        test_share: share of the artists or works, in [0, 1], that is held out.
        split_seed: another seed draws another split.
        redraw_split: draw the split also where a manifest or sidecar states one.
    """

    min_side: int = 240
    short_side: int = 768
    coloured: float = 0.01
    tint: float = 6.0
    photo: float = 2.0
    panels: int = 2
    sharpness: float = 0.25
    duplicate_bits: int = 5
    duplicate_colour: float = 8.0
    require_licence: bool = False
    split_by: str = "artist"
    test_share: float = 0.1
    split_seed: str = ""
    redraw_split: bool = False
