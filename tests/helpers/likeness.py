"""How alike pictures are, for tests of what is the same but for rounding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


def apart(first: Pixels, second: Pixels) -> float:
    """Mean absolute difference of two pictures of one shape, in levels."""
    return float(np.abs(first.astype(np.int16) - second).mean())


def nearest(picture: Pixels, others: Sequence[Pixels]) -> int:
    """The place of the picture that looks most like this one."""
    return int(np.argmin([apart(picture, other) for other in others]))
