"""Measures every output of a method on one picture: one row of numbers each, and what sets and sheets need later."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from engine.imaging.files.reading import Lineart
from engine.imaging.files.writing import compose
from engine.pipeline import Job, JobSettings, Pipeline
from training.evaluation import metrics
from training.evaluation.catalogue import METRICS, Outcome
from training.evaluation.features import Eye, inception_eye, own_eye
from training.evaluation.heldout import Picture
from training.evaluation.methods import Coloured, Pixels
from training.evaluation.networks import Lpips, load_lpips
from training.evaluation.settings import Settings
from training.evaluation.sheets import over_lineart, small
from training.evaluation.statistics import in_steps

Row = dict[str, Any]
Counted = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Values and how often each occurs."""
MASKED_HINTS = 16


@dataclass(frozen=True)
class Judges:
    """Which judges beyond the plain numbers look at a result; paths, so that every process can load its own.

    Attributes:
        likeness: PSNR and MS-SSIM of the whole picture with its ink.
        own: see ``features.own_eye``; None = no features of our own.
        inception: Inception weights, None = no FID.
        lpips: LPIPS weights, None = no LPIPS.
    """

    likeness: bool = True
    own: str | None = None
    inception: Path | None = None
    lpips: Path | None = None


class Panel:
    """The judges, loaded."""

    def __init__(self, judges: Judges, device: str = "cpu") -> None:
        self.likeness = judges.likeness
        self.device = device
        self.eyes: dict[str, Eye] = {}
        if judges.own is not None:
            self.eyes["own"] = own_eye(judges.own, device)
        if judges.inception is not None:
            self.eyes["inception"] = inception_eye(judges.inception, device)
        self.lpips: Lpips | None = load_lpips(judges.lpips).to(device) if judges.lpips is not None else None

    def perceptual(self, seen: Pixels, original: Pixels) -> float | None:
        """LPIPS of one finished HxWx3 picture against its original; None without LPIPS."""
        if self.lpips is None:
            return None
        pair = (torch.from_numpy(np.array(p)).to(self.device).permute(2, 0, 1)[None] for p in (seen, original))
        with torch.inference_mode():
            return float(self.lpips(*(t.float() / 127.5 - 1 for t in pair))[0])

    def features(self, seen: Pixels) -> dict[str, NDArray[np.float32]]:
        """Features of one finished HxWx3 picture by the eye that saw them."""
        return {name: eye(seen) for name, eye in self.eyes.items()}


@dataclass
class Measured:
    """All outputs of one method on one picture with one number of hints.

    Attributes:
        rows: one per output.
        strokes: CIEDE2000 of stroke pixels by output, as steps of ``Spread`` and how often each occurs.
        features: by output and eye.
        cells: small pictures for the sheets by output; empty when the picture is not shown.
    """

    rows: list[Row] = field(default_factory=list)
    strokes: dict[str, Counted] = field(default_factory=dict)
    features: dict[tuple[str, str], NDArray[np.float32]] = field(default_factory=dict)
    cells: dict[str, Pixels] = field(default_factory=dict)


class Facts:
    """What is known of a picture before any method has seen it."""

    def __init__(self, picture: Picture, seed: int) -> None:
        self.picture, self.seed = picture, seed
        self.clear = metrics.clear_of_ink(picture.ink)
        self.near = metrics.near_line(picture.ink)
        self._hints: dict[int, Pixels] = {}

    @cached_property
    def neighbours(self) -> NDArray[np.int32]:
        """The label across the line for every pixel near one."""
        return metrics.neighbour_labels(self.picture.labels, self.near, metrics.window_across(self.picture.ink))

    @cached_property
    def chroma(self) -> float:
        """Mean chroma of the original."""
        return metrics.mean_chroma(self.picture.original, self.clear)

    def hints(self, count: int) -> Pixels:
        """The strokes every method gets, HxWx4."""
        if count not in self._hints:
            self._hints[count] = self.picture.draw_hints(self.seed, count)
        return self._hints[count]

    def cells(self, count: int) -> list[Pixels]:
        """What a row of a sheet begins with: lineart with strokes, and the original."""
        picture = self.picture
        return [small(over_lineart(picture.lineart, self.hints(count))), small(picture.original)]


def judge(facts: Facts, count: int, coloured: Coloured, panel: Panel, *, show: bool = False) -> Measured:
    """Measure what a method made of one picture.

    Args:
        facts: of the picture.
        count: number of strokes it got, or ``heldout.FULL``.
        coloured: the method's outputs.
        panel: looks at the results.
        show: keep small pictures for the sheets.
    """
    picture, out = facts.picture, Measured()
    told: Row = {"picture": picture.key, "group": picture.group, "drawn_lineart": picture.drawn, "hints": count}
    for output, (result, seconds) in coloured.items():
        outcome = Outcome(facts, count, panel, result, seconds)
        numbers = {name: getattr(outcome, name)() for name in METRICS}
        known = {name: value for name, value in numbers.items() if value is not None}
        out.rows.append({**told, "method": output, **known, "chroma_original": facts.chroma})
        out.strokes[output] = np.unique(in_steps(outcome.strokes), return_counts=True)
        out.features |= {(output, eye): found for eye, found in panel.features(outcome.seen).items()}
        if show:
            out.cells[output] = small(outcome.seen)
    return out


def measure_masked(
    picture: Picture, seed: int, pipeline: Pipeline, size: int | None = None, settings: Settings | None = None
) -> Row:
    """Colour inside a mask over the finished original and look at every byte that must not change."""
    mask = picture.draw_mask(seed)
    hints = picture.draw_hints(seed, MASKED_HINTS, mask)
    context = np.dstack([picture.original, np.full_like(mask, 255)])
    job = Job(picture.lineart, hints, mask, context, JobSettings(size=size))
    layers = pipeline.run(job if settings is None else settings.apply(job))
    ink = np.zeros((*mask.shape, 4), np.uint8)
    ink[..., 3] = np.rint((1 - picture.lineart) * 255)
    ready = compose(layers.colour, Lineart(picture.lineart, ink), context)
    alphas = [layer[..., 3] for layer in (layers.flats, layers.shading, layers.colour)]
    inside = [layers.flats[..., 3], layers.colour[..., 3]]
    return {
        "picture": picture.key,
        "share": float((mask > 0).mean()),
        "byte_difference": metrics.outside_difference(ready[..., :3], picture.original, mask),
        "alpha_outside": max(int(a[mask == 0].max()) for a in alphas),
        "alpha_inside": max(int(np.abs(a.astype(np.int16) - mask)[mask > 0].max()) for a in inside),
    }
