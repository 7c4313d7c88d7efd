"""Keeps the colours of a picture few: guesses that hardly differ become one colour, and those near a stroke its own.

An artist selects flats by colour. A model's guesses for the slivers between hatching differ by what nobody sees, and
each of them would be a colour of its own.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

NEAR_STROKE = 0.04
"""OKLab distance within which a guess takes the colour of a stroke."""
ALIKE = 0.03
"""OKLab distance within which guesses are one colour."""
MOST = 512
"""Colours that guesses are put together to, at most; pictures with more are left as they are from there on."""


def few_colours(
    guessed: NDArray[np.float32], areas: NDArray[np.int64], strokes: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Put guessed colours together.

    Args:
        guessed: Nx3 OKLab.
        areas: N, pixels of each; the largest of those that are alike gives its colour to all of them.
        strokes: Kx3 OKLab, the colours that were hinted.

    Returns:
        Nx3 OKLab, and per guess the stroke whose colour it took, or -1.
    """
    out, taken = guessed.copy(), np.full(len(guessed), -1, np.int64)
    nearest = np.full(len(guessed), NEAR_STROKE**2, np.float32)
    for number, stroke in enumerate(strokes):
        distance = ((guessed - stroke) ** 2).sum(1)
        closer = distance < nearest
        taken[closer], nearest[closer] = number, distance[closer]
    out[taken >= 0] = strokes[taken[taken >= 0]]
    left = np.flatnonzero(taken < 0)
    left = left[np.argsort(-areas[left], kind="stable")]
    for _ in range(MOST):
        if len(left) == 0:
            break
        alike = ((guessed[left] - guessed[left[0]]) ** 2).sum(1) < ALIKE**2
        out[left[alike]] = guessed[left[0]]
        left = left[~alike]
    return out, taken
