"""Keeps NaN and infinity out of a run: a step whose loss or gradient is not finite changes nothing and is counted.

The decision stays on the device: a fused optimiser reads it there (``found_inf``, as with ``torch.amp.GradScaler``), so
no step waits for the device. The host looks at the counts now and then, and ends a run that does not recover.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from engine.errors import ColorizeError

IN_A_ROW = 10
"""So many steps that follow each other may be skipped; a run with more ends."""
RECENT = 200
"""Steps over which the share of skipped ones is looked at."""
SHARE = 0.2
"""More than this part of the last ``RECENT`` steps ends a run."""
LARGEST_HALF = 65504.0
"""The largest number of fp16."""


def not_finite(tensors: dict[str, Tensor], largest: float = float("inf")) -> list[str]:
    """Names of the tensors with a NaN, an infinity or a value beyond ``largest``."""
    floats = {k: t for k, t in tensors.items() if t.is_floating_point() and t.numel()}
    if not floats:
        return []
    # NaN is not below anything; the comparison is made where the tensors are and read once.
    good = torch.stack([(t.detach().abs().amax() <= largest) & t.detach().isfinite().all() for t in floats.values()])
    return [name for name, fine in zip(floats, good.tolist(), strict=True) if not fine]


class Finiteness:
    """Watches the steps of a run.

    Args:
        networks: all that is trained; statistics of their normalisations are put back where a step was skipped.
        device: where they compute.

    Attributes:
        skipped: steps skipped in all, as far as ``check`` has seen.
    """

    def __init__(self, networks: dict[str, nn.Module], device: torch.device) -> None:
        self.networks, self.device = networks, device
        self.skipped = 0
        self.counts = torch.zeros(3, device=device)
        """Steps skipped since the last check, skipped ones up to now in a row, most of these since the last check."""
        self.bad = torch.zeros((), device=device)
        self.recent: deque[tuple[int, int]] = deque()
        self._seen_at: int | None = None
        self._kept: list[Tensor] = []

    def _statistics(self) -> Iterable[Tensor]:
        for network in self.networks.values():
            for module in network.modules():
                if isinstance(module, _BatchNorm):
                    yield from module.buffers(recurse=False)

    @torch.no_grad()
    def begin(self) -> None:
        """Before a step: keep what it may spoil besides the weights."""
        self.bad = torch.zeros((), device=self.device)
        self._kept = [t.clone() for t in self._statistics()]

    @torch.no_grad()
    def see(self, bad: Tensor) -> None:
        """Note for one optimiser whether its part of the step is skipped: 1, or 0."""
        self.bad = torch.maximum(self.bad, bad)

    @torch.no_grad()
    def end(self) -> None:
        """After a step: put back what a skipped one spoilt, and count."""
        for kept, tensor in zip(self._kept, self._statistics(), strict=True):
            tensor.copy_(torch.where(self.bad > 0, kept, tensor))
        row = (self.counts[1] + self.bad) * self.bad
        self.counts = torch.stack([self.counts[0] + self.bad, row, torch.maximum(self.counts[2], row)])

    def check(self, step: int) -> int:
        """Look at the counts.

        Args:
            step: steps done so far.

        Returns:
            Steps skipped since the last look.

        Raises:
            ColorizeError: too many were skipped for the run to recover.
        """
        fresh, row, longest = (int(n) for n in self.counts.tolist())
        # A row that has not ended goes on.
        self.counts = torch.tensor([0.0, row, row], device=self.device)
        self.skipped += fresh
        self.recent.append((step, fresh))
        while self.recent[0][0] <= step - RECENT:
            self.recent.popleft()
        lately = sum(count for _, count in self.recent)
        if longest >= IN_A_ROW or lately > SHARE * RECENT:
            what = f"{longest} in a row" if longest >= IN_A_ROW else f"{lately} of the last {RECENT}"
            raise ColorizeError(
                f"the loss or its gradient was not a finite number, and by step {step} too many steps were skipped "
                f"({what}); nothing was written since the last checkpoint",
                "go on from it with --resume, on other hardware or without bfloat16; where it comes again, begin anew "
                "with a lower --lr",
            )
        return fresh
