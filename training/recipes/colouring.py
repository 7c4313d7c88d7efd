"""Runs that learn to colour: crops of packed pictures with hints in, ``ModelOutputs`` out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine.models.base import ModelOutputs
from engine.models.checkpoint import save_model
from engine.models.registry import ARCHITECTURES, parse_config
from training.data.chance import Chance, Rows
from training.data.dataset import Crops, Cutter
from training.data.stream import MEMORY_MB, ShardStream, make_loader, name_damaged, open_shards
from training.data.synthesis import TrainingBatch, make_batch
from training.losses.oklab import weight_sums
from training.recipes.sheets import write_sheet
from training.runs.averages import Weights
from training.runs.config import ColouringConfig, Phase, with_epochs
from training.runs.distributed import Team
from training.runs.parts import Part, over_all, split_batch, take_rows
from training.runs.run import Raw, Run
from training.runs.stopping import leave_to_parent

JUDGED = 48
"""Most held-out samples from which the held-out loss is taken."""
JUDGED_SEED = 11


class ColouringRun(Run[Part]):
    """A run of a network that colours; a subclass adds other networks and says what a step is.

    Args:
        folder: of the run.
        shards: packed art.
        config: what decides it.
        limit: use only this many pictures.
        team: the processes that share it.
        options: see ``Run``.

    Attributes:
        data: the pictures.
        model_config: configuration of the network.
    """

    config: ColouringConfig

    def __init__(
        self,
        folder: Path,
        shards: Path,
        config: ColouringConfig,
        limit: int | None = None,
        team: Team | None = None,
        **options: Any,
    ) -> None:
        self.data = open_shards(shards, limit, 0.0 if config.stream else MEMORY_MB)
        if isinstance(self.data, ShardStream):
            # A stream knows no other order.
            config = replace(config, stream=True, recipe=replace(config.recipe, order="epochs"))
        config = with_epochs(config, self.data.epoch_length)
        architecture = ARCHITECTURES[config.architecture]
        self.model_config = parse_config(architecture.config, config.model)
        torch.manual_seed(config.seed)
        about = {"digest": self.data.digest, "limit": limit}
        super().__init__(folder, architecture.build(self.model_config), config, about, team=team, **options)
        self.left_out = self.data.left_out
        self._factor = 0
        self._judged: list[Raw] | None = None

    def prepare(self, raw: Raw) -> Raw:
        """Change a batch of ``Crops`` to what the model is for."""
        return raw

    def name_damaged(self, code: int) -> str:
        """See ``Run``."""
        return name_damaged(self.data, code)

    def write_weights(self, path: Path, weights: Weights, metadata: dict[str, str]) -> None:
        """See ``Run``; in fp16."""
        save_model(path, weights, self.config.architecture, self.model_config, metadata)

    def batches(self, phase: Phase) -> Iterator[dict[str, Tensor]]:
        """This process's share of the batches of one phase from the present step on."""
        config = self.config
        yield from make_loader(
            self.data,
            Cutter(phase.size, (phase.zoom_low, phase.zoom_high), config.recipe),
            config.seed,
            phase.batch // self.team.world,
            # Sample numbers go on where the run stopped.
            self.samples,
            max(1, int(phase.until * config.steps) - self.step),
            self.team.rank,
            self.team.world,
            config.workers,
            self.device.type == "cuda",
            leave_to_parent,
        )

    def finish(self, raw: dict[str, Tensor], chance: Chance) -> TrainingBatch:
        """Make a training batch of a batch of ``Crops`` on the device."""
        return make_batch(self.prepare(raw), chance, self.config.extractor)

    def parts(self, raw: dict[str, Tensor], count: int) -> list[Part]:
        """Finish this process's share of a batch and split it into ``count`` parts."""
        world, rank = self.team.world, self.team.rank
        gen = torch.Generator(self.device).manual_seed(self.config.seed * 1_000_003 + self.step)
        on_device = {k: t.to(self.device, non_blocking=True) for k, t in raw.items()}
        rows = len(on_device["target"])
        chance: Chance = gen if world == 1 else Rows(gen, rows * world, rows * rank, self.team.widest)
        batch = self.finish(on_device, chance)
        parts = split_batch(batch, chance, gen, count, rank, world)
        if count * world > 1:
            sums = [weight_sums(part.batch, self._shrinks(batch)) for part in parts]
            whole = self.team.add_up(torch.stack([torch.stack(list(s.values())) for s in sums]).sum(0))
            over = over_all(dict(zip(sums[0], whole, strict=True)), count * world)
            for part in parts:
                part.over = over
        return parts

    @torch.no_grad()
    def _shrinks(self, batch: TrainingBatch) -> int:
        """The whole factor by which the model's pictures are smaller than its inputs."""
        if not self._factor:
            self.net.eval()
            self._factor = batch.target.shape[-1] // self.net(take_rows(batch.inputs, 0, 1)).shaded.shape[-1]
        return self._factor

    def held_out_parts(self) -> Iterator[Part]:
        """The same samples of held-out pictures each time, made as those of training, at the first phase's size."""
        if self._judged is None:
            self._judged = self._cut_judged()
        gen = torch.Generator(self.device).manual_seed(JUDGED_SEED)
        for raw in self._judged:
            yield Part(self.finish({k: t.to(self.device) for k, t in raw.items()}, gen), gen)

    def _cut_judged(self) -> list[Raw]:
        pictures = self.data.held_out
        if not pictures:
            return []
        phase, recipe = self.config.phases[0], replace(self.config.recipe, order="epochs")
        crops = Crops(pictures, phase.size, (phase.zoom_low, phase.zoom_high), JUDGED_SEED, recipe=recipe)
        items = [crops[n] for n in range(min(JUDGED, 2 * len(pictures)))]
        return [_stack(items[n : n + 16]) for n in range(0, len(items), 16)]

    @abstractmethod
    def held_out_terms(self, part: Part) -> dict[str, Tensor]:
        """The terms of the held-out loss of a part, whose sum is the loss; of the network as it stands."""

    def held_out(self) -> dict[str, float]:
        """See ``Run``: the mean loss, and each of its terms."""
        sums: dict[str, float] = {}
        rows = 0
        for part in self.held_out_parts():
            count = len(part.batch.target)
            rows += count
            for name, term in self.held_out_terms(part).items():
                sums[name] = sums.get(name, 0.0) + float(term) * count
        return {"loss": sum(sums.values()) / rows, **{k: v / rows for k, v in sums.items()}} if rows else {}

    def predict(self, batch: TrainingBatch, network: nn.Module | None = None) -> ModelOutputs:
        """The pictures of a batch by the shared network, or another, in float32 also where it computes in less."""
        with self.precision():
            out: ModelOutputs = (network or self.shared("net"))(batch.inputs)
        return replace(out, flat=out.flat.float(), shaded=out.shaded.float())

    def outputs(self, part: Part) -> ModelOutputs:
        """The model's pictures of a part, with their graph, painted once."""
        if part.out is None:
            part.out = self.predict(part.batch)
            part.shaded = part.out.shaded.detach()
        return part.out

    def foresee(self, parts: Sequence[Part]) -> None:
        """Paint what a critic is to judge before the model takes its step.

        The graph of a batch in one part is kept. Of several it would take the memory that parts save, so they are
        painted twice; what this pass adds to the statistics of normalisations is taken back.
        """
        if len(parts) == 1:
            self.outputs(parts[0])
            return
        kept = {name: buffer.clone() for name, buffer in self.net.named_buffers()}
        with torch.no_grad():
            for part in parts:
                part.shaded = self.predict(part.batch).shaded
            for name, buffer in self.net.named_buffers():
                buffer.copy_(kept[name])

    def descend(
        self,
        name: str,
        parts: Sequence[Part],
        loss: Callable[[Part], tuple[Tensor, dict[str, Tensor]]],
        *,
        clip: float = 0.0,
    ) -> dict[str, Tensor]:
        """See ``Run``; the pictures of a part are dropped once the model has learnt from them."""

        def used(part: Part) -> tuple[Tensor, dict[str, Tensor]]:
            found = loss(part)
            if name == "optimiser":
                part.out = None
            return found

        return super().descend(name, parts, used, clip=clip)

    def sheets(self, *, last: bool) -> None:
        """Colour held-out pictures with the averaged weights and write sheets of them."""
        for hints in (0, 4, 12, 40) if last else (12, 0):
            self.sheet(hints)

    def sheet(self, hints: int, size: int = 256) -> None:
        """Write one sheet, with that many strokes a picture."""
        if not self.data.held_out:
            return
        crops = Crops(self.data.held_out, size, (1.0, 1.2), 7, hints)
        raw = _stack([crops[i] for i in range(min(8, len(self.data.held_out)))])
        raw = {k: t.to(self.device) for k, t in raw.items()}
        batch = make_batch(self.prepare(raw), torch.Generator(self.device).manual_seed(7))
        with self.lent(self.written):
            write_sheet(self.folder / "sheets" / f"{self.step:06d}-{hints:02d}.png", batch, self.net(batch.inputs))


def _stack(items: list[Raw]) -> Raw:
    """Samples of ``Crops`` as a batch."""
    return {k: torch.stack([item[k] for item in items]) for k in items[0]}
