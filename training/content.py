"""Content losses: how far two pictures are apart in the eyes of something that looks at more than pixels."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

Content = Callable[[Tensor, Tensor], Tensor]
"""Of two Bx3xHxW pictures in [-1, 1] a scalar; the second is the truth."""


def pixels(picture: Tensor, truth: Tensor) -> Tensor:
    """Mean squared error of the pixels themselves: what is left where no features are to be had."""
    return F.mse_loss(picture, truth)


CONTENTS: dict[str, Content] = {"none": pixels}
"""Content losses by the name of ``--content``."""
