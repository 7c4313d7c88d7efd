"""What is measured of StablePaint on one held-out picture: round trip, likeness under several settings, variations."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.stablepaint.pictures import draw_variations
from engine.imaging.regions.segmentation import find_regions
from engine.models.components.vae import CELL
from engine.models.stablepaint import StablePaint
from engine.pipeline import Job, JobSettings, Pipeline
from training.evaluation import metrics
from training.evaluation.measure import Facts
from training.evaluation.methods import Coloured
from training.evaluation.plan import Findings
from training.evaluation.settings import Settings
from training.evaluation.sheets import Row
from training.evaluation.tables import Rows, mean
from training.recipes.stablepaint_sheets import rebuild

DEFAULT = "default model"
GUESS, FREE = Settings(strength=0.0), Settings(4, 1.0)
FEW, SOME, MANY = (Settings(steps, 0.5) for steps in (4, 8, 50))
EVERY = (GUESS, FEW, SOME, MANY, FREE)
EXPLORING = Settings(strength=0.8)
VARIATIONS = 4
KINDS = {"colour": "", "network": ", network"}
"""The colour layer and the network's own picture, and what the names of their outputs end in."""


@dataclass
class Found:
    """What was measured.

    Attributes:
        findings: the default model and every setting on every picture.
        trips: round trips of the VAE, a row per picture.
        variations: how far variations are apart, a row per picture, number of hints and kind.
        repeated: how many pictures were coloured twice.
        different: bytes that differed between the two.
        outside: the largest difference of bytes or alpha outside a mask.
        parts: rows of the sheet of painted parts.
        speed: see ``stablepaint_speed.measure``.
    """

    findings: Findings = field(default_factory=Findings)
    trips: Rows = field(default_factory=list)
    variations: Rows = field(default_factory=list)
    repeated: int = 0
    different: int = 0
    outside: int = 0
    parts: list[Row] = field(default_factory=list)
    speed: dict[str, Any] = field(default_factory=dict)


def outputs(settings: Settings | None) -> dict[str, str]:
    """What the outputs of one setting are called, by kind; None stands for the default model."""
    name = DEFAULT if settings is None else settings.name
    return {kind: name + end for kind, end in KINDS.items()}


def make_job(facts: Facts, count: int, seed: int, variations: int = 1) -> Job:
    """The job of a picture with so many strokes."""
    hints = facts.hints(count)
    settings = JobSettings(seed=seed, variations=variations)
    return Job(facts.picture.lineart, hints if hints[..., 3].any() else None, settings=settings)


def colour_all(model: Pipeline, default: Pipeline, facts: Facts, count: int, seed: int) -> Coloured:
    """Colour a picture by the default model and under every setting; both kinds come from one sampling."""
    job = make_job(facts, count, seed)
    out: Coloured = {}
    for settings in (None, *EVERY):
        start = time.perf_counter()
        made = draw_variations(default, job) if settings is None else draw_variations(model, settings.apply(job))
        seconds = time.perf_counter() - start
        out |= {name: (pictures[0], seconds) for name, pictures in zip(outputs(settings).values(), made, strict=True)}
    return out


def measure_trip(net: StablePaint, facts: Facts) -> dict[str, Any]:
    """The VAE's round trip of a picture at its working size, cut at the bottom and right to whole cells.

    Also with the lineart multiplied over both; ``contrast`` is then the mean slope of the luma on the ink and beside
    it, relative to the original's: under 1 the lines are blurred.
    """
    h, w = (side // CELL * CELL for side in facts.picture.lineart.shape)
    truth = np.ascontiguousarray(facts.picture.original[:h, :w])
    lineart, ink = facts.picture.lineart[:h, :w], ~facts.clear[:h, :w]
    seen, everywhere = rebuild(net, truth), np.ones((h, w), np.bool_)
    pairs = {"": (seen, truth), "_lines": (metrics.with_ink(seen, lineart), metrics.with_ink(truth, lineart))}
    row: dict[str, Any] = {"picture": facts.picture.key}
    for name, (mine, theirs) in pairs.items():
        row[f"psnr{name}"] = metrics.psnr(mine, theirs)
        row[f"difference{name}"] = metrics.mean_difference(mine, theirs, everywhere)
    blurred, sharp = (float(_slope(picture)[ink].mean()) if ink.any() else 0.0 for picture in pairs["_lines"])
    row["contrast"] = blurred / sharp if sharp else float("nan")
    return row


def _slope(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Size of the gradient of an HxWx3 picture's luma, HxW."""
    down, right = np.gradient(picture @ np.array([0.299, 0.587, 0.114]))
    return np.asarray(np.hypot(down, right))


def areas(facts: Facts, hints: NDArray[np.uint8]) -> dict[str, NDArray[np.bool_]]:
    """Where variations are compared, HxW each.

    ``unhinted``: trapped-ball regions of the lineart in which no pixel off the ink has any stroke, without the ink and
    the pixels touching it. ``hinted``: the other regions, likewise. ``strokes``: pixels a stroke covers fully.
    """
    regions = find_regions(facts.picture.lineart)
    hinted = np.isin(regions, np.unique(regions[(hints[..., 3] > 0) & ~facts.picture.ink]))
    return {"unhinted": facts.clear & ~hinted, "hinted": facts.clear & hinted, "strokes": hints[..., 3] == 255}


def measure_variations(model: Pipeline, facts: Facts, count: int, seed: int) -> Rows:
    """How far ``VARIATIONS`` pictures are apart: mean CIEDE2000 over the pixels and all pairs, by area; a row per kind.

    NaN where a picture has no such area.
    """
    job = EXPLORING.apply(make_job(facts, count, seed, VARIATIONS))
    where = areas(facts, facts.hints(count))
    out = []
    for kind, made in zip(KINDS, draw_variations(model, job), strict=True):
        pairs = list(itertools.combinations(made, 2))
        apart = {name: mean(metrics.mean_difference(a, b, area) for a, b in pairs) for name, area in where.items()}
        share = float(where["unhinted"].sum() / max(1, facts.clear.sum()))
        told = {"picture": facts.picture.key, "hints": count, "kind": kind, "share_unhinted": share}
        out.append({**told, **apart})
    return out


def count_different(model: Pipeline, again: Pipeline, facts: Facts, count: int, seed: int) -> int:
    """Colour the same twice, by two loads of one file, two variations each: how many bytes differ."""
    job = EXPLORING.apply(make_job(facts, count, seed, 2))
    first, second = (
        [part for layers in pipeline.vary(job) for part in (layers.flats, layers.colour)] for pipeline in (model, again)
    )
    return sum(int((a != b).sum()) for a, b in zip(first, second, strict=True))
