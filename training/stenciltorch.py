"""Trains StencilTorch: its presets and what one step is."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from training.critic import Critic, critic_loss
from training.data.synthesis import TrainingBatch
from training.losses import LossWeights, total_loss
from training.run import Phase, Run, TrainConfig

PRESETS = {
    "cpu": TrainConfig(
        phases=(Phase(0.55, 128, 16, 1.0, 2.4), Phase(0.85, 192, 8, 1.0, 2.2), Phase(1.0, 320, 4, 1.0, 1.6)),
        steps=9_000,
    ),
    "gpu": TrainConfig(
        phases=(Phase(0.5, 192, 96, 1.0, 2.4), Phase(0.8, 288, 48, 1.0, 2.0), Phase(1.0, 448, 24, 1.0, 1.4)),
        steps=30_000,
        adversarial_from=0.7,
        ema=0.9995,
        workers=14,
        bf16=True,
    ),
}


class StencilTorchRun(Run):
    """The generator with its guide, and late in the run a critic."""

    def __init__(self, folder: Path, shards: Path, config: TrainConfig, limit: int | None = None) -> None:
        super().__init__(folder, shards, config, limit)
        self.optimisers["optimiser"] = torch.optim.AdamW(
            self.net.parameters(), lr=config.lr, betas=(0.9, 0.99), weight_decay=config.weight_decay
        )
        self.critic = Critic().to(self.device) if config.adversarial_from < 1 else None
        if self.critic is not None:
            self.networks["critic"] = self.critic
            self.optimisers["critic_optimiser"] = torch.optim.Adam(self.critic.parameters(), lr=1e-4, betas=(0.5, 0.9))

    def optimise(self, batch: TrainingBatch, gen: torch.Generator) -> dict[str, Tensor]:
        """One step of the critic, once it has joined, and one of the generator."""
        out = self.predict(batch)
        loss, terms = total_loss(out, batch, LossWeights(), self.progress)
        if self.critic is not None and self.progress >= self.config.adversarial_from:
            loss = loss + self._adversarial(self.critic, batch, out.shaded, terms, gen)
        self.descend("optimiser", loss, clip=1.0)
        return terms

    def _adversarial(
        self, critic: Critic, batch: TrainingBatch, shaded: Tensor, terms: dict[str, Tensor], gen: torch.Generator
    ) -> Tensor:
        """One critic step, then the generator's adversarial term; ink and mask are cut out of both pictures alike."""
        shaded = F.interpolate(shaded, batch.target.shape[-2:], mode="bilinear")
        seen = batch.weight
        real, fake = batch.target * seen, shaded.clamp(-1, 1) * seen
        terms["critic"] = critic_loss(critic, real, fake, batch.inputs, gen)
        self.descend("critic_optimiser", terms["critic"])
        critic.requires_grad_(False)
        score: Tensor = -critic(fake, batch.inputs).mean() * self.config.adversarial
        critic.requires_grad_(True)
        terms["adversarial"] = score
        return score
