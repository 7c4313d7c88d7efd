"""Trains StablePaint: VAE, context encoder and denoiser, one after the other, each on what was finished before.

While a stage lasts, the other networks are frozen as their averaged weights were at its beginning. A run may go through
one stage or all; the stages' parts of it are in its settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from engine.models.stablepaint import StablePaint
from training.evaluation.networks import load_lpips
from training.features.weights import OWN_ENCODER, load_encoder
from training.losses.content import Content, encoder_content
from training.recipes.colouring import ColouringRun
from training.recipes.stablepaint_losses import (
    ContextLearner,
    DenoiserLearner,
    Judge,
    PaintLossWeights,
    VaeLearner,
    adaptive_weight,
    hinge_critic,
)
from training.recipes.stablepaint_sheets import measure_round_trip, write_sheets
from training.runs.averages import Weights
from training.runs.config import ColouringConfig, Phase, TrainConfig
from training.runs.parts import Part

StageName = Literal["vae", "context", "denoiser"]
STAGES: tuple[StageName, ...] = ("vae", "context", "denoiser")
SHEET_SIDE = 256
MEASURED = 128
"""Pictures from which the latent's mean and deviation are measured."""


@dataclass(frozen=True)
class Stage:
    """A stretch of the run, until ``until`` of all steps, in which one network is trained.

    Attributes:
        name: which.
        until: part of the run.
        lr: peak learning rate.
    """

    name: StageName
    until: float
    lr: float


@dataclass(frozen=True)
class PaintConfig(ColouringConfig):
    """A run of StablePaint.

    Attributes:
        stages: what is trained when; each ends where a phase does.
        perceptual: eyes of the VAE's perceptual loss: ``none``, ``own`` or ``lpips``.
        adversarial_from: part of the VAE's stage after which its critic joins; 1 = never.
        adversarial: factor on the adaptive weight of the critic's opinion.
        paint_losses: weights of the terms of the three networks' losses.
    """

    architecture: str = "stablepaint"
    stages: tuple[Stage, ...] = ()
    perceptual: str = "none"
    paint_losses: PaintLossWeights = field(default_factory=PaintLossWeights)


@dataclass(frozen=True)
class Preset:
    """What the stages of a run are made of.

    Attributes:
        phases: of each stage, with ``until`` in parts of the stage.
        steps: of each stage.
        rates: peak learning rates.
        base: everything else.
    """

    phases: dict[StageName, tuple[Phase, ...]]
    steps: dict[StageName, int]
    rates: dict[StageName, float]
    base: PaintConfig


PRESETS = {
    "cpu": Preset(
        phases={
            "vae": (Phase(0.8, 128, 8, 1.0, 2.4), Phase(1.0, 192, 4, 1.0, 1.6)),
            "context": (Phase(0.6, 128, 16, 1.0, 2.4), Phase(0.85, 192, 8, 1.0, 2.2), Phase(1.0, 256, 4, 1.0, 1.6)),
            "denoiser": (Phase(0.6, 128, 16, 1.0, 2.2), Phase(1.0, 256, 4, 1.0, 1.6)),
        },
        steps={"vae": 4_000, "context": 6_000, "denoiser": 16_000},
        rates={"vae": 1e-3, "context": 1.5e-3, "denoiser": 6e-4},
        base=PaintConfig(adversarial_from=0.9, adversarial=0.1),
    ),
    "gpu": Preset(
        phases={
            "vae": (Phase(0.7, 192, 96, 1.0, 2.4), Phase(1.0, 320, 32, 1.0, 1.6)),
            "context": (Phase(0.6, 192, 128, 1.0, 2.4), Phase(1.0, 384, 32, 1.0, 1.6)),
            "denoiser": (Phase(0.6, 192, 192, 1.0, 2.2), Phase(1.0, 384, 48, 1.0, 1.6)),
        },
        steps={"vae": 20_000, "context": 20_000, "denoiser": 60_000},
        rates={"vae": 2e-3, "context": 1.5e-3, "denoiser": 8e-4},
        base=PaintConfig(adversarial_from=0.6, adversarial=0.5, workers=14, bf16=True),
    ),
}


def plan(preset: Preset, stages: Sequence[StageName], steps: int | None = None) -> PaintConfig:
    """The settings of a run through ``stages``.

    Args:
        preset: what the stages are made of.
        stages: in order.
        steps: in all; the stages keep their shares. By default each has the preset's.
    """
    total = sum(preset.steps[name] for name in stages)
    done, made, phases = 0, [], []
    for name in stages:
        share = preset.steps[name] / total
        phases += [
            Phase(done / total + share * p.until, p.size, p.batch, p.zoom_low, p.zoom_high) for p in preset.phases[name]
        ]
        done += preset.steps[name]
        made.append(Stage(name, done / total, preset.rates[name]))
    values = {k: getattr(preset.base, k) for k in PaintConfig.__dataclass_fields__}
    return PaintConfig(**{**values, "stages": tuple(made), "phases": tuple(phases), "steps": steps or total})


class StablePaintRun(ColouringRun):
    """The three networks, the VAE's critic, and what a step is in each stage.

    Args:
        folder: of the run.
        shards: packed art.
        config: what decides it.
        perceptual_weights: file of the perceptual loss's network, where it needs one.
        options: see ``Run``.
    """

    net: StablePaint

    def __init__(
        self,
        folder: Path,
        shards: Path,
        config: PaintConfig,
        perceptual_weights: Path | None = None,
        **options: Any,
    ) -> None:
        super().__init__(folder, shards, config, **options)
        self.paint = config
        self.perceptual = load_eyes(config.perceptual, perceptual_weights, self.device)
        self.optimisers["optimiser"] = torch.optim.AdamW(
            self.net.parameters(), lr=config.lr, betas=(0.9, 0.99), weight_decay=config.weight_decay, fused=True
        )
        self.fresh = True
        self.judge = Judge().to(self.device)
        if config.adversarial_from < 1 and any(s.name == "vae" for s in config.stages):
            self.networks["critic"] = self.judge
            self.optimisers["critic_optimiser"] = torch.optim.Adam(
                self.judge.parameters(), lr=2e-4, betas=(0.5, 0.9), fused=True
            )

    @property
    def stage(self) -> Stage:
        """The stage the next step belongs to."""
        return self._stage_of(self.step)

    @property
    def learnt(self) -> Stage:
        """The stage the last step belonged to."""
        return self._stage_of(max(0, self.step - 1))

    def _stage_of(self, step: int) -> Stage:
        stages = self.paint.stages
        return next((s for s in stages if step < self.first_step(s, end=True)), stages[-1])

    def first_step(self, stage: Stage, *, end: bool = False) -> int:
        """The number of a stage's first step, or of the one after its last."""
        stages = self.paint.stages
        place = stages.index(stage)
        part = stage.until if end else stages[place - 1].until if place else 0.0
        return round(part * self.paint.steps)

    @property
    def stage_progress(self) -> float:
        """Part of the present stage that is done, in [0, 1]."""
        first, end = self.first_step(self.stage), self.first_step(self.stage, end=True)
        return (self.step - first) / max(1, end - first)

    def span(self) -> tuple[int, int, float]:
        """The stage: the rate rises and falls in each anew."""
        stage = self.stage
        return self.first_step(stage), self.first_step(stage, end=True), stage.lr * self.config.lr / TrainConfig.lr

    def refuse_extension(self) -> str:
        """Other stages would begin elsewhere."""
        return "a run of several stages cannot become longer" if len(self.paint.stages) > 1 else ""

    def shared(self, name: str) -> nn.Module:
        """The learner of the present stage stands for the net."""
        if name != "net":
            return super().shared(name)
        key = f"learner of {self.stage.name}"
        if key not in self._shared:
            self._shared[key] = self.team.parallel(self.learner(self.stage.name))
        return self._shared[key]

    def learner(self, name: StageName) -> nn.Module:
        """What gives the loss terms of a stage."""
        if name == "vae":
            return VaeLearner(self.net, self.paint.paint_losses)
        if name == "context":
            return ContextLearner(self.net, self.paint.paint_losses, self.config.losses)
        return DenoiserLearner(self.net)

    def held_out_terms(self, part: Part) -> dict[str, Tensor]:
        """The terms of the stage that was learnt last, without its critic and the perceptual loss."""
        found = self.learner(self.learnt.name)(part)
        terms: dict[str, Tensor] = found[1] if self.learnt.name == "vae" else found
        return terms

    def before_step(self) -> None:
        """A stage begins where the last one ended."""
        if self.step == self.first_step(self.stage):
            self.begin_stage()

    def optimise(self, parts: Sequence[Part]) -> dict[str, Tensor]:
        """One step of the stage's network, and of the critic once it has joined."""
        self.freeze_others()
        if self.stage.name != "vae":
            return self.descend("optimiser", parts, self._learn, clip=1.0)
        if self.stage_progress < self.config.adversarial_from:
            return self.descend("optimiser", parts, self._round_trip, clip=1.0)
        terms = self.descend("optimiser", parts, self._pleasing_round_trip, clip=1.0)
        return terms | self.descend("critic_optimiser", parts, self._judgement)

    @torch.no_grad()
    def begin_stage(self) -> None:
        """Take the averaged weights for what is finished, and measure the latent where the VAE just was.

        A new VAE begins with the principal components of training pictures.
        """
        place = self.paint.stages.index(self.stage)
        if place > 0:
            self.measure()
            self.net.load_state_dict(self.averages.best)
            if self.paint.stages[place - 1].name == "vae":
                self.measure_latent(self.net)
        elif self.fresh and self.stage.name == "vae":
            self.net.vae.begin_linear(self.pictures(MEASURED, 128, 8))
        self.averages.restart()

    def start_from(self, weights: Path) -> None:
        """See ``Run.start_from``."""
        super().start_from(weights)
        self.fresh = False

    @torch.no_grad()
    def measure_latent(self, net: StablePaint) -> None:
        """Set the latent's mean and deviation, and the previews, from some training pictures."""
        net.vae.eval()
        net.vae.measure(self.pictures(MEASURED, 128, 8))

    def pictures(self, count: int, size: int, batch: int) -> list[Tensor]:
        """Some training pictures in batches, the same in every process and at any time."""
        from training.data.dataset import Cutter
        from training.data.stream import make_loader

        loader = make_loader(
            self.data, Cutter(size, (1.0, 2.2), self.config.recipe), 77, batch, 0, count // batch, 0, 1, 0, False
        )
        return [raw["target"].to(self.device).float() / 127.5 - 1 for raw in loader]

    def freeze_others(self) -> None:
        """Only the stage's network learns, and only its normalisations move."""
        for name in STAGES:
            part = self.net.get_submodule(name)
            here = name == self.stage.name
            part.requires_grad_(here)
            part.train(here)

    def _learn(self, part: Part) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of context encoder or denoiser."""
        with self.precision():
            terms = self.shared("net")(part)
        return torch.stack(list(terms.values())).sum(), terms

    def _round_trip(self, part: Part) -> tuple[Tensor, dict[str, Tensor]]:
        """The VAE's loss without its critic."""
        with self.precision():
            shaded, terms = self.shared("net")(part)
        part.shaded = shaded.detach()
        if self.perceptual is not None:
            terms["perceptual"] = self.perceptual(shaded, part.batch.target)
        return torch.stack(list(terms.values())).sum(), terms

    def _pleasing_round_trip(self, part: Part) -> tuple[Tensor, dict[str, Tensor]]:
        """The VAE's loss with what the critic thinks, which must not be left with gradients."""
        with self.precision():
            shaded, terms = self.shared("net")(part)
        part.shaded = shaded.detach()
        if self.perceptual is not None:
            terms["perceptual"] = self.perceptual(shaded, part.batch.target)
        rebuilt = torch.stack(list(terms.values())).sum()
        self.judge.requires_grad_(False)
        opinion = -self.judge(shaded).mean()
        self.judge.requires_grad_(True)
        weight = adaptive_weight(rebuilt, opinion, self.net.vae.last_layer) * self.config.adversarial
        terms["adversarial"] = weight * opinion
        return rebuilt + terms["adversarial"], terms

    def _judgement(self, part: Part) -> tuple[Tensor, dict[str, Tensor]]:
        """The critic's loss."""
        critic = self.shared("critic")
        loss = hinge_critic(critic(part.batch.target), critic(part.shaded))
        return loss, {"critic": loss}

    def finished(self, weights: Weights) -> Weights:
        """A VAE in training is written with the latent measured, so that its file can be used."""
        if self.learnt.name != "vae":
            return weights
        with self.lent(weights):
            self.measure_latent(self.net)
            return {k: t.detach().clone() for k, t in self.net.state_dict().items()}

    def sheets(self, *, last: bool) -> None:  # noqa: ARG002
        """Write what shows how the stage that was learnt last does, of held-out pictures."""
        pictures = self.data.held_out
        if not pictures:
            return
        with self.lent(self.written):
            stage = self.learnt.name
            write_sheets(self.folder / "sheets" / f"{self.step:06d}", self.net, stage, pictures, SHEET_SIDE)
            if stage == "vae":
                measure_round_trip(self.folder / "heldout.jsonl", self.step, self.net, pictures)


def load_eyes(name: str, weights: Path | None, device: torch.device) -> Content | None:
    """The perceptual loss of a name, or None for ``none``.

    Raises:
        ColorizeError: the weights are not there or do not fit.
    """
    if name == "none":
        return None
    if name == "own":
        loss = encoder_content(load_encoder(weights or OWN_ENCODER, device)[0])
        return lambda picture, truth: loss(picture, truth) * 0.1
    lpips = load_lpips(weights or Path()).to(device).requires_grad_(False)
    return lambda picture, truth: lpips(picture, truth).mean()
