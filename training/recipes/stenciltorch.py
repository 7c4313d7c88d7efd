"""Trains StencilTorch: its presets and what one step is.

``cpu`` and ``gpu`` train the compact network with this package's own colour losses; ``thesis`` is the recipe as
published.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.models.base import ModelOutputs
from training.data.dataset import Recipe
from training.data.synthesis import TrainingBatch
from training.losses.critic import critic_loss
from training.losses.oklab import shading_alone, total_loss
from training.recipes.thesis import ThesisRun, ThesisTrainConfig
from training.runs.config import LossWeights, Phase
from training.runs.parts import Part


@dataclass(frozen=True)
class StencilConfig(ThesisTrainConfig):
    """A run of StencilTorch.

    Attributes:
        guide: teach the flat picture against the simplified illustration as well; off only for the ablation.
    """

    guide: bool = True


PRESETS = {
    "cpu": StencilConfig(
        phases=(Phase(0.55, 128, 16, 1.0, 2.4), Phase(0.85, 192, 8, 1.0, 2.2), Phase(1.0, 320, 4, 1.0, 1.6)),
        steps=9_000,
    ),
    "gpu": StencilConfig(
        phases=(Phase(0.5, 192, 96, 1.0, 2.4), Phase(0.8, 288, 48, 1.0, 2.0), Phase(1.0, 448, 24, 1.0, 1.4)),
        steps=30_000,
        adversarial_from=0.7,
        workers=14,
        bf16=True,
    ),
    "thesis": StencilConfig(
        architecture="stenciltorch-thesis",
        # 21,930 pictures, 40 epochs, 4 GPUs with 32 each.
        phases=(Phase(1.0, 512, 128, 1.0, 1.0),),
        steps=6_850,
        lr=1e-4,
        weight_decay=0.0,
        warmup=0,
        warmdown=0.0,
        adversarial_from=0.0,
        adversarial=1e-4,
        # The thesis found that the guide must be small, or pictures come out flat.
        losses=LossWeights(guide_start=0.1, guide_end=0.01),
        as_published=True,
        content="own",
        workers=8,
        recipe=Recipe(scheme="stenciltorch", reassign=0.0, order="epochs"),
        extractor="thesis",
    ),
}


def composite(shaded: Tensor, batch: TrainingBatch) -> Tensor:
    """The picture as it is used, Bx3xHxW: the prediction inside the mask, the input outside."""
    inside = batch.inputs.mask
    return shaded * inside + batch.inputs.composite * (1 - inside)


def guide_error(flat: Tensor, batch: TrainingBatch) -> Tensor:
    """``|s_hat - s|^2 / chw``, with s_hat the guide's picture inside the mask and the truth outside."""
    return (((flat - batch.flat) * batch.inputs.mask) ** 2).mean()


class StencilTorchRun(ThesisRun):
    """The generator with its guide, and late in the run a critic."""

    def __init__(self, folder: Path, shards: Path, config: StencilConfig, **options: Any) -> None:
        if not config.guide:
            config = replace(config, losses=replace(config.losses, guide_start=0.0, guide_end=0.0))
        if config.as_published and not config.guide:
            config = replace(config, model={**config.model, "guide": False})
        super().__init__(folder, shards, config, **options)
        self.stencil = config
        self.critic: nn.Module | None = None
        if config.adversarial_from < 1:
            self.critic = self.new_critic()
            self.join("critic", self.critic)

    def prepare(self, raw: dict[str, Tensor]) -> dict[str, Tensor]:
        """As published, what lies outside the mask is always painted already."""
        return {**raw, "context": torch.ones_like(raw["context"])} if self.stencil.as_published else raw

    def optimise(self, parts: Sequence[Part]) -> dict[str, Tensor]:
        """One step of the critic, once it has joined, and one of the generator."""
        if self.critic is None or self.progress < self.config.adversarial_from:
            return self.descend("optimiser", parts, self._colours, clip=self.clip)
        critic = self.critic
        self.foresee(parts)
        judged = self.descend("critic_optimiser", parts, self._judgement)
        return judged | self.descend(
            "optimiser", parts, lambda part: self._pleasing_colours(critic, part), clip=self.clip
        )

    def held_out_terms(self, part: Part) -> dict[str, Tensor]:
        """The generator's terms without the critic, weighted as at the end of the run."""
        return self._loss(self.predict(part.batch, self.net), part, 1.0)[1]

    def _colours(self, part: Part) -> tuple[Tensor, dict[str, Tensor]]:
        """The generator's loss by itself."""
        return self._loss(self.outputs(part), part, self.progress)

    def _loss(self, out: ModelOutputs, part: Part, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        if not self.stencil.as_published:
            return total_loss(out, part.batch, self.config.losses, progress, part.over)
        terms = {"content": self.content(composite(out.shaded, part.batch), part.batch.target)}
        if self.stencil.guide:
            terms["guide"] = self.config.losses.guide(progress) * guide_error(out.flat, part.batch)
        return torch.stack(list(terms.values())).sum(), terms

    def _pleasing_colours(self, critic: nn.Module, part: Part) -> tuple[Tensor, dict[str, Tensor]]:
        """The generator's loss with what the critic thinks of its pictures."""
        out = self.outputs(part)
        loss, terms = self._loss(out, part, self.progress)
        critic.requires_grad_(False)
        fake = self._as_judged(part.batch, out.shaded if self.stencil.as_published else shading_alone(out))
        score: Tensor = -critic(fake, part.batch.inputs).mean() * self.config.adversarial
        critic.requires_grad_(True)
        return loss + score, {**terms, "adversarial": score}

    def _judgement(self, part: Part) -> tuple[Tensor, dict[str, Tensor]]:
        """The critic's loss."""
        batch = part.batch
        fake = self._as_judged(batch, part.shaded)
        real = batch.target if self.stencil.as_published else batch.target * batch.weight
        loss = critic_loss(self.shared("critic"), real, fake, batch.inputs, part.chance)
        return loss, {"critic": loss}

    def _as_judged(self, batch: TrainingBatch, shaded: Tensor) -> Tensor:
        """A picture as the critic sees it: whole as published; else ink and mask are cut out, of the truth too."""
        if self.stencil.as_published:
            return composite(shaded.clamp(-1, 1), batch)
        return F.interpolate(shaded, batch.target.shape[-2:], mode="bilinear").clamp(-1, 1) * batch.weight
