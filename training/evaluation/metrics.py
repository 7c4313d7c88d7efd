"""Numbers for one picture: likeness to the original, fidelity to strokes, bleeding, regions, untouched surroundings.

Pictures are HxWx3 uint8 sRGB, region labels HxW int32 from 0, palettes Nx3 uint8, areas HxW bool.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from skimage.color import deltaE_ciede2000, rgb2lab
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from engine.imaging.color import srgb_to_oklab
from training.data.flats import region_medians

Picture = NDArray[np.uint8]
Labels = NDArray[np.int32]
Area = NDArray[np.bool_]

INK_LEVEL = 0.75
"""Lineart darker than this is ink: what is painted below it can hardly be seen."""
LINE_REACH = 3.0
"""Bleeding is looked for within this many pixels of a line."""
WINDOW = 9
WIDEST_WINDOW = 21
JUST_NOTICEABLE = 0.02
"""Least OKLab distance between two regions for which it can be said whose colour a pixel has."""
GRID = 2
"""Mean differences are taken over every ``GRID``-th pixel in both directions; neighbours hold next to no news."""
SAME_PICTURE = 100.0
"""PSNR in dB of two pictures without any difference, whose true value is infinite and could not be averaged."""
SMALLEST_FOR_MS_SSIM = 176
"""Shortest side in pixels for five scales with a window of 11: 11 x 2^4."""
LEAST_REGION = 64
"""Pixels clear of ink that a region needs for its colour to be judged."""


def find_line(lineart: NDArray[np.float32]) -> Area:
    """Mark ink in HxW lineart in [0, 1], 1 = paper. Independent of the engine's own idea of ink."""
    return np.asarray(lineart < INK_LEVEL, np.bool_)


def clear_of_ink(ink: Area) -> Area:
    """Mark the pixels that are not ink and do not touch ink either, where antialiasing mixes line and colour."""
    return np.asarray(cv2.dilate(ink.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0, np.bool_)


def near_line(ink: Area, reach: float = LINE_REACH) -> Area:
    """Mark the pixels within ``reach`` px of ink that are not ink themselves; nothing where there is no ink."""
    if not ink.any():
        return np.zeros(ink.shape, np.bool_)
    distance = cv2.distanceTransform((~ink).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(~ink & (distance <= reach), np.bool_)


def unit(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Turn bytes into floats in [0, 1], of any shape."""
    return np.divide(picture, 255, dtype=np.float32)


def with_ink(picture: Picture, lineart: NDArray[np.float32]) -> Picture:
    """Multiply HxW lineart in [0, 1] over a picture, as a paint program's multiply layer does."""
    return np.asarray(np.rint(picture * lineart[..., None]), np.uint8)


def ciede2000(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.float32]:
    """CIEDE2000 difference of two ``(..., 3)`` sRGB arrays (Sharma, Wu and Dalal 2005), taken in float64.

    The formula jumps where two hues lie opposite each other, so that float32 there falls on either side by chance.

    Args:
        first: bytes, or floats in [0, 1].
        second: the same.

    Returns:
        One number per pixel; 1 is just visible.
    """
    lab = [rgb2lab(p if p.dtype == np.uint8 else p.astype(np.float64)) for p in (first, second)]
    return np.asarray(deltaE_ciede2000(*lab), np.float32)


def stroke_differences(result: Picture, hints: NDArray[np.uint8]) -> NDArray[np.float32]:
    """CIEDE2000 between the result and the hint at every pixel that a stroke covers fully.

    Args:
        result: HxWx3.
        hints: HxWx4, straight alpha; pixels with alpha 255 count.

    Returns:
        One number per stroke pixel; empty without strokes.
    """
    painted = hints[..., 3] == 255
    return ciede2000(result[painted], hints[painted][:, :3])


def mean_difference(result: Picture, original: Picture, area: Area) -> float:
    """Mean CIEDE2000 over the pixels of ``area`` that lie on the grid; NaN when there are none."""
    inside = area[::GRID, ::GRID]
    if not inside.any():
        return float("nan")
    return float(ciede2000(result[::GRID, ::GRID][inside], original[::GRID, ::GRID][inside]).mean())


def psnr(result: Picture, original: Picture) -> float:
    """Peak signal-to-noise ratio over all pixels and channels of sRGB bytes, in dB; ``SAME_PICTURE`` at most."""
    error = float(np.mean((result.astype(np.float64) - original) ** 2))
    return SAME_PICTURE if error == 0 else min(SAME_PICTURE, 10 * float(np.log10(255**2 / error)))


def ms_ssim(result: Picture, original: Picture) -> float:
    """Multi-scale structural similarity (Wang et al. 2003) of sRGB, the mean over the channels; 1 is the same.

    Contrast terms below 0 count as 0, since they have no fractional power. It is taken in float32, which is within
    0.0001 of float64 on illustrations and an order of magnitude faster.

    Returns:
        A number in [0, 1]; NaN where a side is under ``SMALLEST_FOR_MS_SSIM`` pixels.
    """
    if min(result.shape[:2]) < SMALLEST_FOR_MS_SSIM:
        return float("nan")
    a, b = (torch.from_numpy(np.array(p)).permute(2, 0, 1)[None].float() / 255 for p in (result, original))
    return float(multiscale_structural_similarity_index_measure(a, b, data_range=1.0, normalize="relu"))


def mean_chroma(picture: Picture, area: Area) -> float:
    """Mean OKLab chroma over the pixels of ``area`` that lie on the grid: 0 is grey, 0.1 lively, 0.3 neon."""
    inside = area[::GRID, ::GRID]
    if not inside.any():
        return float("nan")
    lab = srgb_to_oklab(unit(picture[::GRID, ::GRID][inside]))
    return float(np.hypot(lab[:, 1], lab[:, 2]).mean())


def window_across(ink: Area) -> int:
    """Side of the least window that looks from beside a line of usual width to the far side of it.

    Returns:
        An odd number of pixels, ``WINDOW`` for thin lines, at most ``WIDEST_WINDOW``.
    """
    inner = cv2.erode(ink.astype(np.uint8), np.ones((3, 3), np.uint8), borderType=cv2.BORDER_REPLICATE)
    rim = int(ink.sum()) - int(inner.sum())
    if rim == 0:
        return WINDOW
    # Region borders lie in the middle of the line, which is as wide as its area over half its rim.
    width = 2 * float(ink.sum()) / rim
    side = 2 * int(np.ceil(width / 2 + LINE_REACH)) + 1
    return int(np.clip(side, WINDOW, WIDEST_WINDOW))


def neighbour_labels(labels: Labels, area: Area, window: int = WINDOW) -> Labels:
    """For every pixel of ``area``, the most common label but its own in the window around it.

    Args:
        labels: HxW.
        area: HxW, K pixels.
        window: odd side of the window; it is cut off at the border of the picture.

    Returns:
        K labels in the order of ``labels[area]``; -1 where the window holds no other label. Of two equally common
        labels the smaller one is taken.
    """
    padded = np.pad(labels, window // 2, constant_values=-1)
    views = np.lib.stride_tricks.sliding_window_view(padded, (window, window))
    ys, xs = np.nonzero(area)
    out = np.empty(len(ys), np.int32)
    at = np.arange(window * window)
    for start in range(0, len(ys), 20_000):
        part = slice(start, start + 20_000)
        around = views[ys[part], xs[part]].reshape(-1, window * window)
        around = np.sort(np.where(around == labels[ys[part], xs[part], None], -1, around), axis=1)
        # In a sorted row equal labels stand together: a pixel's place in its run counts them.
        begins = np.ones(around.shape, np.bool_)
        begins[:, 1:] = around[:, 1:] != around[:, :-1]
        run = at - np.maximum.accumulate(np.where(begins, at, 0), axis=1)
        run[around < 0] = -1
        out[part] = around[np.arange(len(around)), run.argmax(axis=1)]
    return out


def bleeding(
    result: Picture, labels: Labels, palette: NDArray[np.uint8], area: Area, neighbours: Labels
) -> tuple[float, int]:
    """Share of pixels that took the colour of the region next door.

    A pixel's own region is its true label, its neighbour the most common other true label in the window around it. It
    counts when the flat colours of the two differ by more than a just noticeable step, and it bleeds when the result
    is nearer (OKLab) to the neighbour's flat colour than to its own.

    Args:
        result: HxWx3.
        labels: HxW true regions.
        palette: Nx3 true flat colours.
        area: HxW, the pixels looked at (near lines), K of them.
        neighbours: K labels from ``neighbour_labels(labels, area)``.

    Returns:
        ``(share in [0, 1], pixels that count)``; the share is NaN when none count.
    """
    flats = srgb_to_oklab(unit(palette))
    own, other = flats[labels[area]], flats[neighbours]
    counts = (neighbours >= 0) & (np.linalg.norm(own - other, axis=1) > JUST_NOTICEABLE)
    if not counts.any():
        return float("nan"), 0
    colour = srgb_to_oklab(unit(result[area][counts]))
    bled = np.linalg.norm(colour - other[counts], axis=1) < np.linalg.norm(colour - own[counts], axis=1)
    return float(bled.mean()), int(counts.sum())


def region_accuracy(
    result: Picture, labels: Labels, palette: NDArray[np.uint8], clear: Area, only: Labels | None = None
) -> tuple[float, int]:
    """Share of true regions that got their own colour.

    A region's colour in the result is the median of its pixels off the ink. It is right when, of all flat colours of
    the original, the nearest one (OKLab) is the region's own or differs from that by no more than a just noticeable
    step.

    Args:
        result: HxWx3.
        labels: HxW true regions.
        palette: Nx3 true flat colours.
        clear: HxW, pixels whose colour is not mixed with ink.
        only: judge only these labels; all by default.

    Returns:
        ``(share in [0, 1], regions judged)``; a region counts with ``LEAST_REGION`` clear pixels or more. NaN without.
    """
    sizes = np.bincount(labels[clear], minlength=len(palette))
    judged = np.flatnonzero(sizes >= LEAST_REGION)
    if only is not None:
        judged = np.intersect1d(judged, only)
    if len(judged) == 0:
        return float("nan"), 0
    colours = region_medians(result[clear][None], labels[clear][None])[judged]
    flats = srgb_to_oklab(unit(palette))
    seen = srgb_to_oklab(unit(colours))
    nearest = np.linalg.norm(seen[:, None] - flats[None], axis=2).argmin(axis=1)
    right = np.linalg.norm(flats[nearest] - flats[judged], axis=1) <= JUST_NOTICEABLE
    return float(right.mean()), len(judged)


def outside_difference(result: NDArray[np.uint8], context: NDArray[np.uint8], mask: NDArray[np.uint8]) -> int:
    """Largest byte difference between two HxWxC pictures where the HxW mask is 0; 0 when it is 0 nowhere."""
    outside = mask == 0
    if not outside.any():
        return 0
    return int(np.abs(result[outside].astype(np.int16) - context[outside].astype(np.int16)).max())
