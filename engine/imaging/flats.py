"""Flats at full size: one colour per region, exact where a hint says so, the model's guess elsewhere.

Regions that hold strokes of several colours are shared out between them; a stroke that slips over a line by a little
does not colour the neighbour.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.imaging.canvas import resize_labels
from engine.imaging.color import oklab_to_srgb, srgb_to_oklab
from engine.imaging.regions import nearest_label
from engine.imaging.strokes import Strokes

SLIP_SHARE = 0.15
"""A piece of a stroke with less than this share of it in a region, and most of it in another, slipped."""
AGREEMENT = 9.0
"""When colours compete inside one region: an OKLab distance of 0.1 to the model's picture counts as a factor 2.5."""
SPLIT_AREA = 0.015
"""Regions without hints larger than this part of the frame may be split where the model sees several colours."""
SPLIT_SPREAD = 0.09
"""OKLab spread of the model's colours from which such a region is split."""
MAX_PARTS = 4


LEAN = 0.8
"""How far a guess moves towards the nearest hinted colour, when there are hints."""
LEAST_DEVIATION = 5e-4
"""Guesses that differ less than this in OKLab are one colour (blank paper)."""
LARGEST_SCORE = 1.8


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
    flat = labels[keep]
    sizes = np.bincount(flat, minlength=count)
    seen = sizes > 0
    middle = np.concatenate([[0], np.cumsum(sizes)[:-1]]) + sizes // 2
    out = np.zeros((count, values.shape[2]), np.float32)
    for ch in range(values.shape[2]):
        code = np.clip((values[..., ch][keep] + 1) * 4096, 0, 8191).astype(np.int64)
        # Sorting (label, value) as one integer gives every segment's sorted values in one pass.
        packed = np.sort(flat.astype(np.int64) << 13 | code)
        out[seen, ch] = (packed[middle[seen]] & 8191) / 4096 - 1
    return out, seen


def _significant(strokes: Strokes, region: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Mark the painted pixels that speak for the region they lie in, leaving out slips over a line."""
    n_regions = int(region.max()) + 1
    code, index, counts = np.unique(strokes.piece * n_regions + region, return_inverse=True, return_counts=True)
    piece = code // n_regions
    total = np.bincount(strokes.piece)[piece]
    most = np.zeros(int(strokes.piece.max()) + 1, np.int64)
    np.maximum.at(most, piece, counts)
    slipped = (counts < SLIP_SHARE * total) & (most[piece] > 0.5 * total)
    return np.asarray(~slipped[index], np.bool_)


def make_flats(
    regions: NDArray[np.int32],
    strokes: Strokes | None,
    canvas: tuple[int, int],
    guess: NDArray[np.float32],
    paper: NDArray[np.bool_],
    moments: Moments | None = None,
) -> Flats:
    """Choose a colour for every region.

    Args:
        regions: HxW region numbers at segmentation size.
        strokes: painted pixels in canvas coordinates, or None.
        canvas: height and width of the canvas the strokes were painted on.
        guess: hxwx3 sRGB in [0, 1], the model's flat picture, at any size.
        paper: hxw, where that picture is not under ink.
        moments: give the guessed colours these, for a picture nobody gave any colour to go by; None = as guessed.
    """
    h, w = regions.shape
    labels = regions.copy()
    count = int(labels.max()) + 1
    colours: dict[int, NDArray[np.uint8]] = {}
    lab_guess = srgb_to_oklab(guess)
    if strokes is not None and len(strokes.ys):
        sy, sx = strokes.ys * h // canvas[0], strokes.xs * w // canvas[1]
        where = regions[sy, sx].astype(np.int64)
        speaks = _significant(strokes, where)
        sy, sx, where, colour = sy[speaks], sx[speaks], where[speaks], strokes.colour[speaks]
        order = np.argsort(where, kind="stable")
        groups = np.split(order, np.flatnonzero(np.diff(where[order])) + 1) if len(order) else []
        for group in groups:
            region, present = int(where[group[0]]), np.unique(colour[group])
            colours[region] = strokes.palette[present[0]]
            if len(present) > 1:
                points = (sy[group], sx[group], np.searchsorted(present, colour[group]))
                _share_out(labels, region, points, strokes.palette[present], lab_guess, count)
                for k in range(1, len(present)):
                    colours[count + k - 1] = strokes.palette[present[k]]
                count += len(present) - 1
    hinted = np.zeros(count, np.bool_)
    hinted[list(colours)] = True
    count = _split_unhinted(labels, hinted, lab_guess, count)
    guessed = _guessed_palette(labels, count, lab_guess, paper)
    if colours:
        _lean_on_hints(guessed, colours, hinted, labels, lab_guess.shape[:2])
    if moments is not None:
        guessed = spread_out(guessed, np.bincount(labels.ravel(), minlength=count), moments)
    palette = np.asarray(np.rint(oklab_to_srgb(guessed) * 255), np.uint8)
    for k, value in colours.items():
        palette[k] = value
    return Flats(labels, palette, np.concatenate([hinted, np.zeros(count - len(hinted), np.bool_)]))


def _share_out(
    labels: NDArray[np.int32],
    region: int,
    points: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    palette: NDArray[np.uint8],
    lab_guess: NDArray[np.float32],
    first_new: int,
) -> None:
    """Split one region between its stroke colours, by distance and the model's picture; labels change in place."""
    inside = labels == region
    rows, cols = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    box = (slice(int(rows[0]), int(rows[-1]) + 1), slice(int(cols[0]), int(cols[-1]) + 1))
    inside = inside[box]
    h, w = labels.shape
    gh, gw = lab_guess.shape[:2]
    ys = np.clip(np.arange(box[0].start, box[0].stop) * gh // h, 0, gh - 1)
    xs = np.clip(np.arange(box[1].start, box[1].stop) * gw // w, 0, gw - 1)
    seen = lab_guess[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1]
    local = np.asarray(cv2.resize(seen, (inside.shape[1], inside.shape[0]), interpolation=cv2.INTER_LINEAR))
    soften = 2.0 + 0.01 * min(h, w)
    wanted = srgb_to_oklab(np.divide(palette, 255, dtype=np.float32))
    best = np.full(inside.shape, np.inf, np.float32)
    choice = np.zeros(inside.shape, np.int32)
    for k in range(len(palette)):
        marks = np.ones(inside.shape, np.uint8)
        mine = points[2] == k
        marks[points[0][mine] - box[0].start, points[1][mine] - box[1].start] = 0
        distance = cv2.distanceTransform(marks, cv2.DIST_L2, cv2.DIST_MASK_5)
        off = np.sqrt(((local - wanted[k]) ** 2).sum(-1))
        # A painted pixel is its own colour's, whatever the model thinks.
        score = np.where(distance > 0, np.log(soften + distance) + AGREEMENT * off, -np.inf)
        better = score < best
        best[better] = score[better]
        choice[better] = k
    moved = inside & (choice > 0)
    labels[box][moved] = first_new - 1 + choice[moved]


def _split_unhinted(
    labels: NDArray[np.int32], hinted: NDArray[np.bool_], lab_guess: NDArray[np.float32], count: int
) -> int:
    """Split large regions without hints where the model sees clearly different colours; returns the new count."""
    gh, gw = lab_guess.shape[:2]
    small = resize_labels(labels, gh, gw)
    areas = np.bincount(small.ravel(), minlength=count)
    for region in np.flatnonzero((areas > SPLIT_AREA * small.size) & ~hinted[: len(areas)]):
        inside = small == region
        values = lab_guess[inside]
        if float(np.linalg.norm(values.std(axis=0))) < SPLIT_SPREAD:
            continue
        cv2.setRNGSeed(0)
        criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 12, 0.005)
        no_labels = np.empty((0, 1), np.int32)
        _, _, centres = cv2.kmeans(values, MAX_PARTS, no_labels, criteria, 1, cv2.KMEANS_PP_CENTERS)
        soft = cv2.GaussianBlur(lab_guess, (0, 0), 2.0)
        distance = ((soft[:, :, None] - np.asarray(centres)[None, None]) ** 2).sum(-1)
        big = np.stack(
            [cv2.resize(distance[..., k], labels.shape[::-1], interpolation=cv2.INTER_LINEAR) for k in range(MAX_PARTS)]
        ).argmin(0)
        moved = (labels == region) & (big > 0)
        labels[moved] = count - 1 + big[moved]
        count += MAX_PARTS - 1
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
        at = np.flatnonzero(is_lost[flat])
        medians[flat[at]] = lab_guess[at // w * gh // h, at % w * gw // w]
    return medians


def _lean_on_hints(
    guessed: NDArray[np.float32],
    colours: dict[int, NDArray[np.uint8]],
    hinted: NDArray[np.bool_],
    labels: NDArray[np.int32],
    size: tuple[int, int],
) -> None:
    """Move the guesses towards the colour of the nearest hinted segments; ``guessed`` changes in place.

    The model's idea and the neighbour's colour err in different ways, so that their mean errs less than either.
    """
    known = np.zeros((len(guessed), 3), np.float32)
    known[list(colours)] = srgb_to_oklab(np.divide(np.stack(list(colours.values())), 255, dtype=np.float32))
    is_known = np.zeros(len(guessed), np.bool_)
    is_known[: len(hinted)] = hinted
    small = resize_labels(labels, *size)
    nearest = nearest_label(np.where(is_known[small], small + 1, 0).astype(np.int32)) - 1
    if nearest.min() < 0:
        return
    near, seen = segment_medians(known[nearest], small, np.ones(small.shape, np.bool_), len(guessed))
    moved = seen & ~is_known
    guessed[moved] += LEAN * (near[moved] - guessed[moved])


def spread_out(lab: NDArray[np.float32], areas: NDArray[np.int64], moments: Moments) -> NDArray[np.float32]:
    """Give guessed region colours the mean and spread of real art.

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
    return np.asarray(score * np.array(moments.spread, np.float32) + np.array(moments.mean, np.float32), np.float32)
