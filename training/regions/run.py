"""A training run of the region colour model: its presets, what is in a batch, what a step is, what is written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.models.region_transformer import RegionTransformer, RegionTransformerConfig, palette
from engine.models.region_weights import save_region_model
from engine.models.registry import parse_config
from training.regions.codebook import learn_codebook
from training.regions.held_out import HeldOut, measure
from training.regions.loss import region_loss
from training.regions.samples import RegionBatch, RegionBatches, load_batches, open_regions
from training.regions.sheets import write_sheet
from training.runs.averages import Weights
from training.runs.config import Phase, TrainConfig, with_epochs
from training.runs.distributed import Team
from training.runs.run import Raw, Run

CLIP = 1.0
"""Greatest norm of the gradient."""


@dataclass(frozen=True)
class RegionTrainConfig(TrainConfig):
    """What decides a run of the region colour model; a sample is a whole drawing.

    Attributes:
        model: changes to ``RegionTransformerConfig``.
        most: regions of a drawing; the smallest of more are taken together.
        bf16: run the network in bfloat16, on a GPU or on a CPU that has instructions for it.
    """

    phases: tuple[Phase, ...] = (Phase(1.0, 256, 12, 1.0, 1.0),)
    steps: int = 60_000
    lr: float = 1e-3
    weight_decay: float = 0.02
    warmup: int = 300
    averages: tuple[float, ...] = (0.05, 0.1)
    bf16: bool = True
    model: dict[str, Any] = field(default_factory=dict)
    most: int = 320


PRESETS = {
    "cpu": RegionTrainConfig(),
    "gpu": RegionTrainConfig(
        phases=(Phase(1.0, 256, 64, 1.0, 1.0),), steps=100_000, warmup=1_000, workers=14, most=500
    ),
}


def computes_bf16(device: torch.device) -> bool:
    """Whether bfloat16 is faster on a device: on GPUs, and on CPUs with matrix instructions for it.

    An older torch that cannot tell of a CPU is taken for one without.
    """
    if device.type != "cpu":
        return device.type == "cuda"
    tell = getattr(torch.cpu, "get_capabilities", None)
    able: dict[str, Any] = tell() if tell is not None else {}
    return bool(able.get("amx_bf16") or able.get("avx512_bf16"))


class RegionRun(Run[RegionBatch]):
    """A run of ``RegionTransformer``.

    Args:
        folder: of the run.
        data: what ``training pack-regions`` packed.
        config: what decides it.
        limit: use only this many pictures.
        team: the processes that share it.
        options: see ``Run``.
    """

    config: RegionTrainConfig
    net: RegionTransformer
    # Drawings are padded to the largest of their batch, which parts would not have in common.
    in_parts = False

    def __init__(
        self,
        folder: Path,
        data: Path,
        config: RegionTrainConfig,
        limit: int | None = None,
        team: Team | None = None,
        **options: Any,
    ) -> None:
        self.data = open_regions(data, limit)
        self.model_config: RegionTransformerConfig = parse_config(RegionTransformerConfig, config.model)
        config = replace(with_epochs(config, len(self.data.train)), accumulate=1)
        torch.manual_seed(config.seed)
        about = {"digest": self.data.digest, "limit": limit}
        super().__init__(folder, RegionTransformer(self.model_config), config, about, team=team, **options)
        self.bf16 = config.bf16 and computes_bf16(self.device)
        self._held_out: HeldOut | None = None
        matrices = [p for p in self.net.parameters() if p.ndim > 1]
        others = [p for p in self.net.parameters() if p.ndim <= 1]
        groups: list[dict[str, Any]] = [{"params": matrices}, {"params": others, "weight_decay": 0.0}]
        self.optimisers["optimiser"] = torch.optim.AdamW(
            groups,
            config.lr,
            betas=(0.9, 0.98),
            weight_decay=config.weight_decay,
            fused=True,
        )

    def _kept(self) -> HeldOut:
        if self._held_out is None:
            self._held_out = HeldOut.make(self.data, self.config.most, 12)
        return self._held_out

    def batches(self, phase: Phase) -> Iterator[Raw]:
        """See ``Run``; the colour classes are found before the first batch of a new run."""
        if not self.net.codebook.any():
            found = learn_codebook(self.data, self.model_config.classes, self.config.seed)
            self.net.codebook.copy_(torch.from_numpy(found))
            self.averages.restart()
        made = RegionBatches(
            self.data, self.config.seed, phase.batch, self.config.most, self.team.rank, self.team.world
        )
        yield from load_batches(made, self.step, self.config.steps, self.config.workers)

    def parts(self, raw: Raw, count: int) -> list[RegionBatch]:  # noqa: ARG002
        """See ``Run``; always one part."""
        return [RegionBatch.unpack(raw).to(self.device)]

    def optimise(self, parts: Sequence[RegionBatch]) -> dict[str, Tensor]:
        """One step."""
        return self.descend("optimiser", parts, self._loss, clip=CLIP)

    def _loss(self, batch: RegionBatch) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.autocast(self.device.type, torch.bfloat16, self.bf16):
            log_p = self.shared("net")(batch.drawings, batch.known)
        each = region_loss(log_p, palette(self.net, batch.known), batch.truth, batch.weight)
        alone = (batch.known.state != 0).sum(1) == 0
        terms = {"loss": each.mean()}
        for name, rows in (("without_known", alone), ("with_known", ~alone)):
            terms[name] = (each * rows).sum() / rows.sum().clamp_min(1)
        return terms["loss"], terms

    def held_out(self) -> dict[str, float]:
        """See ``Run`` and ``training.regions.held_out.measure``."""
        if not self.data.held_out:
            return {}
        return measure(self.net, self._kept(), self.device, bf16=self.bf16)

    def sheets(self, *, last: bool) -> None:  # noqa: ARG002
        """See ``Run``."""
        if self.data.held_out:
            with self.lent(self.averages.best):
                write_sheet(self.folder / "sheets" / f"{self.step:07d}.png", self.net, self._kept(), self.device)

    def metadata(self) -> dict[str, str]:
        """What a reader of the weights must and may know."""
        usual = super().metadata()
        return usual | {"training": json.dumps({**json.loads(usual["training"]), **asdict(self.config)})}

    def write_weights(self, path: Path, weights: Weights, metadata: dict[str, str]) -> None:
        """See ``Run``; in fp16."""
        save_region_model(path, weights, self.model_config, metadata)
