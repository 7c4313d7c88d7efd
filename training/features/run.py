"""Training of an encoder: what is in a batch, what a step is, and what is written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from engine.models.checkpoint import FORMAT_VERSION, save_tensors
from engine.models.components.encoder import ARCHITECTURE, Encoder, EncoderConfig
from engine.models.registry import parse_config
from training.data.chance import Chance, Rows
from training.data.dataset import ShardSet, load_shards
from training.data.extractors import EXTRACTORS
from training.data.stream import InOrder
from training.data.synthesis import line_source
from training.features.objective import Learner
from training.features.views import Looks, Views, make_looks
from training.runs.averages import Weights
from training.runs.config import Phase, TrainConfig, with_epochs
from training.runs.distributed import Team
from training.runs.run import Raw, Run
from training.runs.stopping import leave_to_parent

JUDGED = 64
"""Pairs of held-out crops from which the held-out loss is taken."""


@dataclass(frozen=True)
class EncoderTrainConfig(TrainConfig):
    """What decides a run of an encoder; a sample is a pair of crops.

    Attributes:
        model: changes to ``EncoderConfig``.
        guess: weight of the prediction from a lineart.
    """

    phases: tuple[Phase, ...] = (Phase(1.0, 64, 64, 1.25, 5.0),)
    steps: int = 700
    lr: float = 2e-3
    weight_decay: float = 1e-4
    warmup: int = 40
    model: dict[str, Any] = field(default_factory=dict)
    guess: float = 1.0


PRESETS = {
    "cpu": EncoderTrainConfig(),
    "gpu": EncoderTrainConfig(phases=(Phase(1.0, 128, 512, 1.25, 5.0),), steps=20_000, lr=3e-3, warmup=500, workers=14),
}


class EncoderRun(Run[Looks]):
    """A run of ``Learner``; the encoder's averaged weights are what it leaves.

    Args:
        folder: of the run.
        shards: packed art.
        config: what decides it.
        limit: use only this many pictures.
        team: the processes that share it.
        options: see ``Run``.
    """

    config: EncoderTrainConfig
    # Each pair is told apart from all others of the batch.
    in_parts = False

    def __init__(
        self,
        folder: Path,
        shards: Path,
        config: EncoderTrainConfig,
        limit: int | None = None,
        team: Team | None = None,
        **options: Any,
    ) -> None:
        self.data: ShardSet = load_shards(shards, limit)
        self.model_config: EncoderConfig = parse_config(EncoderConfig, config.model)
        config = replace(with_epochs(config, self.data.epoch_length), accumulate=1)
        torch.manual_seed(config.seed)
        self.learner = Learner(self.model_config, config.guess, (team or Team()).gather)
        about = {"digest": self.data.digest, "limit": limit}
        super().__init__(folder, self.learner, config, about, averaged=self.learner.encoder, team=team, **options)
        self.left_out = self.data.left_out
        self.optimisers["optimiser"] = torch.optim.AdamW(
            self.learner.parameters(), config.lr, weight_decay=config.weight_decay, fused=True
        )

    def _views(self, training: bool, phase: Phase, seed: int) -> Views:
        return Views(
            self.data.train if training else self.data.held_out, phase.size, seed, (phase.zoom_low, phase.zoom_high)
        )

    def batches(self, phase: Phase) -> Iterator[Raw]:
        """See ``Run``."""
        world, rank, batch = self.team.world, self.team.rank, phase.batch // self.team.world
        steps = max(1, int(phase.until * self.config.steps) - self.step)
        workers = self.config.workers
        yield from DataLoader(
            self._views(True, phase, self.config.seed),
            batch_size=batch,
            sampler=InOrder(self.samples, batch, steps, rank, world),
            num_workers=workers,
            pin_memory=self.device.type == "cuda",
            prefetch_factor=4 if workers else None,
            worker_init_fn=leave_to_parent,
        )

    def parts(self, raw: Raw, count: int) -> list[Looks]:  # noqa: ARG002
        """See ``Run``; always one part."""
        world, rank, rows = self.team.world, self.team.rank, len(raw["target"])
        gen = torch.Generator(self.device).manual_seed(self.config.seed * 1_000_003 + self.step)
        chance: Chance = gen if world == 1 else Rows(gen, rows * world, rows * rank, self.team.widest)
        return [make_looks(self._on_device(raw), chance)]

    def _on_device(self, raw: Raw) -> Raw:
        return {k: t.to(self.device, non_blocking=True) for k, t in raw.items()}

    def optimise(self, parts: Sequence[Looks]) -> dict[str, Tensor]:
        """One step of encoder, projector and guessers."""
        return self.descend("optimiser", parts, self._loss)

    def _loss(self, looks: Looks) -> tuple[Tensor, dict[str, Tensor]]:
        with self.precision():
            terms = self.shared("net")(looks)
        return torch.stack(list(terms.values())).sum(), terms

    def held_out(self) -> dict[str, float]:
        """See ``Run``: the mean loss of held-out pairs, and its terms."""
        if not self.data.held_out:
            return {}
        views = self._views(False, self.config.phases[0], self.config.seed + 2)
        gen = torch.Generator(self.device).manual_seed(self.config.seed)
        terms = self.learner(make_looks(self._on_device(_stack(views, 0, JUDGED)), gen))
        found = {name: float(term) for name, term in terms.items()}
        return {"loss": sum(found.values()), **found}

    def finished(self, weights: Weights) -> Weights:
        """An encoder whose maps are brought to one scale over some training art and its linearts."""
        encoder = Encoder(self.model_config).to(self.device)
        encoder.load_state_dict(weights)
        views = self._views(True, self.config.phases[0], self.config.seed + 1)
        gen = torch.Generator(self.device).manual_seed(self.config.seed)
        batches: list[Tensor] = []
        for start in range(0, 64, 32):
            raw = self._on_device(_stack(views, start, start + 32))
            lineart = EXTRACTORS["default"](line_source(raw), gen) * 2 - 1
            batches += [raw["target"].float() / 127.5 - 1, lineart]
        encoder.measure_spread(batches)
        return encoder.state_dict()

    def metadata(self) -> dict[str, str]:
        """What a reader of the weights must and may know."""
        usual = super().metadata()
        seen = {**json.loads(usual["training"]), "pairs": self.samples, **asdict(self.config)}
        return usual | {
            "architecture": ARCHITECTURE,
            "format_version": FORMAT_VERSION,
            "config": json.dumps(asdict(self.model_config)),
            # Without the paths that were given: they are nobody else's business.
            "command": f"training train-encoder SHARDS RUN --steps {self.config.steps} --seed {self.config.seed}",
            "training": json.dumps(seen),
        }

    def write_weights(self, path: Path, weights: Weights, metadata: dict[str, str]) -> None:
        """See ``Run``; in fp16."""
        half = {k: t.half() if t.is_floating_point() else t for k, t in weights.items()}
        save_tensors(path, half, metadata)


def _stack(views: Views, begin: int, end: int) -> Raw:
    """Some pairs as a batch."""
    items = [views[number] for number in range(begin, end)]
    return {k: torch.stack([item[k] for item in items]) for k in items[0]}
