"""The colour classes of the region colour model."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.imaging.regions.graph import MOST_REGIONS
from training.regions.samples import RegionSet, graph_of, region_weights

_PICTURES = 800
_COLOURS = 30_000
_JITTER = 0.004
"""OKLab; spreads what all art has in exactly one colour, such as white, so that no two classes are the same."""


def learn_codebook(data: RegionSet, classes: int, seed: int) -> NDArray[np.float32]:
    """k-means in OKLab of the regions of the training art, classesx3 float32.

    Regions are drawn by the square root of their weight: common colours get more classes, but rare ones some.
    """
    rng = np.random.default_rng([seed, 17])
    colours, weights = [], []
    for place in rng.choice(len(data.train), min(len(data.train), _PICTURES), replace=False, p=data.chances):
        item = data.train[int(place)]
        graph, lab, spread = graph_of(item.read(int(rng.integers(len(item.regions)))), MOST_REGIONS)
        colours.append(lab)
        weights.append(np.sqrt(region_weights(graph, spread)))
    lab, weight = np.concatenate(colours), np.concatenate(weights)
    drawn = lab[rng.choice(len(lab), _COLOURS, p=weight / weight.sum())] + rng.normal(0, _JITTER, (_COLOURS, 3))
    cv2.setRNGSeed(seed)
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 20, 1e-4)
    labels = np.zeros((_COLOURS, 1), np.int32)
    _, _, centres = cv2.kmeans(drawn.astype(np.float32), classes, labels, stop, 1, cv2.KMEANS_PP_CENTERS)
    return np.asarray(centres, np.float32)
