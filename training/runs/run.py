"""One training run in one folder, whatever is learnt: networks, optimisers, averages, resumable state, log, weights.

A recipe says what is in a batch (``batches``, ``parts``), what a step on it is (``optimise``), how good the network is
on held-out data (``held_out``), and how finished weights are written (``write_weights``).
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from engine.errors import ColorizeError
from engine.models.checkpoint import read_tensors
from training.runs.averages import Averages, Weights
from training.runs.checkpoints import KEEP, Checkpoints, State, pack_tensors, unpack_tensors
from training.runs.config import Phase, TrainConfig, check_shares, parts_of
from training.runs.distributed import SyncedNorm, Team
from training.runs.finiteness import LARGEST_HALF, Finiteness, not_finite
from training.runs.folder import check_settings, git_revision, settings
from training.runs.loop import LOG_EVERY, Show, train
from training.runs.schedule import trapezoid

Raw = dict[str, Tensor]
"""A batch as a loader gives it: tensors of equally many samples."""
P = TypeVar("P")
"""A part of a batch, ready for the networks."""


def rows_of(raw: Raw) -> int:
    """Samples of a batch."""
    return len(next(iter(raw.values())))


class Run(ABC, Generic[P]):
    """One training run in one folder: state, loop and files.

    Args:
        folder: of the run.
        net: what is trained, made after ``torch.manual_seed(config.seed)``.
        config: what decides it.
        about: what it learns from, for the settings; ``digest`` among it.
        averaged: the part of ``net`` whose averages are kept; all of it by default.
        team: the processes that share it.
        keep: checkpoints to keep.

    Attributes:
        net: the network that is trained.
        averages: its averaged weights.
        networks: everything that is trained, by the name its state is kept under; ``net`` among them.
        optimisers: by name; fused, because they are told on the device to skip a step.
        step: optimiser steps so far, skipped ones too.
        samples: samples seen so far by all processes.
        seconds: spent in training so far.
        left_out: what could not be read of the data.
        written: the finished weights of the last ``save``.
        in_parts: whether a batch may be computed in parts.
    """

    in_parts = True

    def __init__(
        self,
        folder: Path,
        net: nn.Module,
        config: TrainConfig,
        about: dict[str, Any],
        *,
        averaged: nn.Module | None = None,
        team: Team | None = None,
        keep: int = KEEP,
    ) -> None:
        self.folder, self.team, self.config, self.about = folder, team or Team(), config, about
        self.device = self.team.device
        check_shares(config, self.team.world)
        self.net = self.team.synchronise(net).to(self.device)
        self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averages = Averages(averaged or self.net, config.averages)
        self.networks: dict[str, nn.Module] = {"net": self.net}
        self.optimisers: dict[str, torch.optim.Optimizer] = {}
        self.finiteness = Finiteness(self.networks, self.device)
        self.checkpoints = Checkpoints(folder, keep)
        self.step = 0
        self.samples = 0
        self.seconds = 0.0
        self.left_out: list[str] = []
        self.measured: dict[float, dict[str, float]] = {}
        self.written: Weights = self.averages.best
        self._shared: dict[str, nn.Module] = {}
        folder.mkdir(parents=True, exist_ok=True)
        self.team.check_alike("shards or options", settings(self.config, self.about))

    # --- what a recipe gives -----------------------------------------------------------------------------------------

    @abstractmethod
    def batches(self, phase: Phase) -> Iterator[Raw]:
        """This process's share of the batches of one phase from the present step on."""

    @abstractmethod
    def parts(self, raw: Raw, count: int) -> list[P]:
        """Finish this process's share of a batch on the device and split it into ``count`` parts."""

    @abstractmethod
    def optimise(self, parts: Sequence[P]) -> dict[str, Tensor]:
        """Do one step on all networks with a batch in parts; returns the terms of the losses for the log."""

    @abstractmethod
    def held_out(self) -> dict[str, float]:
        """How good the network is as it stands, on the same held-out data each time: ``loss``, and more numbers.

        It is asked of one process, in evaluation mode and without gradients. Empty where nothing is held out.
        """

    @abstractmethod
    def write_weights(self, path: Path, weights: Weights, metadata: dict[str, str]) -> None:
        """Write finished weights, atomically."""

    def sheets(self, *, last: bool) -> None:
        """Write pictures that show how ``written`` does, after the ``last`` step more than on the way.

        It is asked of one process.
        """

    def before_step(self) -> None:
        """Change what a step must find changed."""

    def finished(self, weights: Weights) -> Weights:
        """What to write of averaged weights; they may be loaded for it, see ``lent``."""
        return weights

    def adapt(self, tensors: Weights) -> Weights:
        """Make weights of a related architecture fit this one."""
        return tensors

    def span(self) -> tuple[int, int, float]:
        """The first step of the stretch in which the learning rate rises and falls once, its end, and its peak."""
        return 0, self.config.steps, self.config.lr

    def refuse_extension(self) -> str:
        """Why the run cannot be made longer, or nothing."""
        return ""

    def name_damaged(self, code: int) -> str:
        """Name what a batch's ``damaged`` stands for."""
        raise NotImplementedError(f"these samples do not say what is damaged ({code})")

    # --- state -------------------------------------------------------------------------------------------------------

    @property
    def progress(self) -> float:
        """Part of the run that is done, in [0, 1]."""
        return self.step / self.config.steps

    def phase(self) -> Phase:
        """The phase the next step belongs to."""
        phases = self.config.scaled_phases
        return next((p for p in phases if self.progress < p.until), phases[-1])

    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        first, end, peak = self.span()
        return peak * trapezoid(self.step - first, end - first, self.config.warmup, self.config.warmdown)

    def shared(self, name: str) -> nn.Module:
        """A network as it is called where its own gradients are wanted: they are averaged over all processes."""
        if name not in self._shared:
            self._shared[name] = self.team.parallel(self.networks[name])
            if name == "net" and self.config.compile:
                self._shared[name] = torch.compile(self._shared[name])  # type: ignore[assignment]
        return self._shared[name]

    @contextmanager
    def lent(self, weights: Weights) -> Iterator[None]:
        """While it is entered, the averaged part of the network has other weights, without gradients."""
        network = self.averages.network
        kept = {k: t.clone() for k, t in network.state_dict().items()}
        with torch.no_grad():
            network.load_state_dict(weights)
            self.net.eval()
            try:
                yield
            finally:
                network.load_state_dict(kept)

    def measure(self) -> dict[str, float]:
        """Measure every average on held-out data and choose the best; returns numbers for the log.

        One process measures; all must ask, so that all choose alike.
        """
        widths = list(self.averages.tensors)
        if self.team.leads:
            self.measured = {}
            for width, weights in self.averages.tensors.items():
                with self.lent(weights):
                    self.measured[width] = self.held_out()
            self.averages.choose({w: found.get("loss", math.inf) for w, found in self.measured.items()})
        chosen = widths.index(self.averages.chosen) if self.team.leads else 0
        self.averages.chosen = widths[int(self.team.widest(torch.tensor(float(chosen))))]
        return {f"held_out/{name}/{w}": v for w, found in self.measured.items() for name, v in found.items()}

    def save(self) -> dict[str, float]:
        """Measure, then write the resumable state and the best averaged weights, atomically; one process does for all.

        Returns:
            What was measured, for the log.

        Raises:
            ColorizeError: there is no room, the folder cannot be written, or a number is not finite; the files of
                before are left as they are.
        """
        self.finiteness.check(self.step)
        numbers = self.measure()
        if not self.team.leads:
            return numbers
        values = {"samples": str(self.samples), "seconds": repr(self.seconds)}
        values |= {"updates": str(self.averages.count), "skipped": str(self.finiteness.skipped)}
        values["settings"] = settings(self.config, self.about)
        tensors = pack_tensors(self.networks, self.optimisers, self.averages.tensors)
        weights = self.written = self.finished(self.averages.best)
        self._refuse_broken(not_finite(tensors) or not_finite(weights, LARGEST_HALF))
        self.checkpoints.write(self.step, State(tensors, values))
        path = self.folder / "weights.safetensors"
        with self.checkpoints.written(path.name):
            self.write_weights(path, weights, self.metadata())
        return numbers

    def _refuse_broken(self, broken: list[str]) -> None:
        losses = [found["loss"] for found in self.measured.values() if "loss" in found]
        if losses and not any(map(math.isfinite, losses)):
            broken = [*broken, "the held-out loss"]
        if broken:
            raise ColorizeError(
                f"{broken[0]} is not a finite number at step {self.step}; weights and checkpoints of before are kept",
                "go on from the last checkpoint with --resume; where it comes again, begin anew with a lower --lr",
            )

    def metadata(self) -> dict[str, str]:
        """What a reader of the weights may know."""
        seen: dict[str, Any] = {"step": self.step, "samples": self.samples, "device": self.device.type}
        seen |= {"average": self.averages.chosen, "held_out": self.measured.get(self.averages.chosen, {})}
        return {
            "training_data": self.about["digest"],
            "licence": "CC-BY-SA-4.0",
            "git_revision": git_revision(),
            "training": json.dumps(seen),
        }

    def resume(self) -> list[str]:
        """Load the newest whole state of an interrupted run; returns what there is to say, nothing where there is none.

        Raises:
            ColorizeError: the run was begun with other settings, or no checkpoint is whole.
        """
        state, damaged = self.checkpoints.read_newest()
        self.team.check_alike("checkpoints", "none" if state is None else state.values["step"])
        if state is None:
            return []
        said = check_settings(self.folder, state.values["settings"], self.config, self.about, self.refuse_extension())
        self.step, self.samples = int(state.values["step"]), int(state.values["samples"])
        self.seconds = float(state.values["seconds"])
        self.averages.count = int(state.values["updates"])
        self.finiteness.skipped = int(state.values["skipped"])
        unpack_tensors(state.tensors, self.networks, self.optimisers, self.averages.tensors)
        return [*damaged, *said, f"resumed at step {self.step}"]

    def start_from(self, weights: Path) -> None:
        """Start a new run from finished weights of the same configuration.

        Raises:
            ColorizeError: the file cannot be read.
            ValueError: it is of another configuration.
        """
        tensors = self.adapt({k: t.float() if t.is_floating_point() else t for k, t in read_tensors(weights).items()})
        try:
            self.averages.network.load_state_dict(tensors)
        except RuntimeError as e:
            raise ValueError(f"{weights} does not fit this configuration") from e
        self.averages.restart()

    # --- steps -------------------------------------------------------------------------------------------------------

    def train_step(self, raw: Raw) -> dict[str, float]:
        """One step on this process's share of a batch; returns the loss terms now and then.

        Where a loss or a gradient is not finite the networks stay as they were.

        Raises:
            ColorizeError: too many steps had to be skipped.
        """
        rows = rows_of(raw)
        parts = self.parts(raw, parts_of(rows, self.config.accumulate))
        self.before_step()
        self.finiteness.begin()
        rate = self.learning_rate()
        for group in self.optimisers["optimiser"].param_groups:
            group["lr"] = rate
        self.net.train()
        terms = self.optimise(parts)
        self.finiteness.end()
        self.averages.update()
        self.step += 1
        self.samples += rows * self.team.world
        if self.step % LOG_EVERY:
            return {}
        self.finiteness.check(self.step)
        values = self.team.add_up(torch.stack(list(terms.values()))) / self.team.world
        return dict(zip(terms, values.tolist(), strict=True))

    def rehearse(self, raw: Raw, count: int) -> None:
        """Do a step in ``count`` parts in this process alone, to see whether it fits; it spoils the networks."""
        self.team = Team(device=self.device)
        self._shared = dict(self.networks)
        # Statistics over all processes cannot be taken by one.
        self.net.train(not any(isinstance(m, SyncedNorm | nn.SyncBatchNorm) for m in self.net.modules()))
        self.optimise(self.parts(raw, count))

    def descend(
        self,
        name: str,
        parts: Sequence[P],
        loss: Callable[[P], tuple[Tensor, dict[str, Tensor]]],
        *,
        clip: float = 0.0,
    ) -> dict[str, Tensor]:
        """One step of an optimiser on the mean loss of all parts, unless loss or gradient is not finite.

        Args:
            name: of the optimiser; ``X_optimiser`` is the network X's.
            parts: of the batch.
            loss: of a part, with its terms.
            clip: the greatest norm of the gradient, 0 = any.

        Returns:
            The mean terms.
        """
        optimiser = self.optimisers[name]
        network = "net" if name == "optimiser" else name.removesuffix("_optimiser")
        optimiser.zero_grad(set_to_none=True)
        means: dict[str, Tensor] = {}
        total = torch.zeros((), device=self.device)
        for number, part in enumerate(parts, 1):
            with self._averaging(network, number == len(parts)):
                value, terms = loss(part)
                (value / len(parts)).backward()  # type: ignore[no-untyped-call]
            total = total + value.detach()
            means = {k: means.get(k, 0) + t.detach() / len(parts) for k, t in terms.items()}
        weights = [p for group in optimiser.param_groups for p in group["params"]]
        norm = nn.utils.clip_grad_norm_(weights, clip or math.inf)
        bad = 1 - (norm.isfinite() & total.isfinite()).float()
        if self.team.world > 1:
            bad = self.team.add_up(bad).clamp(max=1)
        self.finiteness.see(bad)
        # What GradScaler tells a fused optimiser: with 1 it leaves weights, moments and its count of steps alone.
        optimiser.found_inf = bad  # type: ignore[attr-defined]
        optimiser.step()
        return means

    def precision(self) -> torch.autocast:
        """In which networks compute their forward pass: bfloat16 where the settings say so."""
        return torch.autocast(self.device.type, torch.bfloat16, self.config.bf16)

    def _averaging(self, network: str, now: bool) -> AbstractContextManager[Any]:
        """Average gradients over all processes ``now``, or let them add up first."""
        shared = self.shared(network)
        shared = getattr(shared, "_orig_mod", shared)
        return shared.no_sync() if isinstance(shared, DistributedDataParallel) and not now else nullcontext()

    def train(self, max_minutes: float, save_minutes: float = 5.0, show: Show | None = None) -> Iterator[str]:
        """Train until the last step, for ``max_minutes``, or until SIGINT or SIGTERM; yields what there is to say.

        Args:
            max_minutes: the longest.
            save_minutes: between two checkpoints.
            show: is called after every step with how far it is.

        Raises:
            OSError: the run folder cannot be written.
            ColorizeError: a checkpoint cannot be written, the batch does not fit the GPU, too many steps had to be
                skipped, or another process ended.
        """
        yield from train(self, max_minutes, save_minutes, show)
