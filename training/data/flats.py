"""Simplified illustrations: one integer label per region of like colour, at most 25 colours.

The thesis finds regions with a network trained on DanbooRegion; without such weights we smooth with L0 gradient
minimisation (Xu et al. 2011), quantise with k-means in OKLab, and merge small components into the neighbour whose
colour is nearest.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.imaging.color import srgb_to_oklab
from training.data.l0 import smooth

MAX_COLOURS = 25
L0_LAMBDA = 0.012
L0_KAPPA = 2.0
MERGE_DISTANCE = 0.045
"""OKLab distance under which two palette colours count as one; about three just visible steps."""

Smoothing = Literal["opencv", "l0", "bilateral", "none"]


def quantise(rgb: NDArray[np.uint8], seed: int = 0) -> NDArray[np.int32]:
    """Label every pixel of an HxWx3 sRGB picture with one of at most ``MAX_COLOURS`` colours (k-means in OKLab)."""
    lab = srgb_to_oklab(np.divide(rgb.reshape(-1, 3), 255, dtype=np.float32))
    rng = np.random.default_rng(seed)
    sample = lab[rng.choice(len(lab), min(len(lab), 6000), replace=False)]
    # Coarse bins first: k-means started from common colours keeps small but distinct ones.
    bins, counts = np.unique(np.round(sample / MERGE_DISTANCE).astype(np.int32), axis=0, return_counts=True)
    order = np.argsort(-counts)
    colours = bins[order].astype(np.float32) * MERGE_DISTANCE
    centres: list[NDArray[np.float32]] = []
    while len(colours) and len(centres) < MAX_COLOURS:
        centres.append(colours[0])
        colours = colours[np.linalg.norm(colours - colours[0], axis=1) > 1.6 * MERGE_DISTANCE]
    c = np.stack(centres)
    for _ in range(6):
        nearest = _nearest(sample, c)
        for k in range(len(c)):
            if np.any(nearest == k):
                c[k] = sample[nearest == k].mean(0)
    return _nearest(lab, c).reshape(rgb.shape[:2])


def _nearest(colours: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.int32]:
    """Number of the one of Mx3 centres that is nearest to each of Nx3 colours."""
    # The square of the colour itself is the same for all centres.
    return np.asarray(np.argmin((centres**2).sum(1) - 2 * (colours @ centres.T), axis=1), np.int32)


def components(colours: NDArray[np.int32]) -> NDArray[np.int32]:
    """Split HxW colour labels into 4-connected components numbered from 0."""
    out = np.zeros(colours.shape, np.int32)
    total = 0
    for k in np.unique(colours):
        n, part = cv2.connectedComponents((colours == k).astype(np.uint8), connectivity=4, ltype=cv2.CV_32S)
        inside = part > 0
        out[inside] = part[inside] - 1 + total
        total += n - 1
    return out


def absorb_small(labels: NDArray[np.int32], min_area: int) -> NDArray[np.int32]:
    """Give HxW pixels of components under ``min_area`` pixels to the nearest kept one; renumbers from 0."""
    area = np.bincount(labels.ravel())
    keep = area >= min_area
    if not keep.any():
        keep[int(np.argmax(area))] = True
    kept = keep[labels]
    _, nearest = cv2.distanceTransformWithLabels(
        (~kept).astype(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
    )
    lut = np.zeros(int(nearest.max()) + 1, np.int32)
    lut[nearest[kept]] = labels[kept]
    filled = np.where(kept, labels, lut[nearest])
    return np.unique(filled, return_inverse=True)[1].reshape(labels.shape).astype(np.int32)


def flatten(rgb: NDArray[np.uint8], smoothing: Smoothing = "opencv") -> NDArray[np.uint8]:
    """Take shading and grain out of HxWx3 sRGB by L0 smoothing with the recipe's ``L0_LAMBDA``.

    Args:
        rgb: HxWx3 sRGB.
        smoothing: ``opencv`` as the shipped weights were trained, ``l0`` as the paper has it (see ``l0``),
            ``bilateral`` for two bilateral filters (Tomasi and Manduchi 1998), ten times as fast and with more of the
            small shapes left, or ``none``.
    """
    if smoothing == "opencv":
        return np.asarray(cv2.ximgproc.l0Smooth(np.ascontiguousarray(rgb), None, L0_LAMBDA, L0_KAPPA), np.uint8)
    if smoothing == "l0":
        return np.rint(np.clip(smooth(rgb / np.float32(255), L0_LAMBDA, L0_KAPPA), 0, 1) * 255).astype(np.uint8)
    if smoothing == "bilateral":
        return np.asarray(cv2.bilateralFilter(cv2.bilateralFilter(rgb, 7, 30, 5), 9, 30, 7), np.uint8)
    return rgb


def simplify(
    rgb: NDArray[np.uint8], min_area: int | None = None, smoothing: Smoothing = "opencv"
) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Find the flat regions of an illustration.

    Args:
        rgb: HxWx3 sRGB.
        min_area: smallest region kept, in pixels; by default one part in 6,000 of the picture.
        smoothing: what takes the shading out first, see ``flatten``.

    Returns:
        ``(labels, palette)``: HxW int32 region numbers from 0, and the Nx3 sRGB median colour of every region.
    """
    labels = components(quantise(flatten(rgb, smoothing)))
    limit = max(12, rgb.shape[0] * rgb.shape[1] // 6000) if min_area is None else min_area
    labels = absorb_small(labels, limit)
    return labels, region_medians(rgb, labels)


def region_medians(rgb: NDArray[np.uint8], labels: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Median colour per region: Nx3 for labels 0..N-1 (each channel by itself)."""
    flat = labels.ravel()
    count = np.bincount(flat)
    start = np.concatenate([[0], np.cumsum(count)[:-1]])
    middle = start + count // 2
    out = np.empty((len(count), 3), np.uint8)
    for ch in range(3):
        # Sorting (label, value) as one integer gives every region's sorted values in one pass.
        packed = np.sort(flat.astype(np.int64) * 256 + rgb[..., ch].ravel())
        out[:, ch] = (packed[middle] & 255).astype(np.uint8)
    return out


def palette_moments(
    pictures: list[tuple[NDArray[np.uint8], NDArray[np.uint16]]],
) -> tuple[list[float], list[float]]:
    """OKLab mean of the region colours of ``(palette, labels)`` pictures, and their spread within a picture.

    Regions weigh with the root of their area, as in ``engine.imaging.layers.flats.spread_out``.
    """
    means, deviations = [], []
    for palette, labels in pictures:
        lab = srgb_to_oklab(np.divide(palette, 255, dtype=np.float32))
        weight = np.sqrt(np.bincount(labels.ravel(), minlength=len(palette)).astype(np.float32))
        weight = (weight / weight.sum())[:, None]
        mean = (lab * weight).sum(0)
        means.append(mean)
        deviations.append(np.sqrt(((lab - mean) ** 2 * weight).sum(0)))

    def rounded(values: list[NDArray[np.float32]]) -> list[float]:
        return [round(float(v), 4) for v in np.mean(values, axis=0)]

    return rounded(means), rounded(deviations)
