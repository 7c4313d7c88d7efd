"""Trains PaintsTorch: colour from lineart and hints, with a critic, and a second generator that reads the lines back.

``thesis`` is the recipe as published (method section 2, with the right forms of section 6); ``cpu`` and ``gpu`` train
the compact network with this package's own colour losses in place of the content loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.content import CONTENTS, Content
from training.critic import Critic, ThesisCritic, critic_loss
from training.cycle import Reader, ThesisReader, reading_error
from training.data.dataset import Recipe
from training.data.synthesis import TrainingBatch
from training.losses import LossWeights, reduce, total_loss
from training.run import Phase, Run, TrainConfig
from training.stenciltorch import PRESETS as STENCILTORCH

IN_PAINTING = 19
"""Channels of the compact network's stem that are for in-painting: the mask's 16 and the composite's 3."""


@dataclass(frozen=True)
class PaintsConfig(TrainConfig):
    """A run of PaintsTorch.

    Attributes:
        reading: weight of L_recon in the generator's loss.
        content: key of ``training.content.CONTENTS``; only the thesis recipe asks for it.
        as_published: the thesis's losses and optimiser rather than ours.
    """

    architecture: str = "paintstorch-compact"
    reading: float = 0.1
    content: str = "none"
    as_published: bool = False


PRESETS = {
    "cpu": PaintsConfig(
        phases=STENCILTORCH["cpu"].phases,
        steps=STENCILTORCH["cpu"].steps,
        adversarial_from=0.5,
        recipe=Recipe(masks=False),
    ),
    "gpu": PaintsConfig(
        phases=STENCILTORCH["gpu"].phases,
        steps=STENCILTORCH["gpu"].steps,
        adversarial_from=0.5,
        ema=0.9995,
        workers=14,
        bf16=True,
        recipe=Recipe(masks=False),
    ),
    "thesis": PaintsConfig(
        architecture="paintstorch-thesis",
        # 21,930 pictures, 100 epochs, 32 a step.
        phases=(Phase(1.0, 512, 32, 1.0, 1.0),),
        steps=68_500,
        lr=1e-4,
        weight_decay=0.0,
        warmup=0,
        adversarial_from=0.0,
        adversarial=1e-4,
        reading=1.0,
        as_published=True,
        workers=8,
        recipe=Recipe(scheme="paintstorch", reassign=0.0, masks=False, order="epochs"),
        extractor="thesis",
    ),
}


class PaintsTorchRun(Run):
    """Generator, critic and reader; from ``adversarial_from`` on one step of each in turn."""

    def __init__(self, folder: Path, shards: Path, config: PaintsConfig, limit: int | None = None) -> None:
        super().__init__(folder, shards, config, limit)
        self.paints = config
        self.critic: nn.Module
        self.reader: nn.Module
        if config.as_published:
            width, cardinality = self.model_config.width, self.model_config.cardinality
            self.critic, self.reader = ThesisCritic(width, cardinality), ThesisReader(width, cardinality)
            self.optimisers["optimiser"] = torch.optim.Adam(self.net.parameters(), lr=config.lr, betas=(0.5, 0.9))
        else:
            self.critic, self.reader = Critic(), Reader()
            self.optimisers["optimiser"] = torch.optim.AdamW(
                self.net.parameters(), lr=config.lr, betas=(0.9, 0.99), weight_decay=config.weight_decay
            )
        for name, network in (("critic", self.critic), ("reader", self.reader)):
            self.networks[name] = network.to(self.device)
            self.optimisers[f"{name}_optimiser"] = torch.optim.Adam(network.parameters(), lr=1e-4, betas=(0.5, 0.9))
        self.content: Content = CONTENTS[config.content]

    def prepare(self, raw: dict[str, Tensor]) -> dict[str, Tensor]:
        """There is no mask and no context here: the whole picture is to be coloured."""
        return {**raw, "mask": torch.full_like(raw["mask"], 255), "context": torch.zeros_like(raw["context"])}

    def learning_rate(self) -> float:
        """Constant as published, else a half cosine."""
        return self.config.lr if self.paints.as_published else super().learning_rate()

    def adapt(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weights of StencilTorch's compact network fit without the inputs of in-painting."""
        stem = tensors.get("stem.weight")
        wanted = self.net.state_dict().get("stem.weight")
        if stem is None or wanted is None or stem.shape[1] - wanted.shape[1] != IN_PAINTING:
            return tensors
        # lineart 16, mask 16, composite 3, hints and prior. The composite is the lineart three times where all is to be
        # coloured, and the mask is 1: what they did moves into the lineart and the bias.
        line, mask, composite, rest = torch.split(stem, [16, 16, 3, stem.shape[1] - 35], 1)
        line = line + composite.sum(1, keepdim=True) / 16
        bias = tensors["stem.bias"] + mask.sum((1, 2, 3))
        return {**tensors, "stem.weight": torch.cat([line, rest], 1), "stem.bias": bias}

    def optimise(self, batch: TrainingBatch, gen: torch.Generator) -> dict[str, Tensor]:
        """One step of the critic, of the generator and of the reader."""
        out = self.predict(batch)
        factor = batch.target.shape[-1] // out.shaded.shape[-1]
        lineart = reduce(batch.inputs.lineart, factor)
        if self.paints.as_published:
            loss = self.content(out.shaded, batch.target)
            terms = {"content": loss}
        else:
            loss, terms = total_loss(out, batch, LossWeights(), self.progress)
        if self.progress >= self.config.adversarial_from:
            loss = loss + self._adversarial(batch, out.shaded, terms, gen)
            self.reader.requires_grad_(False)
            terms["reading"] = self.paints.reading * reading_error(self.reader(out.shaded), lineart)
            self.reader.requires_grad_(True)
            loss = loss + terms["reading"]
        self.descend("optimiser", loss, clip=0.0 if self.paints.as_published else 1.0)
        if self.progress >= self.config.adversarial_from:
            real, fake = reduce(batch.target, factor), out.shaded.detach().clamp(-1, 1)
            terms["reader"] = (
                reading_error(self.reader(real), lineart) + reading_error(self.reader(fake), lineart)
            ) / 2
            self.descend("reader_optimiser", terms["reader"])
        return terms

    def _adversarial(
        self, batch: TrainingBatch, shaded: Tensor, terms: dict[str, Tensor], gen: torch.Generator
    ) -> Tensor:
        """One critic step, then the generator's -E[C(y_hat)]."""
        shaded = (
            F.interpolate(shaded, batch.target.shape[-2:], mode="bilinear") if not self.paints.as_published else shaded
        )
        # Ours are judged off the ink, where colour can be told; the published recipe judges the whole picture.
        seen = torch.ones_like(batch.weight) if self.paints.as_published else batch.weight
        real, fake = batch.target * seen, shaded.clamp(-1, 1) * seen
        terms["critic"] = critic_loss(self.critic, real, fake, batch.inputs, gen)
        self.descend("critic_optimiser", terms["critic"])
        self.critic.requires_grad_(False)
        score: Tensor = -self.critic(fake, batch.inputs).mean() * self.config.adversarial
        self.critic.requires_grad_(True)
        terms["adversarial"] = score
        return score
