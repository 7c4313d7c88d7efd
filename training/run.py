"""One training run in one folder, whatever the model: state, loop, averaged weights, resumable checkpoints, files."""

from __future__ import annotations

import json
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from engine.models.base import ModelOutputs
from engine.models.checkpoint import read_tensors, save_model, save_tensors
from engine.models.registry import ARCHITECTURES, parse_config
from training.data.dataset import DEFAULT_RECIPE, Crops, Recipe, ShardSet, load_shards
from training.data.synthesis import TrainingBatch, make_batch
from training.sheets import write_sheet

LOG_EVERY = 20
"""Steps between two lines of the log."""


@dataclass(frozen=True)
class Phase:
    """A stretch of the run: until ``until`` of all steps, crops of ``size`` px from pictures ``zoom`` times as wide."""

    until: float
    size: int
    batch: int
    zoom_low: float
    zoom_high: float


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a run.

    Attributes:
        architecture: key of the registry.
        model: configuration of the architecture; its defaults when empty.
        phases: crop sizes over the run.
        steps: optimiser steps in all.
        lr: peak learning rate of AdamW, after warm-up, falling along a half cosine.
        adversarial_from: part of the run after which the critic joins; 1 = never.
        adversarial: weight of the critic's score in the generator's loss.
        ema: decay of the averaged weights that are kept.
        workers: processes that cut crops.
        bf16: run the network in bfloat16 where the device is a GPU.
        recipe: how samples are made from pictures.
        extractor: key of ``training.data.extractors.EXTRACTORS``.
    """

    architecture: str = "stenciltorch-compact"
    model: dict[str, Any] = field(default_factory=dict)
    phases: tuple[Phase, ...] = ()
    steps: int = 10_000
    lr: float = 1.2e-3
    weight_decay: float = 1e-3
    warmup: int = 200
    ema: float = 0.998
    adversarial_from: float = 1.0
    adversarial: float = 0.02
    seed: int = 1
    workers: int = 1
    bf16: bool = False
    recipe: Recipe = DEFAULT_RECIPE
    extractor: str = "default"


def pick_device() -> torch.device:
    """CUDA when there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def git_revision() -> str:
    """The revision the run was started from, or 'unknown' outside a checkout."""
    try:
        done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)  # noqa: S607
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


class Run(ABC):
    """One training run in one folder: state, loop and files; a subclass adds networks and says what a step is.

    Attributes:
        net: the model that is trained.
        average: its averaged weights, which are kept.
        networks: everything that is trained, by the name its state is kept under; ``net`` among them.
        optimisers: by name.
        step: optimiser steps of the model so far.
        samples: samples seen so far.
    """

    def __init__(self, folder: Path, shards: Path, config: TrainConfig, limit: int | None = None) -> None:
        self.folder, self.config = folder, config
        self.device = pick_device()
        self.data: ShardSet = load_shards(shards, limit)
        architecture = ARCHITECTURES[config.architecture]
        self.model_config = parse_config(architecture.config, config.model)
        torch.manual_seed(config.seed)
        self.net = architecture.build(self.model_config).to(self.device)
        self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = {k: t.detach().clone() for k, t in self.net.state_dict().items()}
        self.networks: dict[str, nn.Module] = {"net": self.net}
        self.optimisers: dict[str, torch.optim.Optimizer] = {}
        self.step = 0
        self.samples = 0
        folder.mkdir(parents=True, exist_ok=True)

    @abstractmethod
    def optimise(self, batch: TrainingBatch, gen: torch.Generator) -> dict[str, Tensor]:
        """Do one step on all networks; returns the terms of the losses for the log."""

    def prepare(self, raw: dict[str, Tensor]) -> dict[str, Tensor]:
        """Change a batch of ``Crops`` to what the model is for."""
        return raw

    @property
    def progress(self) -> float:
        """Part of the run that is done, in [0, 1]."""
        return self.step / self.config.steps

    @property
    def state_path(self) -> Path:
        """Where the resumable state lies."""
        return self.folder / "state.safetensors"

    def save(self) -> None:
        """Write the resumable state and the averaged weights, atomically."""
        tensors = {f"average.{k}": t for k, t in self.average.items()}
        for name, network in self.networks.items():
            tensors |= {f"{name}.{k}": t for k, t in network.state_dict().items()}
        for name, optimiser in self.optimisers.items():
            for number, values in optimiser.state_dict()["state"].items():
                tensors |= {f"{name}.{number}.{k}": torch.as_tensor(v) for k, v in values.items()}
        counts = {"step": str(self.step), "samples": str(self.samples)}
        save_tensors(self.state_path, {k: t.clone() for k, t in tensors.items()}, counts)
        metadata = {
            "training_data": self.data.digest,
            "licence": "CC-BY-SA-4.0",
            "git_revision": git_revision(),
            "training": json.dumps({"step": self.step, "samples": self.samples, "device": self.device.type}),
        }
        save_model(
            self.folder / "weights.safetensors", self.average, self.config.architecture, self.model_config, metadata
        )

    def resume(self) -> bool:
        """Load the state of an interrupted run; False when there is none."""
        if not self.state_path.exists():
            return False
        from safetensors import safe_open

        with safe_open(self.state_path, framework="pt") as f:
            counts = f.metadata()
        self.step, self.samples = int(counts["step"]), int(counts["samples"])
        tensors = read_tensors(self.state_path)

        def part(name: str) -> dict[str, Tensor]:
            return {k.removeprefix(name + "."): t for k, t in tensors.items() if k.startswith(name + ".")}

        for name, network in self.networks.items():
            # A network that has joined since begins afresh.
            if part(name):
                network.load_state_dict(part(name))
        self.average = {k: t.to(self.device) for k, t in part("average").items()}
        for name, optimiser in self.optimisers.items():
            state: dict[int, dict[str, Tensor]] = {}
            for key, tensor in part(name).items():
                number, _, what = key.partition(".")
                state.setdefault(int(number), {})[what] = tensor
            if state:
                optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
        return True

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
        return next((p for p in self.config.phases if progress < p.until), self.config.phases[-1])

    def batches(self, phase: Phase) -> Iterator[dict[str, Tensor]]:
        """Batches of one phase from the present step on; sample numbers go on where the run stopped."""
        config = self.config
        crops = Crops(self.data.train, phase.size, (phase.zoom_low, phase.zoom_high), config.seed, recipe=config.recipe)
        last = int(phase.until * config.steps)
        count = max(1, last - self.step) * phase.batch
        loader = DataLoader(
            crops,
            batch_size=phase.batch,
            sampler=range(self.samples, self.samples + count),
            num_workers=config.workers,
            pin_memory=self.device.type == "cuda",
            prefetch_factor=4 if config.workers else None,
        )
        yield from loader

    def learning_rate(self) -> float:
        """Linear warm-up, then a half cosine to a hundredth of the peak."""
        if self.step < self.config.warmup:
            return self.config.lr * (self.step + 1) / self.config.warmup
        cosine = 0.5 + 0.5 * float(torch.cos(torch.tensor(self.step / self.config.steps * torch.pi)))
        return self.config.lr * (0.01 + 0.99 * cosine)

    def train_step(self, raw: dict[str, Tensor]) -> dict[str, float]:
        """One step on a batch of ``Crops``; returns the loss terms now and then."""
        gen = torch.Generator(self.device).manual_seed(self.config.seed * 1_000_003 + self.step)
        on_device = {k: t.to(self.device, non_blocking=True) for k, t in raw.items()}
        batch = make_batch(self.prepare(on_device), gen, self.config.extractor)
        rate = self.learning_rate()
        for group in self.optimisers["optimiser"].param_groups:
            group["lr"] = rate
        self.net.train()
        terms = self.optimise(batch, gen)
        self.update_average()
        self.step += 1
        self.samples += batch.target.shape[0]
        return {k: float(v.detach()) for k, v in terms.items()} if self.step % LOG_EVERY == 0 else {}

    def predict(self, batch: TrainingBatch) -> ModelOutputs:
        """The model's pictures of a batch, in float32 also where it computes in less."""
        with torch.autocast(self.device.type, torch.bfloat16, self.config.bf16 and self.device.type == "cuda"):
            out: ModelOutputs = self.net(batch.inputs)
        return replace(out, flat=out.flat.float(), shaded=out.shaded.float())

    def descend(self, name: str, loss: Tensor, *, clip: float = 0.0) -> None:
        """One step of an optimiser on a loss."""
        optimiser = self.optimisers[name]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if clip:
            nn.utils.clip_grad_norm_([p for g in optimiser.param_groups for p in g["params"]], clip)
        optimiser.step()

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
        """Colour held-out pictures with the averaged weights and write a sheet."""
        if not self.data.held_out:
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
        """Train until the last step or for ``max_minutes``; yields a line of progress now and then.

        Raises:
            OSError: the run folder cannot be written.
        """
        from torch.utils.tensorboard import SummaryWriter

        (self.folder / "config.json").write_text(json.dumps(asdict(self.config), indent=1))
        writer = SummaryWriter(str(self.folder / "tensorboard"))
        begun = saved = time.monotonic()
        end = begun + max_minutes * 60
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log:
            while self.step < self.config.steps and time.monotonic() < end:
                phase = self.phase()
                for raw in self.batches(phase):
                    terms = self.train_step(raw)
                    now = time.monotonic()
                    if terms:
                        record = {"step": self.step, "samples": self.samples, "seconds": round(now - begun, 1), **terms}
                        log.write(json.dumps(record) + "\n")
                        log.flush()
                        for key, value in terms.items():
                            writer.add_scalar(key, value, self.step)
                    if self.step % 100 == 0:
                        shown = " ".join(f"{k} {v:.3f}" for k, v in terms.items())
                        yield f"step {self.step}/{self.config.steps} {now - begun:.0f} s {phase.size} px: {shown}"
                    if now - saved > save_minutes * 60:
                        saved = now
                        self.save()
                        self.sheet(12)
                        self.sheet(0)
                    if now > end or self.phase() != phase:
                        break
        self.save()
        for hints in (0, 4, 12, 40):
            self.sheet(hints)
        writer.close()
        yield f"stopped at step {self.step} of {self.config.steps}; weights in {self.folder / 'weights.safetensors'}"
