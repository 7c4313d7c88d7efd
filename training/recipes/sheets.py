"""Sample sheets: lineart, hints, flood, flat, shaded and truth side by side, for the eye."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from engine.models.base import ModelInputs, ModelOutputs
from engine.models.components.hint_prior import flood_hints
from training.data.synthesis import TrainingBatch


def column(x: Tensor) -> NDArray[np.uint8]:
    """Bx3xHxW in [-1, 1] to a column: (B*H)xWx3 uint8."""
    array = ((x.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return np.concatenate(list(array), 0)


def over_white(inputs: ModelInputs) -> Tensor:
    """Hints over faint lineart, with the area outside the mask tinted."""
    coverage = inputs.hints[:, 3:]
    base = (inputs.lineart * 0.4 + 0.6).expand(-1, 3, -1, -1) - 0.5 * (1 - inputs.mask)
    return inputs.hints[:, :3] + base * (1 - coverage)


@torch.no_grad()
def write_sheet(path: Path, batch: TrainingBatch, out: ModelOutputs) -> None:
    """Write one PNG with a row per sample and six columns."""
    flood = F.interpolate(flood_hints(batch.inputs).colour, scale_factor=2.0)
    inside = batch.inputs.mask
    ink = ((batch.inputs.lineart + 1) / 2).clamp(0, 1)
    factor = ink.shape[-1] / out.shaded.shape[-1]
    flat = F.interpolate(out.flat, scale_factor=factor, mode="bilinear")
    shaded = F.interpolate(out.shaded, scale_factor=factor, mode="bilinear").clamp(-1, 1)
    shaded = shaded * inside + batch.inputs.composite * (1 - inside)
    with_lines = (shaded + 1) * ink - 1
    columns = [batch.inputs.lineart.expand(-1, 3, -1, -1), over_white(batch.inputs), flood, flat, shaded]
    sheet = np.concatenate([column(c) for c in [*columns, with_lines, batch.flat, batch.target]], 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet).save(path)
