"""One training run in one folder, whatever the model: networks, loop, averaged weights, resumable state."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from engine.models.base import ModelOutputs
from engine.models.checkpoint import read_tensors, save_model
from engine.models.registry import ARCHITECTURES, parse_config
from training.data.chance import Chance, Rows
from training.data.dataset import Crops, Cutter
from training.data.stream import MEMORY_MB, ShardStream, make_loader, open_shards
from training.data.synthesis import TrainingBatch, make_batch
from training.losses.oklab import weight_sums
from training.recipes.sheets import write_sheet
from training.runs.checkpoints import KEEP, Checkpoints, State, pack_tensors, unpack_tensors
from training.runs.config import Phase as Phase
from training.runs.config import TrainConfig as TrainConfig
from training.runs.config import check_shares, parts_of
from training.runs.distributed import SyncedNorm, Team
from training.runs.distributed import pick_device as pick_device
from training.runs.folder import check_settings, settings
from training.runs.folder import git_revision as git_revision
from training.runs.loop import LOG_EVERY as LOG_EVERY
from training.runs.loop import train
from training.runs.parts import Part, over_all, split_batch, take_rows
from training.runs.stopping import leave_to_parent


class Run(ABC):
    """One training run in one folder: state, loop and files; a subclass adds networks and says what a step is.

    Args:
        folder: of the run.
        shards: packed art.
        config: what decides it.
        limit: use only this many pictures.
        team: the processes that share it.
        keep: checkpoints to keep.

    Attributes:
        net: the model that is trained.
        average: its averaged weights, which are kept.
        networks: everything that is trained, by the name its state is kept under; ``net`` among them.
        optimisers: by name.
        step: optimiser steps of the model so far.
        samples: samples seen so far by all processes.
        seconds: spent in training so far.
    """

    def __init__(
        self,
        folder: Path,
        shards: Path,
        config: TrainConfig,
        limit: int | None = None,
        team: Team | None = None,
        keep: int = KEEP,
    ) -> None:
        self.folder, self.team = folder, team or Team()
        self.device = self.team.device
        self.data = open_shards(shards, limit, 0.0 if config.stream else MEMORY_MB)
        if isinstance(self.data, ShardStream):
            # A stream knows no other order.
            config = replace(config, stream=True, recipe=replace(config.recipe, order="epochs"))
        self.config = config
        check_shares(config, self.team.world)
        self.about = {"digest": self.data.digest, "limit": limit}
        architecture = ARCHITECTURES[config.architecture]
        self.model_config = parse_config(architecture.config, config.model)
        torch.manual_seed(config.seed)
        self.net = self.team.synchronise(architecture.build(self.model_config)).to(self.device)
        self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = {k: t.detach().clone() for k, t in self.net.state_dict().items()}
        self.networks: dict[str, nn.Module] = {"net": self.net}
        self.optimisers: dict[str, torch.optim.Optimizer] = {}
        self.checkpoints = Checkpoints(folder, keep)
        self.step = 0
        self.samples = 0
        self.seconds = 0.0
        self._shared: dict[str, nn.Module] = {}
        self._factor = 0
        folder.mkdir(parents=True, exist_ok=True)
        self.team.check_alike("shards or options", settings(self.config, self.about))

    @abstractmethod
    def optimise(self, parts: Sequence[Part]) -> dict[str, Tensor]:
        """Do one step on all networks with a batch in parts; returns the terms of the losses for the log."""

    def prepare(self, raw: dict[str, Tensor]) -> dict[str, Tensor]:
        """Change a batch of ``Crops`` to what the model is for."""
        return raw

    @property
    def progress(self) -> float:
        """Part of the run that is done, in [0, 1]."""
        return self.step / self.config.steps

    def shared(self, name: str) -> nn.Module:
        """A network as it is called where its own gradients are wanted: they are averaged over all processes."""
        if name not in self._shared:
            self._shared[name] = self.team.parallel(self.networks[name])
            if name == "net" and self.config.compile:
                self._shared[name] = torch.compile(self._shared[name])  # type: ignore[assignment]
        return self._shared[name]

    def save(self) -> None:
        """Write the resumable state and the averaged weights, atomically; one process does for all.

        Raises:
            ColorizeError: there is no room, or the folder cannot be written.
        """
        if not self.team.leads:
            return
        values = {"samples": str(self.samples), "seconds": repr(self.seconds)}
        values["settings"] = settings(self.config, self.about)
        tensors = pack_tensors(self.networks, self.optimisers, self.average)
        self.checkpoints.write(self.step, State(tensors, values))
        metadata = {
            "training_data": self.data.digest,
            "licence": "CC-BY-SA-4.0",
            "git_revision": git_revision(),
            "training": json.dumps({"step": self.step, "samples": self.samples, "device": self.device.type}),
        }
        path = self.folder / "weights.safetensors"
        with self.checkpoints.written(path.name):
            save_model(path, self.average, self.config.architecture, self.model_config, metadata)

    def resume(self) -> list[str]:
        """Load the newest whole state of an interrupted run; returns what there is to say, nothing where there is none.

        Raises:
            ColorizeError: the run was begun with other settings, or no checkpoint is whole.
        """
        state, damaged = self.checkpoints.read_newest()
        self.team.check_alike("checkpoints", "none" if state is None else state.values["step"])
        if state is None:
            return []
        said = check_settings(self.folder, state.values["settings"], self.config, self.about)
        self.step, self.samples = int(state.values["step"]), int(state.values["samples"])
        self.seconds = float(state.values["seconds"])
        unpack_tensors(state.tensors, self.networks, self.optimisers, self.average)
        return [*damaged, *said, f"resumed at step {self.step}"]

    def start_from(self, weights: Path) -> None:
        """Start a new run from finished weights of the same configuration.

        Raises:
            ColorizeError: the file cannot be read.
            ValueError: it is of another configuration.
        """
        tensors = self.adapt({k: t.float() if t.is_floating_point() else t for k, t in read_tensors(weights).items()})
        try:
            self.net.load_state_dict(tensors)
        except RuntimeError as e:
            raise ValueError(f"{weights} does not fit this configuration") from e
        self.average = {k: t.detach().clone() for k, t in self.net.state_dict().items()}

    def adapt(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Make weights of a related architecture fit this one; a subclass knows how."""
        return tensors

    def phase(self) -> Phase:
        """The phase the next step belongs to."""
        progress = self.step / self.config.steps
        return next((p for p in self.config.scaled_phases if progress < p.until), self.config.scaled_phases[-1])

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

    def learning_rate(self) -> float:
        """Linear warm-up, then a half cosine to a hundredth of the peak."""
        if self.step < self.config.warmup:
            return self.config.lr * (self.step + 1) / self.config.warmup
        cosine = 0.5 + 0.5 * float(torch.cos(torch.tensor(self.step / self.config.steps * torch.pi)))
        return self.config.lr * (0.01 + 0.99 * cosine)

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

    def train_step(self, raw: dict[str, Tensor]) -> dict[str, float]:
        """One step on this process's share of a batch of ``Crops``; returns the loss terms now and then."""
        parts = self.parts(raw, parts_of(len(raw["target"]), self.config.accumulate))
        rate = self.learning_rate()
        for group in self.optimisers["optimiser"].param_groups:
            group["lr"] = rate
        self.net.train()
        terms = self.optimise(parts)
        self.update_average()
        self.step += 1
        self.samples += len(raw["target"]) * self.team.world
        if self.step % LOG_EVERY:
            return {}
        values = self.team.add_up(torch.stack(list(terms.values()))) / self.team.world
        return dict(zip(terms, values.tolist(), strict=True))

    def rehearse(self, raw: dict[str, Tensor], count: int) -> None:
        """Do a step in ``count`` parts in this process alone, to see whether it fits; it spoils the networks."""
        self.team = Team(device=self.device)
        self._shared = dict(self.networks)
        # Statistics over all processes cannot be taken by one.
        self.net.train(not any(isinstance(m, SyncedNorm | nn.SyncBatchNorm) for m in self.net.modules()))
        self.optimise(self.parts(raw, count))

    def predict(self, batch: TrainingBatch) -> ModelOutputs:
        """The model's pictures of a batch, in float32 also where it computes in less."""
        with torch.autocast(self.device.type, torch.bfloat16, self.config.bf16 and self.device.type == "cuda"):
            out: ModelOutputs = self.shared("net")(batch.inputs)
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
        """One step of an optimiser on the mean loss of all parts; returns the mean terms.

        Args:
            name: of the optimiser; ``X_optimiser`` is the network X's.
            parts: of the batch.
            loss: of a part, with its terms.
            clip: the greatest norm of the gradient, 0 = any.
        """
        optimiser = self.optimisers[name]
        network = "net" if name == "optimiser" else name.removesuffix("_optimiser")
        optimiser.zero_grad(set_to_none=True)
        means: dict[str, Tensor] = {}
        for number, part in enumerate(parts, 1):
            with self._averaging(network, number == len(parts)):
                value, terms = loss(part)
                (value / len(parts)).backward()  # type: ignore[no-untyped-call]
            if network == "net":
                part.out = None
            means = {k: means.get(k, 0) + t.detach() / len(parts) for k, t in terms.items()}
        if clip:
            nn.utils.clip_grad_norm_([p for g in optimiser.param_groups for p in g["params"]], clip)
        optimiser.step()
        return means

    def _averaging(self, network: str, now: bool) -> AbstractContextManager[Any]:
        """Average gradients over all processes ``now``, or let them add up first."""
        shared = self.shared(network)
        shared = getattr(shared, "_orig_mod", shared)
        return shared.no_sync() if isinstance(shared, DistributedDataParallel) and not now else nullcontext()

    @torch.no_grad()
    def update_average(self) -> None:
        """Move the averaged weights towards the present ones, faster at the start of a run."""
        decay = min(self.config.ema, (1 + self.step) / (10 + self.step))
        for key, tensor in self.net.state_dict().items():
            if tensor.is_floating_point():
                self.average[key].lerp_(tensor, 1 - decay)
            else:
                self.average[key].copy_(tensor)

    @torch.no_grad()
    def sheet(self, hints: int, size: int = 256) -> None:
        """Colour held-out pictures with the averaged weights and write a sheet; one process does for all."""
        if not self.data.held_out or not self.team.leads:
            return
        kept = {k: t.clone() for k, t in self.net.state_dict().items()}
        self.net.load_state_dict(self.average)
        self.net.eval()
        crops = Crops(self.data.held_out, size, (1.0, 1.2), 7, hints)
        items = [crops[i] for i in range(min(8, len(self.data.held_out)))]
        raw = {k: torch.stack([item[k] for item in items]).to(self.device) for k in items[0]}
        batch = make_batch(self.prepare(raw), torch.Generator(self.device).manual_seed(7))
        write_sheet(self.folder / "sheets" / f"{self.step:06d}-{hints:02d}.png", batch, self.net(batch.inputs))
        self.net.load_state_dict(kept)

    def train(self, max_minutes: float, save_minutes: float = 5.0) -> Iterator[str]:
        """Train until the last step, for ``max_minutes``, or until SIGINT or SIGTERM; yields lines of progress.

        Raises:
            OSError: the run folder cannot be written.
            ColorizeError: a checkpoint cannot be written, the batch does not fit the GPU, or another process ended.
        """
        yield from train(self, max_minutes, save_minutes)
