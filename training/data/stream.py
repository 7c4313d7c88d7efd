"""Samples from shards too large for memory, in an order that is the same whatever the number of workers.

The shards of an epoch are shuffled, taken a window at a time, and the pictures of a window shuffled in turn: a shuffle
buffer whose order is known from (seed, epoch) alone. So sample number n can be found without reading those before it,
which is all that resuming needs; each batch belongs to one worker and one rank; and a process holds no more than a list
of the window's pictures. Shards must lie on a disk that can seek. Sets that fit in memory are faster in ``dataset``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, Sampler, get_worker_info

from training.data.dataset import (
    Crops,
    Cutter,
    Picture,
    ShardSet,
    decode_picture,
    is_held_out,
    load_shards,
    sample,
    times_per_epoch,
)
from training.data.shards import Entry, Shard, read_index, scan

WINDOW = 8_192
"""Samples that are shuffled among each other; about 24 shards of the default size."""
MEMORY_MB = 8_000.0
"""Sets that take more than this when decoded are streamed."""
HELD_OUT_SHOWN = 64


@dataclass(frozen=True)
class ShardStream:
    """A folder of shards to be streamed: its shards, some held-out pictures, and the data's digest."""

    shards: list[Shard]
    held_out: list[Picture]
    digest: str

    @property
    def epoch_length(self) -> int:
        """Samples in one epoch."""
        return sum(_per_epoch(s) for s in self.shards)


def _per_epoch(shard: Shard) -> int:
    if shard.per_epoch is None:
        raise ValueError(f"the index beside {shard.path} is of an older version; pack the data again to stream it")
    return shard.per_epoch


def open_shards(folder: Path, limit: int | None = None, memory_mb: float = MEMORY_MB) -> ShardSet | ShardStream:
    """Open a folder of shards in memory, or as a stream when its pictures take more than ``memory_mb``.

    Args:
        folder: where ``training pack`` wrote them.
        limit: read at most this many pictures, always into memory (for tests and trials).
        memory_mb: most megabytes the decoded pictures may take.

    Raises:
        FileNotFoundError: the folder holds no shards.
        ValueError: a member is damaged, or the index is too old to stream from.
    """
    index = read_index(folder)
    if limit is not None or index.megabytes <= memory_mb:
        return load_shards(folder, limit)
    held: list[Picture] = []
    for shard in index.shards:
        _per_epoch(shard)
        with shard.path.open("rb") as file:
            held += [decode_picture(e.key, e.read(file)) for e in scan(shard.path) if is_held_out(e.key)]
        if len(held) >= HELD_OUT_SHOWN:
            break
    return ShardStream(index.shards, held[:HELD_OUT_SHOWN], index.digest)


@dataclass(frozen=True)
class _Window:
    """Some shards of an epoch: where they begin in it, and for every place in them (shard, entry, again)."""

    epoch: int
    begin: int
    files: list[Any]
    entries: list[list[Entry]]
    turns: NDArray[np.int64]


def _numbers(start: int, g: int, batch: int, rank: int, world: int) -> range:
    """Numbers of the samples in batch g of a rank."""
    begin = start + (g * world + rank) * batch
    return range(begin, begin + batch)


class StreamCrops(IterableDataset[dict[str, Tensor]]):
    """Samples of ``batches`` batches of a rank, from sample number ``start`` of the whole run on.

    A ``DataLoader`` over it needs the same ``batch`` as its ``batch_size``. Batch g of all ranks together is the
    samples from ``start + g * batch * world`` on, the first ``batch`` of them for rank 0; worker w of W makes every
    W-th batch.
    Items are those of ``Crops`` in the order ``epochs``.

    Args:
        data: what to stream.
        cutter: what to make of a picture.
        seed: of the run.
        batch: samples of one batch of one rank.
        start: samples that all ranks together have seen.
        batches: how many to make.
        rank: which process this is,
        world: of how many.
        window: samples that are shuffled among each other, rounded up to whole shards.
    """

    def __init__(
        self,
        data: ShardStream,
        cutter: Cutter,
        seed: int,
        batch: int,
        start: int,
        batches: int,
        rank: int = 0,
        world: int = 1,
        window: int = WINDOW,
    ) -> None:
        self.data, self.cutter, self.seed = data, cutter, seed
        self.batch, self.start, self.batches = batch, start, batches
        self.rank, self.world, self.window = rank, world, window
        self.length = data.epoch_length
        if self.length == 0:
            raise ValueError("the shards hold nothing to train on; pack more pictures")

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        worker = get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        opened: _Window | None = None
        try:
            for g in range(first, self.batches, step):
                for number in _numbers(self.start, g, self.batch, self.rank, self.world):
                    epoch, place = divmod(number, self.length)
                    if opened is None or not self._holds(opened, epoch, place):
                        self._close(opened)
                        opened = self._open(epoch, place)
                    yield self._make(opened, place - opened.begin)
        finally:
            self._close(opened)

    @staticmethod
    def _holds(window: _Window, epoch: int, place: int) -> bool:
        return window.epoch == epoch and 0 <= place - window.begin < len(window.turns)

    @staticmethod
    def _close(window: _Window | None) -> None:
        for file in window.files if window else []:
            file.close()

    def _open(self, epoch: int, place: int) -> _Window:
        """Find the window of a place in an epoch and list its pictures."""
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.data.shards))
        begin, taken, number = 0, 0, 0
        chosen: list[Shard] = []
        for at in order:
            chosen.append(self.data.shards[at])
            taken += _per_epoch(chosen[-1])
            if taken >= self.window:
                if place < begin + taken:
                    break
                begin, taken, number, chosen = begin + taken, 0, number + 1, []
        entries = [[e for e in scan(s.path) if not is_held_out(e.key)] for s in chosen]
        files = [s.path.open("rb") for s in chosen]
        turns = [
            (s, e, again)
            for s, listed in enumerate(entries)
            for e, entry in enumerate(listed)
            for again in range(times_per_epoch(entry.weight(files[s])))
        ]
        if len(turns) != taken:
            raise ValueError(f"the index beside {chosen[0].path} does not fit its shards; pack the data again")
        mixed = np.random.default_rng([self.seed, epoch, number]).permutation(len(turns))
        return _Window(epoch, begin, files, entries, np.array(turns)[mixed])

    def _make(self, window: _Window, at: int) -> dict[str, Tensor]:
        shard, entry, again = (int(n) for n in window.turns[at])
        listed = window.entries[shard][entry]
        picture = decode_picture(listed.key, listed.read(window.files[shard]))
        return sample(self.cutter, picture, self.seed, window.epoch, again)


class _InOrder(Sampler[int]):
    """Numbers of the samples of a rank, in order."""

    def __init__(self, start: int, batch: int, batches: int, rank: int, world: int) -> None:
        self.start, self.batch, self.batches, self.rank, self.world = start, batch, batches, rank, world

    def __iter__(self) -> Iterator[int]:
        for g in range(self.batches):
            yield from _numbers(self.start, g, self.batch, self.rank, self.world)

    def __len__(self) -> int:
        return self.batch * self.batches


def make_loader(
    data: ShardSet | ShardStream,
    cutter: Cutter,
    seed: int,
    batch: int,
    start: int,
    batches: int,
    rank: int = 0,
    world: int = 1,
    workers: int = 0,
    pin_memory: bool = False,
) -> DataLoader[dict[str, Tensor]]:
    """Load ``batches`` batches from memory or from a stream; the arguments are those of ``StreamCrops``.

    A stream has no order ``weighted``: it takes every picture as often per epoch as its weight says, rounded.
    """
    common: dict[str, Any] = {
        "batch_size": batch,
        "num_workers": workers,
        "pin_memory": pin_memory,
        "prefetch_factor": 4 if workers else None,
    }
    if isinstance(data, ShardStream):
        return DataLoader(StreamCrops(data, cutter, seed, batch, start, batches, rank, world), **common)
    crops = Crops(data.train, cutter.size, cutter.zoom, seed, cutter.hints, cutter.recipe)
    return DataLoader(crops, sampler=_InOrder(start, batch, batches, rank, world), **common)
