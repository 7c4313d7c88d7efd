"""Training on several processes, as ``torchrun`` starts them: NCCL between GPUs, gloo between CPUs.

Every process holds all networks and makes its share of each batch; gradients are averaged, and statistics and sums of
weights are taken over the whole batch, so that the run is the one that a single process would have made.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from inspect import signature
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from engine.errors import ColorizeError
from engine.system.device import find_devices

_BROADCAST = next(
    name
    for name in ("forward_sync_buffers", "broadcast_buffers")
    if name in signature(DistributedDataParallel.__init__).parameters
)
"""What DistributedDataParallel calls its option to broadcast buffers before every pass; newer versions first."""
PATIENCE = timedelta(minutes=30)
"""How long a process waits for another, which may be writing a checkpoint or drawing sheets."""


def pick_device() -> torch.device:
    """CUDA when there is one, else the CPU."""
    return torch.device("cuda" if "cuda" in find_devices() else "cpu")


class _Sum(torch.autograd.Function):
    """Sum of all processes' tensors, whose gradient is the sum of all processes' gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004
        total = x.detach().clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Tensor:  # noqa: ARG004
        total = slopes[0].clone()
        dist.all_reduce(total)
        return total


def _sum(x: Tensor) -> Tensor:
    total: Tensor = _Sum.apply(x)  # type: ignore[no-untyped-call]
    return total


class SyncedNorm(_BatchNorm):
    """BatchNorm over the samples of all processes; torch's SyncBatchNorm, which does this, knows CUDA alone."""

    def _check_input_dim(self, _: Tensor) -> None:
        """BxC and BxCxHxW are taken alike."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise BxC or BxCxHxW; all processes have equal B, H and W."""
        if not self.training:
            usual: Tensor = super().forward(x)
            return usual
        count = x.numel() // x.shape[1] * dist.get_world_size()
        others, shape = (0, *range(2, x.ndim)), (1, -1, *[1] * (x.ndim - 2))
        mean = _sum(x.sum(others)) / count
        centred = x - mean.view(shape)
        variance = _sum((centred**2).sum(others)) / count
        with torch.no_grad():
            momentum = 0.0 if self.momentum is None else self.momentum
            if self.running_mean is not None and self.running_var is not None:
                self.running_mean.lerp_(mean, momentum)
                self.running_var.lerp_(variance * (count / max(count - 1, 1)), momentum)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
        scale = self.weight * (variance + self.eps).rsqrt()
        return centred * scale.view(shape) + self.bias.view(shape)


@dataclass(frozen=True)
class Team:
    """The processes of a run; alone by default.

    Attributes:
        rank: which one this is.
        world: how many there are.
        device: where this one computes.
        control: the group that agrees on the CPU, without waiting for a GPU; None = alone.
    """

    rank: int = 0
    world: int = 1
    device: torch.device = field(default_factory=pick_device)
    control: dist.ProcessGroup | None = None

    @property
    def leads(self) -> bool:
        """Whether this process writes, logs and draws."""
        return self.rank == 0

    def any(self, flag: bool) -> bool:
        """Whether any process says so; all must ask."""
        return self.widest(torch.tensor(float(flag))) > 0

    def widest(self, values: Tensor) -> float:
        """The greatest of all processes' values; all must ask."""
        most = values.detach().max().cpu().reshape(1)
        if self.world > 1:
            dist.all_reduce(most, dist.ReduceOp.MAX, group=self.control)
        return float(most)

    def add_up(self, values: Tensor) -> Tensor:
        """Sum of all processes' tensors on their devices; all must ask."""
        total = values.detach().clone()
        if self.world > 1:
            dist.all_reduce(total)
        return total

    def gather(self, rows: Tensor) -> Tensor:
        """All processes' rows in their order, with gradients: (world * N)xD of NxD, alike N everywhere; all must ask.

        Where every process computes the same loss of them, the averaged gradients are those of one process.
        """
        if self.world == 1:
            return rows
        before, after = self.rank * len(rows), (self.world - 1 - self.rank) * len(rows)
        return _sum(nn.functional.pad(rows, (0, 0, before, after)))

    def union(self, numbers: set[int]) -> set[int]:
        """All processes' whole numbers together; all must ask."""
        if self.world == 1:
            return numbers
        length = int(self.widest(torch.tensor(float(len(numbers)))))
        mine = torch.full((length,), -1, dtype=torch.int64)
        mine[: len(numbers)] = torch.tensor(sorted(numbers), dtype=torch.int64)
        found = [torch.empty_like(mine) for _ in range(self.world)]
        if length:
            dist.all_gather(found, mine, group=self.control)
        return {int(n) for part in found for n in part.tolist() if n >= 0}

    def check_alike(self, what: str, value: str) -> None:
        """Make sure that all processes have the same.

        Raises:
            ColorizeError: they do not.
        """
        if self.world == 1:
            return
        digest = torch.frombuffer(bytearray(hashlib.sha256(value.encode()).digest()), dtype=torch.uint8).to(torch.int64)
        low, high = digest.clone(), digest.clone()
        dist.all_reduce(low, dist.ReduceOp.MIN, group=self.control)
        dist.all_reduce(high, dist.ReduceOp.MAX, group=self.control)
        if not torch.equal(low, high):
            raise ColorizeError(
                f"process {self.rank} of {self.world} has other {what} than the rest",
                "give every node the same command, the same shards and a run folder that all of them see",
            )

    def synchronise(self, network: nn.Module) -> nn.Module:
        """Give a network BatchNorms over all processes; parameters stay the same objects."""
        if self.world == 1:
            return network
        if self.device.type == "cuda":
            together: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
            return together
        for parent in list(network.modules()):
            for name, child in parent.named_children():
                if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
                    synced = SyncedNorm(child.num_features, child.eps, child.momentum)
                    synced.load_state_dict(child.state_dict())
                    setattr(parent, name, synced)
        return network

    def parallel(self, network: nn.Module) -> nn.Module:
        """A network whose gradients are averaged over all processes."""
        if self.world == 1:
            return network
        # Statistics are alike already, and several passes go before one backward pass, which a broadcast would break.
        options: dict[str, Any] = {_BROADCAST: False}
        return DistributedDataParallel(network, **options)


def _said_by_network(error: RuntimeError) -> bool:
    """Whether an error of torch is that another process is gone; gloo's have no type of their own."""
    return isinstance(error, dist.DistError) or "gloo" in str(error) or "NCCL" in str(error)


@contextmanager
def join() -> Iterator[Team]:
    """Join the processes that ``torchrun`` started; alone where it did not.

    Raises:
        ColorizeError: there are fewer GPUs than processes, or another process ended.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Team()
        return
    device = pick_device()
    if device.type == "cuda":
        local, count = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if local >= count:
            raise ColorizeError(
                f"there are {count} GPUs on this node and more processes", f"use --nproc-per-node {count}"
            )
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    try:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
        control = dist.new_group(backend="gloo", timeout=PATIENCE)
        yield Team(dist.get_rank(), world, device, control)
    except RuntimeError as e:
        if isinstance(e, torch.cuda.OutOfMemoryError) or not _said_by_network(e):
            raise
        rank = os.environ.get("RANK", "?")
        raise ColorizeError(
            f"process {rank} of {world} lost the others: one of them ended, or the network between them did",
            "see what the others said before; go on from the last checkpoint with --resume",
        ) from e
    # After an error the group is left to the end of the process: taking it down would wait for the others.
    dist.destroy_process_group()
