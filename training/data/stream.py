"""Samples from shards too large for memory, in an order that is the same whatever the number of workers.

The shards of an epoch are shuffled, taken a window at a time, and the pictures of a window shuffled in turn: a shuffle
buffer whose order is known from (seed, epoch) alone. So sample number n can be found without reading those before it,
which is all that resuming needs; each batch belongs to one worker and one rank; and a process holds no more than a list
of the window's pictures. Shards must lie on a disk that can seek. Sets that fit in memory are faster in ``dataset``.

A picture that cannot be read gives its place to the next one of the window that can, and the sample says so in
``damaged``, which ``name_damaged`` reads; it stops nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
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
UNREADABLE = (ValueError, OSError)
"""What reading a damaged picture or shard raises."""
_ENTRIES = 1 << 32
"""More than a shard has pictures; the last number stands for those it does not tell of."""


@dataclass(frozen=True)
class ShardStream:
    """A folder of shards to be streamed: its shards, some held-out pictures, and what could not be read of those."""

    shards: list[Shard]
    held_out: list[Picture]
    digest: str
    left_out: list[str] = field(default_factory=list)

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
        ValueError: a shard is missing, or the index is too old to stream from.
    """
    index = read_index(folder)
    if limit is not None or index.megabytes <= memory_mb:
        return load_shards(folder, limit)
    held: list[Picture] = []
    left_out: list[str] = []
    for shard in index.shards:
        _per_epoch(shard)
        for entry in _list(shard):
            if is_held_out(entry.key) and len(held) < HELD_OUT_SHOWN:
                try:
                    with shard.path.open("rb") as file:
                        held.append(decode_picture(entry.key, entry.read(file)))
                except UNREADABLE as e:
                    left_out.append(f"{shard.path.name}: {entry.key} ({e})")
        if len(held) >= HELD_OUT_SHOWN:
            break
    return ShardStream(index.shards, held, index.digest, left_out)


def _list(shard: Shard) -> list[Entry]:
    """The pictures of a shard; none of a tar that is damaged."""
    try:
        return scan(shard.path)
    except UNREADABLE:
        return []


def name_damaged(data: ShardSet | ShardStream, code: int) -> str:
    """Name what a sample's ``damaged`` stands for: a picture of a shard, or the shard where all of it is."""
    if not isinstance(data, ShardStream):
        raise TypeError("pictures in memory are not damaged")
    at, entry = divmod(code - 1, _ENTRIES)
    shard = data.shards[at]
    listed = _training(_list(shard))
    return f"{shard.path.name}: {listed[entry].key}" if entry < len(listed) else f"{shard.path.name}: pictures in it"


def _training(entries: list[Entry]) -> list[Entry]:
    return [e for e in entries if not is_held_out(e.key)]


@dataclass(frozen=True)
class _Window:
    """Some shards of an epoch: their numbers, where they begin in it, and by place (which of them, entry, again)."""

    epoch: int
    begin: int
    shards: list[int]
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
    Items are those of ``Crops`` in the order ``epochs``, and ``damaged``: 0, or what could not be read in this place.

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
        chosen: list[int] = []
        for at in order:
            chosen.append(int(at))
            taken += _per_epoch(self.data.shards[at])
            if taken >= self.window:
                if place < begin + taken:
                    break
                begin, taken, number, chosen = begin + taken, 0, number + 1, []
        shards = [self.data.shards[at] for at in chosen]
        entries = [_training(_list(shard)) for shard in shards]
        files = [shard.path.open("rb") for shard in shards]
        turns = [
            (s, *turn)
            for s, (shard, listed, file) in enumerate(zip(shards, entries, files, strict=True))
            for turn in _turns(shard, listed, file)
        ]
        mixed = np.random.default_rng([self.seed, epoch, number]).permutation(len(turns))
        return _Window(epoch, begin, chosen, files, entries, np.array(turns)[mixed])

    def _make(self, window: _Window, at: int) -> dict[str, Tensor]:
        """The sample of a place, or of the next one that can be read."""
        damaged = 0
        for tried in range(len(window.turns)):
            shard, entry, again = (int(n) for n in window.turns[(at + tried) % len(window.turns)])
            try:
                if entry < 0:
                    raise ValueError("a picture that the shard does not tell of")
                listed = window.entries[shard][entry]
                picture = decode_picture(listed.key, listed.read(window.files[shard]))
            except UNREADABLE:
                # Those after the first have places of their own.
                damaged = damaged or window.shards[shard] * _ENTRIES + (entry % _ENTRIES) + 1
                continue
            made = sample(self.cutter, picture, self.seed, window.epoch, again)
            return {**made, "damaged": torch.tensor(damaged)}
        first = self.data.shards[window.shards[0]].path
        raise ValueError(f"no picture of {len(window.shards)} shards, {first} among them, can be read; pack them again")


def _turns(shard: Shard, entries: list[Entry], file: BinaryIO) -> list[tuple[int, int]]:
    """The turns of an epoch's samples of a shard: (entry, again), entry -1 for those that the shard does not tell of.

    Raises:
        ValueError: all can be read, and the index counts others.
    """
    turns: list[tuple[int, int]] = []
    whole = bool(entries)
    for number, entry in enumerate(entries):
        try:
            times = times_per_epoch(entry.weight(file))
        except (*UNREADABLE, KeyError, TypeError):
            # Its turn tells later that it cannot be read.
            times, whole = 1, False
        turns += [(number, again) for again in range(times)]
    wanted = _per_epoch(shard)
    if whole and len(turns) != wanted:
        raise ValueError(f"the index beside {shard.path} does not fit its shards; pack the data again")
    return (turns + [(-1, 0)] * (wanted - len(turns)))[:wanted]


class InOrder(Sampler[int]):
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
    on_start: Callable[[int], None] | None = None,
) -> DataLoader[dict[str, Tensor]]:
    """Load ``batches`` batches from memory or from a stream; most arguments are those of ``StreamCrops``.

    ``on_start`` is called with its number in every worker.

    A stream has no order ``weighted``: it takes every picture as often per epoch as its weight says, rounded.
    """
    common: dict[str, Any] = {
        "batch_size": batch,
        "num_workers": workers,
        "pin_memory": pin_memory,
        "prefetch_factor": 4 if workers else None,
        "worker_init_fn": on_start,
    }
    if isinstance(data, ShardStream):
        return DataLoader(StreamCrops(data, cutter, seed, batch, start, batches, rank, world), **common)
    crops = Crops(data.train, cutter.size, cutter.zoom, seed, cutter.hints, cutter.recipe)
    return DataLoader(crops, sampler=InOrder(start, batch, batches, rank, world), **common)
