"""Distances between a set of results and the set of originals: FID and KID on features computed before."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import poly_mmd

Matrix = NDArray[np.float64]

SUBSETS = 100
LARGEST_SUBSET = 1000
FEWEST = 32
"""Pictures under which no distance between sets is given: chance would outweigh every difference."""


class _AsTheyAre(nn.Identity):
    """Stands where torchmetrics expects a network, for features that are there already."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.num_features = size


def frechet(originals: Matrix, results: Matrix) -> float:
    """Frechet distance of the Gaussians with the means and covariances (n - 1) of two sets (Heusel et al. 2017).

    ``|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))``, by torchmetrics in float64.

    Args:
        originals: NxD features.
        results: MxD features.
    """
    metric = FrechetInceptionDistance(feature=_AsTheyAre(originals.shape[1]))
    metric.update(torch.from_numpy(originals), real=True)
    metric.update(torch.from_numpy(results), real=False)
    return float(metric.compute())


def kernel(
    originals: Matrix, results: Matrix, seed: int = 0, subsets: int = SUBSETS, largest: int = LARGEST_SUBSET
) -> tuple[float, float]:
    """Kernel distance: squared maximum mean discrepancy with ``(x . y / D + 1)^3``, unbiased (Binkowski et al. 2018).

    Row i of both sets belongs to one picture. Each subset takes its originals from one half of the pictures and its
    results from the other, so that a perfect method scores 0 on average; with shared pictures it would score below.

    Args:
        originals: NxD features.
        results: NxD features.
        seed: of the subsets; methods measured with one seed and N get the same ones.
        subsets: how many.
        largest: most rows per subset.

    Returns:
        ``(mean, standard deviation)`` over the subsets.
    """
    real, fake = torch.from_numpy(originals), torch.from_numpy(results)
    size = min(largest, len(real) // 2)
    rng = np.random.default_rng(seed)
    scores: list[Tensor] = []
    for _ in range(subsets):
        order = torch.from_numpy(rng.permutation(len(real)))
        scores.append(poly_mmd(real[order[:size]], fake[order[size : 2 * size]]))
    found = torch.stack(scores)
    return float(found.mean()), float(found.std(unbiased=False))


def standardise(originals: Matrix, results: Matrix) -> tuple[Matrix, Matrix]:
    """Bring features to mean 0 and deviation 1 over the originals, then every row to length sqrt(D).

    Features that hardly vary over the originals are left out. Afterwards ``x . y / D`` is a cosine, so that no single
    picture can outweigh the rest.
    """
    mean, deviation = originals.mean(axis=0), originals.std(axis=0)
    keep = deviation > 1e-6 * max(float(deviation.max()), 1e-12)

    def ready(rows: Matrix) -> Matrix:
        scaled = (rows[:, keep] - mean[keep]) / deviation[keep]
        length = np.linalg.norm(scaled, axis=1, keepdims=True)
        return np.asarray(scaled / np.maximum(length, 1e-12) * np.sqrt(max(1, scaled.shape[1])), np.float64)

    return ready(originals), ready(results)


def compare_sets(
    originals: NDArray[np.float32], results: NDArray[np.float32], *, standard: bool, seed: int
) -> dict[str, float]:
    """Every distance of two sets of features.

    Args:
        originals: NxD.
        results: NxD, row i of the same picture.
        standard: standardise first, and leave FID out, which is only defined on Inception's own features.
        seed: of the subsets.

    Returns:
        ``kid`` and ``kid_deviation`` and, when not standardised, ``fid``; NaN with fewer than ``FEWEST`` pictures.
    """
    real, fake = originals.astype(np.float64), results.astype(np.float64)
    names = ("kid", "kid_deviation") if standard else ("kid", "kid_deviation", "fid")
    if len(real) < FEWEST:
        return dict.fromkeys(names, float("nan"))
    if standard:
        real, fake = standardise(real, fake)
    found = dict(zip(names, kernel(real, fake, seed), strict=False))
    if not standard:
        found["fid"] = frechet(real, fake)
    return found
