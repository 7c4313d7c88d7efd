"""One training run of an encoder in one folder: state, loop, averaged weights, resumable checkpoints, files."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor
from torch.utils.data import DataLoader

from engine.models.checkpoint import FORMAT_VERSION, read_tensors, save_tensors
from engine.models.components.encoder import ARCHITECTURE, Encoder, EncoderConfig
from engine.models.registry import parse_config
from training.data.dataset import ShardSet, load_shards
from training.data.extractors import EXTRACTORS
from training.data.synthesis import line_source
from training.features.objective import Learner
from training.features.views import Views, make_looks
from training.runs.distributed import pick_device
from training.runs.folder import git_revision
from training.runs.loop import LOG_EVERY


@dataclass(frozen=True)
class EncoderTrainConfig:
    """Everything that decides a run.

    Attributes:
        model: changes to ``EncoderConfig``.
        size: side of the crops in pixels.
        batch: pairs of crops a step.
        steps: optimiser steps in all.
        lr: peak learning rate of AdamW, after warm-up, falling along a half cosine.
        ema: decay of the averaged weights that are kept.
        workers: processes that cut crops.
    """

    model: dict[str, Any] = field(default_factory=dict)
    size: int = 64
    batch: int = 64
    steps: int = 700
    lr: float = 2e-3
    weight_decay: float = 1e-4
    warmup: int = 40
    ema: float = 0.99
    seed: int = 1
    workers: int = 1


PRESETS = {
    "cpu": EncoderTrainConfig(),
    "gpu": EncoderTrainConfig(size=128, batch=512, steps=20_000, lr=3e-3, warmup=500, ema=0.999, workers=14),
}


class EncoderRun:
    """A run of ``Learner``; the encoder's averaged weights are what it leaves.

    Args:
        folder: of the run.
        shards: packed art.
        config: what decides it.
        limit: use only this many pictures.
    """

    def __init__(self, folder: Path, shards: Path, config: EncoderTrainConfig, limit: int | None = None) -> None:
        self.folder, self.config = folder, config
        self.device = pick_device()
        self.data: ShardSet = load_shards(shards, limit)
        self.model_config: EncoderConfig = parse_config(EncoderConfig, config.model)
        torch.manual_seed(config.seed)
        self.learner = Learner(self.model_config).to(self.device)
        self.learner.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = {k: t.detach().clone() for k, t in self.learner.encoder.state_dict().items()}
        self.optimiser = torch.optim.AdamW(self.learner.parameters(), config.lr, weight_decay=config.weight_decay)
        self.step = 0
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def state_path(self) -> Path:
        """Where the resumable state lies."""
        return self.folder / "state.safetensors"

    @property
    def weights_path(self) -> Path:
        """Where the finished encoder lies."""
        return self.folder / "weights.safetensors"

    def save(self) -> None:
        """Write the resumable state and the averaged encoder, atomically."""
        tensors = {f"average.{k}": t for k, t in self.average.items()}
        tensors |= {f"learner.{k}": t for k, t in self.learner.state_dict().items()}
        for number, values in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{k}": torch.as_tensor(v) for k, v in values.items()}
        save_tensors(self.state_path, {k: t.clone() for k, t in tensors.items()}, {"step": str(self.step)})
        encoder = self.finished()
        half = {k: t.half() if t.is_floating_point() else t for k, t in encoder.state_dict().items()}
        save_tensors(self.weights_path, half, self.metadata())

    def metadata(self) -> dict[str, str]:
        """What a reader of the weights must and may know."""
        seen = {"step": self.step, "pairs": self.step * self.config.batch, "device": self.device.type}
        return {
            "architecture": ARCHITECTURE,
            "format_version": FORMAT_VERSION,
            "config": json.dumps(asdict(self.model_config)),
            "training_data": self.data.digest,
            "licence": "CC-BY-SA-4.0",
            "git_revision": git_revision(),
            # Without the paths that were given: they are nobody else's business.
            "command": f"training train-encoder SHARDS RUN --steps {self.config.steps} --seed {self.config.seed}",
            "training": json.dumps({**seen, **asdict(self.config)}),
        }

    def finished(self) -> Encoder:
        """The averaged encoder, its maps brought to one scale over some training art and its linearts."""
        encoder = Encoder(self.model_config).to(self.device)
        encoder.load_state_dict(self.average)
        crops = Views(self.data.train, self.config.size, self.config.seed + 1)
        gen = torch.Generator(self.device).manual_seed(self.config.seed)
        batches: list[Tensor] = []
        for start in range(0, 64, 32):
            raw = self._stack([crops[i] for i in range(start, start + 32)])
            lineart = EXTRACTORS["default"](line_source(raw), gen) * 2 - 1
            batches += [raw["target"].float() / 127.5 - 1, lineart]
        encoder.measure_spread(batches)
        return encoder

    def _stack(self, items: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        return {k: torch.stack([item[k] for item in items]).to(self.device) for k in items[0]}

    def resume(self) -> bool:
        """Load the state of an interrupted run; False when there is none."""
        if not self.state_path.exists():
            return False
        with safe_open(self.state_path, framework="pt") as f:
            self.step = int(f.metadata()["step"])
        tensors = read_tensors(self.state_path)

        def part(name: str) -> dict[str, Tensor]:
            return {k.removeprefix(name + "."): t for k, t in tensors.items() if k.startswith(name + ".")}

        self.learner.load_state_dict(part("learner"))
        self.average = {k: t.to(self.device) for k, t in part("average").items()}
        state: dict[int, dict[str, Tensor]] = {}
        for key, tensor in part("optimiser").items():
            number, _, what = key.partition(".")
            state.setdefault(int(number), {})[what] = tensor
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": state})
        return True

    def learning_rate(self) -> float:
        """Linear warm-up, then a half cosine to a hundredth of the peak."""
        if self.step < self.config.warmup:
            return self.config.lr * (self.step + 1) / self.config.warmup
        cosine = 0.5 + 0.5 * float(torch.cos(torch.tensor(self.step / self.config.steps * torch.pi)))
        return self.config.lr * (0.01 + 0.99 * cosine)

    def batches(self) -> Iterator[dict[str, Tensor]]:
        """Batches from the present step on."""
        config = self.config
        numbers = range(self.step * config.batch, config.steps * config.batch)
        yield from DataLoader(
            Views(self.data.train, config.size, config.seed),
            batch_size=config.batch,
            sampler=numbers,
            num_workers=config.workers,
            pin_memory=self.device.type == "cuda",
            prefetch_factor=4 if config.workers else None,
        )

    def train_step(self, raw: dict[str, Tensor]) -> dict[str, float]:
        """One step on a batch of ``Views``; returns the loss terms."""
        gen = torch.Generator(self.device).manual_seed(self.config.seed * 1_000_003 + self.step)
        looks = make_looks({k: t.to(self.device, non_blocking=True) for k, t in raw.items()}, gen)
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate()
        self.learner.train()
        terms = self.learner(looks)
        self.optimiser.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self._update_average()
        self.step += 1
        return {k: float(v.detach()) for k, v in terms.items()}

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = min(self.config.ema, (1 + self.step) / (10 + self.step))
        for key, tensor in self.learner.encoder.state_dict().items():
            if tensor.is_floating_point():
                self.average[key].lerp_(tensor, 1 - decay)
            else:
                self.average[key].copy_(tensor)

    def train(self, max_minutes: float, save_minutes: float = 5.0) -> Iterator[str]:
        """Train until the last step or for ``max_minutes``; yields a line of progress now and then.

        Raises:
            OSError: the run folder cannot be written.
        """
        (self.folder / "config.json").write_text(json.dumps(asdict(self.config), indent=1))
        begun = saved = time.monotonic()
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log:
            for raw in self.batches() if max_minutes > 0 else ():
                terms = self.train_step(raw)
                now = time.monotonic()
                if self.step % LOG_EVERY == 0:
                    record = {"step": self.step, "seconds": round(now - begun, 1), **terms}
                    log.write(json.dumps(record) + "\n")
                    log.flush()
                    shown = " ".join(f"{k} {v:.3f}" for k, v in terms.items())
                    yield f"step {self.step}/{self.config.steps} {now - begun:.0f} s: {shown}"
                if now - saved > save_minutes * 60:
                    saved = now
                    self.save()
                if now - begun > max_minutes * 60:
                    break
        self.save()
        yield f"stopped at step {self.step} of {self.config.steps}; weights in {self.weights_path}"
