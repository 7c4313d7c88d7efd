"""Samples for the region colour model from what ``pack`` packed: whole drawings, some of whose colours are known.

A sample depends on (seed, its number) alone, whatever the loader's processes do. Batches are put together from drawings
of like shape and number of regions, since all are padded to the largest.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from engine.imaging.canvas import resize_picture
from engine.imaging.color import oklab_to_srgb, srgb_to_oklab
from engine.imaging.regions.graph import RegionGraph, measure_graph, shrink_labels
from engine.models.region_transformer import CONTEXT, GUESS, STROKE, UNKNOWN, Drawings, Known, collate
from training.data.dataset import is_held_out
from training.data.shards import Entry, scan
from training.regions.pack import Drawing
from training.runs.stopping import leave_to_parent
from training.runs.threads import one_thread

WINDOW = 16
"""Batches that are put together at once from drawings of like shape."""
MULTIPLE = 16
"""The number of regions of a batch is padded to a multiple of this: torch keeps plans, and memory, for every shape."""
PURE = 0.06
"""OKLab spread of a region at which what it teaches counts half as much."""
NONE_KNOWN, ALL_KNOWN, FROM_CONTEXT = 0.25, 0.05, 0.15
"""Parts of the samples in which no region is known, nearly all are, and a contiguous part of the picture is."""
TURNED = 0.3
"""Part of the samples with known regions in which all hues are turned, so that only what is known tells them."""
AS_GUESSES = 0.25
"""Part of the samples in which some known regions count as guesses."""
CROPPED, SCALED = 0.25, 0.4


@dataclass(frozen=True)
class Item:
    """One packed picture: where it lies, how often it is to be seen, and its drawings' heights, widths and regions."""

    file: Path
    entry: Entry
    weight: float
    origin: str
    shape: tuple[int, int]
    regions: tuple[int, ...]

    def read(self, number: int) -> Drawing:
        """Read one of its drawings.

        Raises:
            ValueError: it is damaged.
        """
        found: dict[str, bytes] = {}
        with self.file.open("rb") as file:
            for part in ("line.png", "labels.png", "colours.npy"):
                offset, size = self.entry.parts[f"{number}.{part}"]
                file.seek(offset)
                found[part] = file.read(size)
        line = cv2.imdecode(np.frombuffer(found["line.png"], np.uint8), cv2.IMREAD_GRAYSCALE)
        labels = cv2.imdecode(np.frombuffer(found["labels.png"], np.uint8), cv2.IMREAD_UNCHANGED)
        if line is None or labels is None:
            raise ValueError(f"{self.entry.key} is damaged in {self.file}; pack the data again")
        values = np.load(io.BytesIO(found["colours.npy"])).astype(np.float32)
        return Drawing(np.asarray(line, np.uint8), np.asarray(labels, np.uint16), values[:, :3], values[:, 3])


@dataclass(frozen=True)
class RegionSet:
    """All packed pictures, those that are held out apart, and the digest of what they were made from."""

    train: list[Item]
    held_out: list[Item]
    digest: str

    @property
    def chances(self) -> NDArray[np.float64]:
        """How likely each picture of ``train`` is to be drawn: of a source of n pictures each counts by n^-1/2.

        By count alone the emoji would be a third of all art, and by source alone a handful of pictures would.
        """
        count = Counter(item.origin for item in self.train)
        weight = np.array([item.weight / count[item.origin] ** 0.5 for item in self.train])
        return np.asarray(weight / weight.sum(), np.float64)


def open_regions(folder: Path, limit: int | None = None) -> RegionSet:
    """List what ``training pack-regions`` packed.

    Args:
        folder: where.
        limit: take at most this many pictures (for tests and trials).

    Raises:
        FileNotFoundError: the folder holds no packed regions.
        ValueError: a file is missing or damaged.
    """
    path = folder / "index.json"
    if not path.is_file():
        raise FileNotFoundError(f"no packed regions in {folder}; make them with `training pack-regions ART {folder}`")
    index = json.loads(path.read_text(encoding="utf-8"))
    items: list[Item] = []
    for name in index["files"]:
        if limit is not None and len(items) >= limit:
            break
        if not (folder / name).is_file():
            raise ValueError(f"{folder} lacks {name}, which its index names; copy it or pack the data again")
        with (folder / name).open("rb") as file:
            items += [_item(folder / name, entry, file) for entry in scan(folder / name)]
    items = items[:limit]
    train = [i for i in items if not is_held_out(i.entry.key)]
    held = [i for i in items if is_held_out(i.entry.key)]
    if not held and len(train) > 1:
        held.append(train.pop())
    return RegionSet(train, held, index["digest"])


def _item(path: Path, entry: Entry, file: Any) -> Item:
    def part(name: str, start: int, most: int) -> bytes:
        offset, size = entry.parts[name]
        file.seek(offset + start)
        return bytes(file.read(min(size, most)))

    meta = json.loads(part("json", 0, 1 << 20))
    # Width and height stand at a fixed place of every PNG.
    width, height = (int(n) for n in np.frombuffer(part("0.line.png", 16, 8), ">u4"))
    # A row of the colours is four half-precision numbers after a header of 128 bytes.
    regions = tuple((entry.parts[f"{n}.colours.npy"][1] - 128) // 8 for n in range(meta["drawings"]))
    return Item(path, entry, float(meta["weight"]), str(meta["origin"]), (height, width), regions)


@dataclass(frozen=True)
class Sample:
    """One drawing with N regions, and what is known of it.

    Attributes:
        graph: its regions.
        colours: Nx3 OKLab, the true colours.
        weight: N, how much each region counts; 0 where it is known.
        state: N int64, see ``engine.models.region_transformer``.
        given: Nx3 OKLab, the known colours.
    """

    graph: RegionGraph
    colours: NDArray[np.float32]
    weight: NDArray[np.float32]
    state: NDArray[np.int64]
    given: NDArray[np.float32]


@dataclass(frozen=True)
class RegionBatch:
    """A batch for a step: drawings, what is known, BxNx3 OKLab truth, and BxN weights of the regions to be coloured."""

    drawings: Drawings
    known: Known
    truth: Tensor
    weight: Tensor

    def to(self, device: torch.device | str) -> RegionBatch:
        """The same batch on another device."""
        known = Known(self.known.state.to(device), self.known.colour.to(device))
        return RegionBatch(self.drawings.to(device), known, self.truth.to(device), self.weight.to(device))

    def pack(self) -> dict[str, Tensor]:
        """As plain tensors by name, as a loader's processes hand them over."""
        drawings = {f.name: getattr(self.drawings, f.name) for f in fields(Drawings)}
        return {
            **drawings,
            "state": self.known.state,
            "given": self.known.colour,
            "truth": self.truth,
            "w": self.weight,
        }

    @classmethod
    def unpack(cls, raw: dict[str, Tensor]) -> RegionBatch:
        """Undo ``pack``."""
        drawings = Drawings(*(raw[f.name] for f in fields(Drawings)))
        return cls(drawings, Known(raw["state"], raw["given"]), raw["truth"], raw["w"])


def graph_of(drawing: Drawing, most: int) -> tuple[RegionGraph, NDArray[np.float32], NDArray[np.float32]]:
    """The regions of a drawing with the true OKLab colour and the spread of each, Nx3 and N."""
    labels = drawing.labels.astype(np.int32)
    graph = measure_graph(np.divide(drawing.line, 255, dtype=np.float32), labels, most=most)
    area = np.bincount(labels.ravel(), minlength=len(graph.member))
    order = np.argsort(area, kind="stable")
    order = order[area[order] > 0]
    colours, spread = np.zeros((graph.count, 3), np.float32), np.zeros(graph.count, np.float32)
    # Of regions that are taken together the largest, which is written last, gives the colour.
    colours[graph.member[order]], spread[graph.member[order]] = drawing.colours[order], drawing.spread[order]
    return graph, colours, spread


def region_weights(
    graph: RegionGraph, spread: NDArray[np.float32], unknown: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """How much each of N regions counts: between its share of the picture and one of N; less where it is no one colour.

    Those of the ``unknown`` regions (None = all) add up to 1 in a drawing whose regions are pure, and to less in one
    whose lines are so few that its regions have no colour of their own; the others have 0.
    """
    root = np.sqrt(graph.area) * (1.0 if unknown is None else unknown)
    return np.asarray(root / max(float(root.sum()), 1e-9) / (1 + (spread / PURE) ** 2), np.float32)


def choose_known(rng: np.random.Generator, graph: RegionGraph, count: int) -> NDArray[np.bool_]:
    """Choose ``count`` regions, larger ones more likely, by the root of their area."""
    root = np.sqrt(graph.area.astype(np.float64))
    chosen = np.zeros(graph.count, np.bool_)
    # Gumbel's trick: the greatest of log-weights with noise are a draw without replacement.
    score = np.log(root) + rng.gumbel(size=graph.count)
    chosen[np.argsort(-score, kind="stable")[:count]] = True
    return chosen


def draw_states(rng: np.random.Generator, graph: RegionGraph) -> NDArray[np.int64]:
    """Draw what is known of a drawing's N regions, see the constants of the module; one at least is not."""
    n = graph.count
    state = np.full(n, UNKNOWN, np.int64)
    pick = rng.random()
    if pick < NONE_KNOWN or n < 2:
        return state
    if pick < NONE_KNOWN + ALL_KNOWN:
        state[choose_known(rng, graph, n - max(1, round(n * rng.uniform(0, 0.15))))] = STROKE
    elif pick < NONE_KNOWN + ALL_KNOWN + FROM_CONTEXT:
        angle = rng.uniform(0, 2 * np.pi)
        along = graph.geometry[:, 1] * np.cos(angle) + graph.geometry[:, 2] * np.sin(angle)
        known = along < np.quantile(along, rng.uniform(0.1, 0.9))
        state[known] = CONTEXT
        if rng.random() < 0.5:
            strokes = choose_known(rng, graph, int(np.exp(rng.uniform(0, np.log(n)))))
            state[strokes & ~known] = STROKE
    else:
        state[choose_known(rng, graph, min(n - 1, int(np.exp(rng.uniform(0, np.log(n))))))] = STROKE
    known = state != UNKNOWN
    if rng.random() < AS_GUESSES:
        state[known & (rng.random(n) < rng.uniform(0, 1))] = GUESS
    if known.all():
        state[rng.integers(n)] = UNKNOWN
    return state


def _vary_line(rng: np.random.Generator, line: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Draw with another weight, contrast and sharpness."""
    pick = rng.random()
    if pick < 0.1:
        line = np.asarray(cv2.erode(line, np.ones((2, 2), np.uint8)), np.uint8)
    elif pick < 0.2:
        line = np.asarray(cv2.GaussianBlur(line, (3, 3), 0), np.uint8)
    ink = (1 - line / np.float32(255)) ** rng.uniform(0.7, 1.4) * rng.uniform(0.6, 1.1)
    return np.asarray(np.rint((1 - np.clip(ink, 0, 1)) * 255), np.uint8)


def vary_drawing(rng: np.random.Generator, drawing: Drawing) -> Drawing:
    """Mirror, crop and scale a drawing a little, and draw it with another pen."""
    line, labels = drawing.line, drawing.labels
    if rng.random() < CROPPED:
        h, w = line.shape
        ch, cw = (max(1, round(side * rng.uniform(0.6, 1))) for side in (h, w))
        y, x = int(rng.integers(0, h - ch + 1)), int(rng.integers(0, w - cw + 1))
        line, labels = line[y : y + ch, x : x + cw], labels[y : y + ch, x : x + cw]
    if rng.random() < SCALED:
        scale = rng.uniform(0.8, 1.1)
        h, w = (max(8, round(side * scale)) for side in line.shape)
        line = resize_picture(np.ascontiguousarray(line), h, w)
        labels = shrink_labels(np.ascontiguousarray(labels).astype(np.int32), h, w).astype(np.uint16)
    if rng.random() < 0.5:
        line, labels = line[:, ::-1], labels[:, ::-1]
    line = _vary_line(rng, np.ascontiguousarray(line))
    return Drawing(line, np.ascontiguousarray(labels), drawing.colours, drawing.spread)


def vary_colours(rng: np.random.Generator, lab: NDArray[np.float32], *, turned: bool) -> NDArray[np.float32]:
    """Change Nx3 OKLab a little in lightness and chroma, all alike, and turn all hues by one angle where ``turned``."""
    out = lab.copy()
    out[:, 0] = out[:, 0] * rng.uniform(0.96, 1.03) + rng.uniform(-0.02, 0.02)
    out[:, 1:] *= rng.uniform(0.85, 1.15)
    if turned:
        angle = rng.uniform(0.3, 2 * np.pi - 0.3)
        cos, sin = np.cos(angle), np.sin(angle)
        out[:, 1:] = out[:, 1:] @ np.array([[cos, sin], [-sin, cos]], np.float32)
    # What no screen can show is no colour to learn.
    return srgb_to_oklab(oklab_to_srgb(out.astype(np.float32)))


def make_sample(rng: np.random.Generator, drawing: Drawing, most: int) -> Sample:
    """Draw a training sample of a drawing with at most ``most`` regions."""
    graph, colours, spread = graph_of(vary_drawing(rng, drawing), most)
    state = draw_states(rng, graph)
    known = state != UNKNOWN
    colours = vary_colours(rng, colours, turned=bool(known.any() and rng.random() < TURNED))
    given = colours + rng.normal(0, 0.01, colours.shape).astype(np.float32) * (state == GUESS)[:, None]
    weight = region_weights(graph, spread, ~known)
    return Sample(graph, colours, weight, state, (given * known[:, None]).astype(np.float32))


def stack(samples: list[Sample]) -> RegionBatch:
    """Put samples together, padded."""
    drawings = collate([s.graph for s in samples], MULTIPLE)
    b, n = drawings.valid.shape
    state, given = np.full((b, n), UNKNOWN, np.int64), np.zeros((b, n, 3), np.float32)
    truth, weight = np.zeros((b, n, 3), np.float32), np.zeros((b, n), np.float32)
    for number, s in enumerate(samples):
        row = (number, slice(s.graph.count))
        state[row], given[row], truth[row], weight[row] = s.state, s.given, s.colours, s.weight
    known = Known(torch.from_numpy(state), torch.from_numpy(given))
    return RegionBatch(drawings, known, torch.from_numpy(truth), torch.from_numpy(weight))


class RegionBatches(Dataset[dict[str, Tensor]]):
    """Batches by number, one process's share of each.

    Args:
        data: what was packed.
        seed: of the run.
        batch: samples of a batch over all processes.
        most: regions of a drawing.
        rank, world: this process, and how many there are.
    """

    def __init__(self, data: RegionSet, seed: int, batch: int, most: int, rank: int = 0, world: int = 1) -> None:
        self.data, self.seed, self.batch, self.most, self.rank, self.world = data, seed, batch, most, rank, world
        self.edges = np.cumsum(data.chances)
        self.window: tuple[int, list[tuple[int, int]]] | None = None

    def _drawn(self, window: int) -> list[tuple[int, int]]:
        """Pictures and drawings of a window, those of like shape and then of like number of regions together."""
        if self.window is None or self.window[0] != window:
            rng = np.random.default_rng([self.seed, window, 0])
            items = self.data.train
            places = rng.random(WINDOW * self.batch)
            pictures = np.minimum(np.searchsorted(self.edges, places), len(items) - 1)
            drawn = [(int(p), int(rng.integers(len(items[p].regions)))) for p in pictures]
            drawn.sort(key=lambda d: items[d[0]].shape[1] / items[d[0]].shape[0])
            wide = 4 * self.batch
            runs = [drawn[i : i + wide] for i in range(0, len(drawn), wide)]
            drawn = [d for run in runs for d in sorted(run, key=lambda d: items[d[0]].regions[d[1]])]
            batches = [drawn[i : i + self.batch] for i in range(0, len(drawn), self.batch)]
            self.window = window, [d for number in rng.permutation(WINDOW) for d in batches[number]]
        return self.window[1]

    def __len__(self) -> int:
        return 1 << 40

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        """Make batch ``number`` as ``RegionBatch.pack`` does."""
        drawn = self._drawn(number // WINDOW)
        samples = []
        for place in range(self.rank, self.batch, self.world):
            picture, drawing = drawn[number % WINDOW * self.batch + place]
            rng = np.random.default_rng([self.seed, number * self.batch + place, 1])
            samples.append(make_sample(rng, self.data.train[picture].read(drawing), self.most))
        return stack(samples).pack()


def load_batches(batches: RegionBatches, start: int, stop: int, workers: int) -> Iterator[dict[str, Tensor]]:
    """Make the batches from number ``start`` to before ``stop`` in so many processes of their own."""
    loader: DataLoader[dict[str, Tensor]] = DataLoader(
        batches,
        batch_size=None,
        sampler=range(start, stop),
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        worker_init_fn=leave_to_parent,
    )
    with one_thread():
        made = iter(loader)
    yield from made
