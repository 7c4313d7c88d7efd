"""What to say when a batch does not fit the GPU: the batch that does, found by trying."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from engine.errors import ColorizeError

if TYPE_CHECKING:
    from training.runs.config import Phase
    from training.runs.run import Run


def too_large(run: Run[Any], raw: dict[str, Tensor], phase: Phase, said: str) -> ColorizeError:
    """Try smaller batches after a step ran out of memory; the run must not be gone on with.

    Args:
        run: the run.
        raw: this process's share of the batch.
        phase: of the run.
        said: torch's message.
    """
    rows = len(next(iter(raw.values())))
    cause = f"a batch of {rows} crops of {phase.size} px does not fit the memory of {run.device} ({said})"
    fits = next((n for n in _halves(rows) if _works(run, {k: t[:n] for k, t in raw.items()}, 1)), 0)
    if not fits:
        return ColorizeError(
            f"{cause}, and neither does a single one", "train on a device with more memory, or with smaller crops"
        )
    # A batch is given as that of the first phase; here it must be at most as many as fit.
    first = max(1, fits * run.team.world * run.config.scaled_phases[0].batch // phase.batch)
    fewer = f"begin in another folder with --batch {first} --init {run.folder / 'weights.safetensors'}"
    parts = next(n for n in range(2, rows + 1) if rows % n == 0 and rows // n <= fits)
    same = f"go on with --resume --accumulate {parts}, which computes the same batch in {parts} parts, or "
    works = run.in_parts and _works(run, raw, parts)
    return ColorizeError(f"{cause}; {fits} fit (tried)", (same if works else "") + fewer)


def _halves(rows: int) -> list[int]:
    sizes = []
    while rows > 1:
        rows //= 2
        sizes.append(rows)
    return sizes


def _works(run: Run[Any], raw: dict[str, Tensor], parts: int) -> bool:
    """Whether a step fits; alone, because the other processes wait elsewhere."""
    for optimiser in run.optimisers.values():
        optimiser.zero_grad(set_to_none=True)
    gc.collect()
    if run.device.type == "cuda":
        torch.cuda.empty_cache()
    try:
        run.rehearse(raw, parts)
    except torch.cuda.OutOfMemoryError:
        return False
    return True
