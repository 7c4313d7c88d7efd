"""What the region colour model is taught by."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from engine.sampling.region_choice import LIKE, distances

FLOOR = 1e-4
"""Likeness of two colours that have nothing in common: it bounds what one region can cost."""


def region_loss(log_p: Tensor, colours: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Negative log-likelihood of the true colours, blurred by ``LIKE``, so that near colours are nearly right.

    ``-log sum_s p(s) (k(c_s, c) + FLOOR)`` with ``k = exp(-|c_s - c|^2 / 2 LIKE^2)``: it does not matter whether a
    region copies a colour, from which of several like regions, or takes a colour class.

    Args:
        log_p: BxNxS log-probabilities.
        colours: BxSx3 OKLab that they are of.
        truth: BxNx3 OKLab.
        weight: BxN.

    Returns:
        The weighted sum over the regions of each drawing, B.
    """
    like = -(distances(truth, colours) ** 2) / (2 * LIKE**2)
    like = torch.logaddexp(like, like.new_tensor(math.log(FLOOR)))
    cost = -torch.logsumexp(log_p + like, 2)
    return (cost * weight).sum(1)
