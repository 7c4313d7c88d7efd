"""What a network sees in a drawing, cut from its padded answers and brought into the ranges of pictures."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from engine.imaging.canvas import Frame, resize_coverage
from engine.imaging.layers.flats import Prediction


@dataclass(frozen=True)
class View:
    """What the model sees in a drawing, at the size it answers in.

    Attributes:
        change: hxwx3, what it adds to its flat picture, change of sRGB in [-1, 1].
        prediction: what the flats need.
    """

    change: NDArray[np.float32]
    prediction: Prediction


def cut(picture: Tensor, frame: Frame, factor: int) -> NDArray[np.float32]:
    """CxHxW at the padded size over ``factor`` without its padding, as HxWxC.

    A last row or column that is partly padding stays.
    """
    kept = picture[:, : -(-frame.work_height // factor), : -(-frame.work_width // factor)]
    return np.asarray(kept.float().cpu().permute(1, 2, 0).numpy(), np.float32)


def unit(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """From [-1, 1] to [0, 1], of any shape."""
    return np.asarray(np.clip((picture + 1) / 2, 0, 1), np.float32)


def preview_of(picture: NDArray[np.float32], mask: NDArray[np.uint8] | None, frame: Frame) -> NDArray[np.uint8]:
    """The model's picture of the frame, hxwx3 in [-1, 1], as RGBA, alpha 0 outside the mask."""
    h, w = picture.shape[:2]
    colour = np.rint(np.ascontiguousarray(unit(picture)) * 255).astype(np.uint8)
    seen = np.asarray(cv2.cvtColor(colour, cv2.COLOR_RGB2RGBA), np.uint8)
    if mask is not None:
        seen[..., 3] = resize_coverage(mask[frame.window], h, w)
        seen[seen[..., 3] == 0] = 0
    return seen
