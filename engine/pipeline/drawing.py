"""What is known of a drawing before any hint: its regions, and the landscape that colours flood."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.imaging.regions.flood import landscape
from engine.imaging.regions.segmentation import at_segmentation_size, distance_to_ink, find_regions, scaled_gap


@dataclass(frozen=True)
class Drawing:
    """What is known of a lineart before any hint, at the size regions are found at.

    Attributes:
        regions: HxW int32 from 0.
        levels: HxW uint8 ``flood.landscape``.
    """

    regions: NDArray[np.int32]
    levels: NDArray[np.uint8]


def find_drawing(lineart: NDArray[np.float32], gap: int | None = None) -> Drawing:
    """Find regions and landscape of HxW lineart in [0, 1]; a large one is made smaller.

    Args:
        lineart: 1 = paper.
        gap: see ``find_regions``.
    """
    small = at_segmentation_size(lineart)
    distance = distance_to_ink(small)
    regions = find_regions(small, distance, scaled_gap(gap, lineart, small))
    return Drawing(regions, landscape(small, min(small.shape) / 512, distance))
