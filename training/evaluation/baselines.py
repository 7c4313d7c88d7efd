"""What others do with the same lineart and hints: nearest hint, nearest hint per region, and G'MIC smart colouring."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.imaging.regions.segmentation import find_regions, nearest_label

GMIC_SECONDS = 120.0
GMIC_SMART = "1,95,0,0,1,24,200,0,75,2,60,20,90,1,10,1,0"
"""Colour spots in, contour detection 95 %, no guides, delimiters or shading, the rest as the filter starts with."""


def white(lineart: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Leave the HxW paper as it is: HxWx3 white."""
    return np.full((*lineart.shape, 3), 255, np.uint8)


def nearest_pixels(marked: NDArray[np.bool_]) -> NDArray[np.int64]:
    """For every pixel of HxW the flat index of the nearest marked one (Euclidean); at least one must be marked."""
    _, index = cv2.distanceTransformWithLabels(
        (~marked).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    where = np.zeros(int(index.max()) + 1, np.int64)
    where[index[marked]] = np.flatnonzero(marked)
    return np.asarray(where[index], np.int64)


def nearest_hint(lineart: NDArray[np.float32], hints: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give every pixel the colour of the nearest stroke, lines or not; white without strokes.

    Args:
        lineart: HxW in [0, 1]; only its size matters.
        hints: HxWx4, straight alpha.
    """
    painted = hints[..., 3] > 127
    if not painted.any():
        return white(lineart)
    return hints[..., :3].reshape(-1, 3)[nearest_pixels(painted)]


def nearest_hint_in_region(
    lineart: NDArray[np.float32], hints: NDArray[np.uint8], regions: NDArray[np.int32] | None = None
) -> NDArray[np.uint8]:
    """Give every pixel the colour of the nearest stroke that lies in its own trapped-ball region.

    A region without a stroke takes the commonest colour of the hinted region that most of its pixels are nearest to.
    Stroke pixels on ink do not make a region hinted: there a stroke merely touches the line.

    Args:
        lineart: HxW in [0, 1], 1 = paper.
        hints: HxWx4, straight alpha.
        regions: HxW from ``find_regions`` when the caller has them already.
    """
    regions = find_regions(lineart) if regions is None else regions
    painted = (hints[..., 3] > 127) & (lineart > 0.5)
    if not painted.any():
        return nearest_hint(lineart, hints)
    out = white(lineart)
    hinted = np.unique(regions[painted])
    common = np.zeros((int(regions.max()) + 1, 3), np.uint8)
    for region in hinted:
        inside = regions == region
        x, y, w, h = cv2.boundingRect(inside.astype(np.uint8))
        box = (slice(y, y + h), slice(x, x + w))
        marks, colours = (inside & painted)[box], hints[box][..., :3]
        filled = colours.reshape(-1, 3)[nearest_pixels(marks)]
        out[box][inside[box]] = filled[inside[box]]
        kinds, counts = np.unique(colours[marks], axis=0, return_counts=True)
        common[region] = kinds[counts.argmax()]
    is_hinted = np.isin(regions, hinted)
    near = nearest_label(np.where(is_hinted, regions + 1, 0).astype(np.int32)) - 1
    for region in np.setdiff1d(np.unique(regions), hinted):
        inside = regions == region
        out[inside] = common[np.bincount(near[inside]).argmax()]
    return out


def gmic_version() -> str | None:
    """Version of the ``gmic`` on the path, None without one."""
    if shutil.which("gmic") is None:
        return None
    run = subprocess.run(["gmic", "version"], capture_output=True, text=True, timeout=60, check=False)  # noqa: S607
    found = re.search(r"\b\d+\.\d+\.\d+", run.stdout + run.stderr)
    return found.group() if found else "unknown"


def gmic_smart(lineart: NDArray[np.float32], hints: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """Run G'MIC's "Colorize lineart [smart coloring]" (Fourey, Tschumperle, Revoy 2018) on hints over lineart.

    Args:
        lineart: HxW in [0, 1], 1 = paper.
        hints: HxWx4, straight alpha.

    Returns:
        HxWx3 flat colours, or None when it fails, takes too long or gives another size.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        Image.fromarray(hints).save(folder / "hints.png")
        Image.fromarray(np.rint(lineart * 255).astype(np.uint8)).convert("RGB").save(folder / "line.png")
        # G'MIC takes layers from the top down and returns the colours as the lowest one.
        command = ["gmic", "hints.png", "line.png", "fx_colorize_lineart_smart", GMIC_SMART]
        command += ["keep[-1]", "to_rgb", "round", "output", "out.png"]
        try:
            subprocess.run(command, cwd=folder, capture_output=True, timeout=GMIC_SECONDS, check=True)  # noqa: S603
            with Image.open(folder / "out.png") as image:
                out = np.asarray(image.convert("RGB"))
        except (subprocess.SubprocessError, OSError):
            return None
    return out if out.shape[:2] == lineart.shape else None
