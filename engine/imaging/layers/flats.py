"""Flats at full size: one colour per region, exact where a hint says so, the model's guess elsewhere.

Strokes are flooded over the drawing (``strokes.flood_strokes``), so that two colours in one region meet at the
narrowest place between them.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.imaging.canvas import resize_labels
from engine.imaging.color import oklab_to_srgb, srgb_to_oklab
from engine.imaging.layers.palette import few_colours
from engine.imaging.strokes import Flooded

SPLIT_AREA = 0.015
"""Regions without hints larger than this part of the frame may be split where the model sees several colours."""
SPLIT_SPREAD = 0.09
"""OKLab spread of the model's colours from which such a region is split."""
MAX_PARTS = 4
SPLIT_SAMPLE = 4000
"""Pixels of a region that are looked at to find its parts."""
LEAN_SMALL, LEAN_LARGE = 0.9, 0.15
"""How far the guess for a small and for a large segment moves towards the stroke colour that the flood brings."""
SMALL_AREA = 0.005
"""Part of the frame from which a segment begins to count as large."""
CLASH = 0.15
"""OKLab distance from which two ideas of a colour are not mixed."""
LEAN_ON_CONTEXT = 0.9
"""How far the guess for a region that goes on outside the mask moves towards its colour there."""
LEAST_KNOWN = 16
"""Pixels of the model's picture by which a region must be known to go by its colour there."""
LEAST_DEVIATION = 5e-4
"""Guesses that differ less than this in OKLab are one colour (blank paper)."""
LARGEST_SCORE = 1.8
CONTRAST = 0.4
"""How far a picture without any hint goes from the model's timid guess to real art's contrast; more is garish."""


@dataclass(frozen=True)
class Moments:
    """Mean and standard deviation of the region colours of a picture, each L, a, b of OKLab."""

    mean: tuple[float, float, float]
    spread: tuple[float, float, float]


@dataclass(frozen=True)
class Flats:
    """Segments at segmentation size and their colours.

    Attributes:
        labels: HxW int32, segment numbers from 0.
        palette: Nx3 uint8 sRGB colour per segment.
        hinted: N booleans: the colour comes from a stroke.
    """

    labels: NDArray[np.int32]
    palette: NDArray[np.uint8]
    hinted: NDArray[np.bool_]


def segment_medians(
    values: NDArray[np.float32], labels: NDArray[np.int32], keep: NDArray[np.bool_], count: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Median per segment and channel over the pixels in ``keep``.

    Args:
        values: HxWxC in [-1, 1]; precision is 1/4096.
        labels: HxW in 0..count-1.
        keep: HxW.
        count: number of segments.

    Returns:
        countxC medians, and count booleans that say which segments had a pixel.
    """
    places = np.flatnonzero(keep)
    kept = values.reshape(-1, values.shape[2]).take(places, axis=0)
    return _medians(kept, labels.reshape(-1).take(places), count)


def _medians(
    values: NDArray[np.float32], labels: NDArray[np.int32], count: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """``segment_medians`` of N pixels: NxC values, which are lost, and N labels."""
    sizes = np.bincount(labels, minlength=count)
    seen = sizes > 0
    middle = (np.concatenate([[0], np.cumsum(sizes)[:-1]]) + sizes // 2)[seen]
    out = np.zeros((count, values.shape[1]), np.float32)
    values += 1
    values *= 4096
    codes = np.clip(values, 0, 8191, out=values).astype(np.int32 if count < 1 << 18 else np.int64)
    high = labels.astype(codes.dtype) << 13
    for ch in range(values.shape[1]):
        # Sorting (label, value) as one integer gives every segment's sorted values in one pass.
        packed = high | codes[:, ch]
        packed.sort()
        out[seen, ch] = (packed[middle] & 8191) / 4096 - 1
    return out, seen


@dataclass(frozen=True)
class Segments:
    """What will get one colour each, before it is known which; it depends on lineart and strokes alone.

    Attributes:
        labels: HxW int32, segment numbers from 0.
        hints: per segment its stroke colour, an index into ``palette``, or -1.
        palette: Kx3 uint8 colours of the strokes.
        flooded: HxW int32, the stroke colour that the flood brings to every pixel; None without strokes.
    """

    labels: NDArray[np.int32]
    hints: NDArray[np.int32]
    palette: NDArray[np.uint8]
    flooded: NDArray[np.int32] | None


@dataclass(frozen=True)
class Prediction:
    """What the model sees, at any size.

    Attributes:
        guess: hxwx3 sRGB in [0, 1], its flat picture.
        paper: hxw, where that picture is not under ink.
        context: hxwx3 sRGB in [0, 1], what is painted already, or None.
        known: hxw, where the context may be relied on, or None.
    """

    guess: NDArray[np.float32]
    paper: NDArray[np.bool_]
    context: NDArray[np.float32] | None = None
    known: NDArray[np.bool_] | None = None


def find_segments(regions: NDArray[np.int32], flooded: Flooded | None) -> Segments:
    """Cut regions that hold strokes along the flood of the strokes; others stay whole.

    Args:
        regions: HxW region numbers.
        flooded: the strokes flooded over the same picture, or None without strokes.
    """
    hinted = np.zeros(int(regions.max()) + 1, np.bool_)
    if flooded is None:
        return Segments(regions, np.full(len(hinted), -1, np.int32), np.zeros((0, 3), np.uint8), None)
    hinted[regions[flooded.ys, flooded.xs]] = True
    colours = len(flooded.palette)
    code = regions * np.int64(colours + 1) + np.where(hinted.take(regions), flooded.colour + 1, 0)
    size = len(hinted) * (colours + 1)
    if size > 50_000_000:
        used, number = np.unique(code, return_inverse=True)
        labels = number.reshape(regions.shape).astype(np.int32)
    else:
        present = np.zeros(size, np.bool_)
        present[code.ravel()] = True
        used = np.flatnonzero(present)
        labels = (np.cumsum(present) - 1).astype(np.int32).take(code)
    return Segments(labels, (used % (colours + 1) - 1).astype(np.int32), flooded.palette, flooded.colour)


def make_flats(
    segments: Segments, prediction: Prediction, moments: Moments | None = None, *, split: bool = True, lean: float = 1.0
) -> Flats:
    """Choose a colour for every segment.

    Args:
        segments: what to colour.
        prediction: the model's view.
        moments: give the guessed colours these, for a picture nobody gave any colour to go by; None = as guessed.
        split: cut large segments to be guessed where the model sees clearly different colours.
        lean: how far guesses go towards the strokes' flood, from 0 to 1 = as far as is best for a single best guess.
    """
    labels, hints = segments.labels.copy(), segments.hints
    lab_guess = srgb_to_oklab(prediction.guess)
    whole = hints >= 0 if split else np.ones(len(hints), np.bool_)
    lab_context = None
    if prediction.context is not None and prediction.known is not None and prediction.known.any():
        lab_context = srgb_to_oklab(prediction.context)
        whole = whole | _of_one_colour(
            resize_labels(labels, *prediction.known.shape), lab_context, prediction.known, len(hints)
        )
    count = _split_guessed(labels, whole, lab_guess, len(hints))
    hints = np.concatenate([hints, np.full(count - len(hints), -1, np.int32)])
    guessed, free = _guessed_palette(labels, count, lab_guess, prediction.paper), hints < 0
    small = resize_labels(labels, *lab_guess.shape[:2])
    if segments.flooded is not None:
        colours = srgb_to_oklab(np.divide(segments.palette, 255, dtype=np.float32))
        area = np.bincount(small.ravel(), minlength=count) / small.size
        # What lies between hatching is nearly always of the colour around it; a whole dress may be of its own.
        share = lean * (LEAN_LARGE + (LEAN_SMALL - LEAN_LARGE) * np.exp(-area / SMALL_AREA))
        at = np.flatnonzero((hints < 0).take(small))
        brought = colours.take(resize_labels(segments.flooded, *small.shape).reshape(-1).take(at), axis=0)
        _lean(guessed, _medians(brought, small.reshape(-1).take(at), count), share.astype(np.float32))
    if lab_context is not None and prediction.known is not None:
        medians = segment_medians(lab_context, small, prediction.known, count)
        _lean(guessed, medians, np.full(count, LEAN_ON_CONTEXT, np.float32))
        # What goes on outside the mask has its colour from there.
        free &= ~medians[1]
    areas = np.bincount(labels.ravel(), minlength=count)
    if moments is not None:
        guessed = spread_out(guessed, areas, moments)
    used = np.unique(hints[hints >= 0])
    strokes = srgb_to_oklab(np.divide(segments.palette[used], 255, dtype=np.float32))
    guessed[free], taken = few_colours(guessed[free], areas[free], strokes)
    palette = np.asarray(np.rint(oklab_to_srgb(guessed) * 255), np.uint8)
    hinted, source = hints >= 0, hints.copy()
    source[np.flatnonzero(free)[taken >= 0]] = used[taken[taken >= 0]]
    palette[source >= 0] = segments.palette[source[source >= 0]]
    return Flats(labels, palette, hinted)


def _of_one_colour(
    labels: NDArray[np.int32], lab: NDArray[np.float32], known: NDArray[np.bool_], count: int
) -> NDArray[np.bool_]:
    """Mark the regions that are of one colour where they are painted already."""
    inside = labels[known]
    pixels = np.bincount(inside, minlength=count)
    deviation = np.zeros(count)
    for values in lab[known].T:
        mean = np.bincount(inside, values, count) / np.maximum(pixels, 1)
        deviation += np.bincount(inside, (values - mean[inside]) ** 2, count) / np.maximum(pixels, 1)
    return np.asarray((pixels >= LEAST_KNOWN) & (np.sqrt(deviation) < SPLIT_SPREAD), np.bool_)


def _split_guessed(
    labels: NDArray[np.int32], whole: NDArray[np.bool_], lab_guess: NDArray[np.float32], count: int
) -> int:
    """Split large regions to be guessed where the model sees clearly different colours; returns the new count."""
    h, w = labels.shape
    gh, gw = lab_guess.shape[:2]
    small = resize_labels(labels, gh, gw)
    areas = np.bincount(small.ravel(), minlength=count)
    for region in np.flatnonzero((areas > SPLIT_AREA * small.size) & ~whole[: len(areas)]):
        inside = small == region
        values = lab_guess.reshape(-1, 3).take(np.flatnonzero(inside), axis=0)
        if float(np.linalg.norm(values.std(axis=0))) < SPLIT_SPREAD:
            continue
        cv2.setRNGSeed(0)
        criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 12, 0.005)
        no_labels = np.empty((0, 1), np.int32)
        sample = values[:: max(1, len(values) // SPLIT_SAMPLE)]
        _, _, centres = cv2.kmeans(sample, min(MAX_PARTS, len(sample)), no_labels, criteria, 1, cv2.KMEANS_PP_CENTERS)
        # A margin around the region lets the blur and the enlargement see past its border.
        x, y, width, height = cv2.boundingRect(inside.view(np.uint8))
        top, left = max(0, y - 8), max(0, x - 8)
        bottom, right = min(gh, y + height + 8), min(gw, x + width + 8)
        soft = cv2.split(cv2.GaussianBlur(lab_guess[top:bottom, left:right], (0, 0), 2.0))
        rows, cols = slice(top * h // gh, -(-bottom * h // gh)), slice(left * w // gw, -(-right * w // gw))
        part = labels[rows, cols]
        best, nearest = np.zeros(part.shape, np.int32), np.full(part.shape, np.inf, np.float32)
        for number, centre in enumerate(np.asarray(centres)):
            squares = [(plane - value) ** 2 for plane, value in zip(soft, centre, strict=True)]
            distance = cv2.resize(squares[0] + squares[1] + squares[2], part.shape[::-1])
            best[distance < nearest] = number
            np.minimum(distance, nearest, out=nearest)
        moved = (part == region) & (best > 0)
        part[moved] = count - 1 + best[moved]
        count += len(centres) - 1
    return count


def _guessed_palette(
    labels: NDArray[np.int32],
    count: int,
    lab_guess: NDArray[np.float32],
    paper: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """The model's median OKLab colour per segment, taken off the ink where possible."""
    gh, gw = lab_guess.shape[:2]
    h, w = labels.shape
    small = resize_labels(labels, gh, gw)
    medians, seen = segment_medians(lab_guess, small, paper, count)
    covered = ~seen[small]
    under_ink, seen_at_all = segment_medians(lab_guess, small, covered, count)
    medians[seen_at_all] = under_ink[seen_at_all]
    lost = np.flatnonzero(~seen & ~seen_at_all)
    if len(lost):
        # Too small to show at the model's size: take the picture at one of the segment's pixels.
        flat = labels.ravel()
        is_lost = np.zeros(count, np.bool_)
        is_lost[lost] = True
        at = np.flatnonzero(is_lost.take(flat))
        medians[flat[at]] = lab_guess[at // w * gh // h, at % w * gw // w]
    return medians


def _lean(
    guessed: NDArray[np.float32], medians: tuple[NDArray[np.float32], NDArray[np.bool_]], share: NDArray[np.float32]
) -> None:
    """Move every segment's guess by its ``share`` towards its median of another OKLab picture; in place.

    The model's idea and the colour next door err in different ways, so that their mean errs less than either.
    """
    target, seen = medians
    way = target - guessed
    # Half way between two ideas that have nothing in common lies mud: one of them it is.
    clash = (way**2).sum(1) > CLASH**2
    share = np.where(clash, share >= 0.5, share)
    guessed[seen] += (share[:, None] * way)[seen]


def spread_out(lab: NDArray[np.float32], areas: NDArray[np.int64], moments: Moments) -> NDArray[np.float32]:
    """Move guessed region colours towards the mean and spread of real art.

    Without a hint many pictures are right, and what a network paints is near their mean: the right order of light and
    dark, warm and cold, but next to no contrast. Matching the first two moments (as Reinhard et al. 2001 do for whole
    pictures) brings it back, for lightness and for warmth; hue beyond warm and cold would be noise.

    Args:
        lab: Nx3 OKLab.
        areas: pixels per colour; they weigh with their root, as a large background is still one colour.
        moments: what to match.
    """
    weight = np.sqrt(areas.astype(np.float32))
    weight = (weight / weight.sum())[:, None]

    def standard(values: NDArray[np.float32]) -> NDArray[np.float32]:
        centred = values - (values * weight).sum(0)
        deviation = np.sqrt((centred**2 * weight).sum(0))
        score = centred / np.maximum(deviation, LEAST_DEVIATION) * (deviation > LEAST_DEVIATION)
        return np.asarray(np.clip(score, -LARGEST_SCORE, LARGEST_SCORE), np.float32)

    score = standard(lab)
    score[:, 1:] = standard(score[:, 1:].sum(axis=1, keepdims=True))
    matched = score * np.array(moments.spread, np.float32) + np.array(moments.mean, np.float32)
    return np.asarray(lab + CONTRAST * (matched - lab), np.float32)
