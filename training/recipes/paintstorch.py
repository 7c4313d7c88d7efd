"""Trains PaintsTorch: colour from lineart and hints, with a critic, and a second generator that reads the lines back.

``thesis`` is the recipe as published; ``cpu`` and ``gpu`` train
the compact network with this package's own colour losses in place of the content loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.models.base import ModelOutputs
from training.data.dataset import Recipe
from training.data.synthesis import TrainingBatch
from training.losses.critic import critic_loss
from training.losses.cycle import Reader, ThesisReader, reading_error
from training.losses.oklab import reduce, shading_alone, total_loss
from training.recipes.stenciltorch import PRESETS as STENCILTORCH
from training.recipes.thesis import ThesisRun, ThesisTrainConfig
from training.runs.config import Phase
from training.runs.parts import Part

IN_PAINTING = 19
"""Channels of the compact network's stem that are for in-painting: the mask's 16 and the composite's 3."""


@dataclass(frozen=True)
class PaintsConfig(ThesisTrainConfig):
    """A run of PaintsTorch.

    Attributes:
        reading: weight of L_recon in the generator's loss.
    """

    architecture: str = "paintstorch-compact"
    reading: float = 0.1


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
        warmdown=0.0,
        adversarial_from=0.0,
        adversarial=1e-4,
        reading=1.0,
        as_published=True,
        content="own",
        workers=8,
        recipe=Recipe(scheme="paintstorch", reassign=0.0, masks=False, order="epochs"),
        extractor="thesis",
    ),
}


class PaintsTorchRun(ThesisRun):
    """Generator, critic and reader; from ``adversarial_from`` on one step of each in turn."""

    def __init__(self, folder: Path, shards: Path, config: PaintsConfig, **options: Any) -> None:
        super().__init__(folder, shards, config, **options)
        self.paints = config
        self.critic = self.new_critic()
        sizes = self.model_config
        self.reader: nn.Module = ThesisReader(sizes.width, sizes.cardinality) if config.as_published else Reader()
        self.join("critic", self.critic)
        self.join("reader", self.reader)

    def prepare(self, raw: dict[str, Tensor]) -> dict[str, Tensor]:
        """There is no mask and no context here: the whole picture is to be coloured."""
        return {**raw, "mask": torch.full_like(raw["mask"], 255), "context": torch.zeros_like(raw["context"])}

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

    def optimise(self, parts: Sequence[Part]) -> dict[str, Tensor]:
        """One step of the critic, of the generator and of the reader."""
        if self.progress < self.config.adversarial_from:
            return self.descend("optimiser", parts, self._colours, clip=self.clip)
        self.foresee(parts)
        terms = self.descend("critic_optimiser", parts, self._judgement)
        terms |= self.descend("optimiser", parts, self._pleasing_colours, clip=self.clip)
        return terms | self.descend("reader_optimiser", parts, self._reading)

    def held_out_terms(self, part: Part) -> dict[str, Tensor]:
        """The generator's terms without critic and reader, weighted as at the end of the run."""
        return self._loss(self.predict(part.batch, self.net), part, 1.0)[1]

    def _colours(self, part: Part) -> tuple[Tensor, dict[str, Tensor]]:
        """The generator's loss by itself."""
        return self._loss(self.outputs(part), part, self.progress)

    def _loss(self, out: ModelOutputs, part: Part, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        if self.paints.as_published:
            loss = self.content(out.shaded, part.batch.target)
            return loss, {"content": loss}
        return total_loss(out, part.batch, self.config.losses, progress, part.over)

    def _pleasing_colours(self, part: Part) -> tuple[Tensor, dict[str, Tensor]]:
        """The generator's loss with -E[C(y_hat)] and what the reader cannot read of its pictures."""
        loss, terms = self._colours(part)
        out = self.outputs(part)
        shaded = out.shaded if self.paints.as_published else shading_alone(out)
        self.critic.requires_grad_(False)
        fake = self._as_judged(part.batch, shaded)
        score: Tensor = -self.critic(fake, part.batch.inputs).mean() * self.config.adversarial
        self.critic.requires_grad_(True)
        self.reader.requires_grad_(False)
        reading = self.paints.reading * reading_error(self.reader(shaded), self._lineart(part))
        self.reader.requires_grad_(True)
        return loss + score + reading, {**terms, "adversarial": score, "reading": reading}

    def _judgement(self, part: Part) -> tuple[Tensor, dict[str, Tensor]]:
        """The critic's loss."""
        batch = part.batch
        real, fake = batch.target * self._seen(batch), self._as_judged(batch, part.shaded)
        loss = critic_loss(self.shared("critic"), real, fake, batch.inputs, part.chance)
        return loss, {"critic": loss}

    def _reading(self, part: Part) -> tuple[Tensor, dict[str, Tensor]]:
        """The reader's loss on illustrations and on the generator's pictures alike."""
        reader, lineart = self.shared("reader"), self._lineart(part)
        real = reduce(part.batch.target, part.batch.target.shape[-1] // part.shaded.shape[-1])
        fake = part.shaded.clamp(-1, 1)
        loss = (reading_error(reader(real), lineart) + reading_error(reader(fake), lineart)) / 2
        return loss, {"reader": loss}

    @staticmethod
    def _lineart(part: Part) -> Tensor:
        """The lineart at the size of the model's pictures."""
        lineart = part.batch.inputs.lineart
        return reduce(lineart, lineart.shape[-1] // part.shaded.shape[-1])

    def _seen(self, batch: TrainingBatch) -> Tensor:
        """Ours are judged off the ink, where colour can be told; the published recipe judges the whole picture."""
        return torch.ones_like(batch.weight) if self.paints.as_published else batch.weight

    def _as_judged(self, batch: TrainingBatch, shaded: Tensor) -> Tensor:
        """A picture as the critic sees it."""
        if not self.paints.as_published:
            shaded = F.interpolate(shaded, batch.target.shape[-2:], mode="bilinear")
        return shaded.clamp(-1, 1) * self._seen(batch)
