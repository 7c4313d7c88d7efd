"""From a job to what a network takes, in the same ranges and by the same resizing as in training."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.imaging.canvas import Frame, padded_planes, resize_coverage, resize_picture
from engine.imaging.strokes import hint_map
from engine.models.base import ModelInputs
from engine.pipeline.job import Job


def model_inputs(job: Job, frame: Frame) -> ModelInputs:
    """Bring a job to the working size, padded, as a batch of one (the same ranges and resizing as in training)."""
    h, w = frame.work_height, frame.work_width
    window = frame.window

    def tensor(array: NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(padded_planes(array, frame.padded_height, frame.padded_width))[None]

    def blank(channels: int, value: float = 0.0) -> Tensor:
        return torch.full((1, 1, 1, 1), value).expand(1, channels, frame.padded_height, frame.padded_width)

    line = np.clip(resize_picture(job.lineart[window], h, w), 0, 1)
    if frame.scale < 1:
        # Thin lines pale when a canvas shrinks; training lines are as dark at every scale.
        line = 1 - np.clip((1 - line) * np.float32(0.7 + 0.3 / frame.scale), 0, 1)
    hints = blank(4) if job.hints is None else tensor(hint_map(job.hints[window], h, w))
    mask, context, known = blank(1, 1.0), blank(3), blank(1)
    if job.mask is not None:
        covered = np.divide(resize_coverage(job.mask[window], h, w), 255, dtype=np.float32)
        mask = tensor(covered)
        if job.context is not None:
            painted = np.divide(resize_picture(job.context[window], h, w), 255, dtype=np.float32)
            context = tensor(painted[..., :3] * 2 - 1)
            known = tensor(((covered < 0.5) & (painted[..., 3] > 0.5)).astype(np.float32))
    return ModelInputs(tensor(line * 2 - 1), hints, mask, context, known)
