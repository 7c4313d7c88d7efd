"""Every number that is taken of a result, declared once: measure, tables, report, JSON and docs take it from here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from training.evaluation import metrics

if TYPE_CHECKING:
    from training.evaluation.measure import Facts, Panel

Place = Literal["likeness", "hints", "pairs", "changes"]
"""Parts of a report: the two tables of means, the differences between two methods, and those between settings."""
Pixels = NDArray[np.uint8]
Compute = TypeVar("Compute", bound=Callable[["Outcome"], "float | None"])


@dataclass(frozen=True)
class Metric:
    """A number of one result.

    Attributes:
        name: key in rows and JSON, and the method of ``Outcome`` that computes it; None where its judge is not there.
        meaning: one line for the report and docs/training-evaluate.md.
        title: head of its column.
        unit: what it is counted in; empty for a plain number.
        better: -1 when smaller is better, 1 when greater is, 0 when every change is for the worse.
        shown: where in the report.
        digits: after the point.
        form: format of a cell.
        interval: its mean is shown with a bootstrap interval.
        pooled: its column is this percentile over the stroke pixels of all pictures, not the mean of the pictures'.
        against: its column is the ratio of its mean to that of this other number of the rows.
    """

    name: str
    meaning: str
    title: str
    unit: str
    better: int
    shown: tuple[Place, ...]
    digits: int = 2
    form: str = "f"
    interval: bool = False
    pooled: float | None = None
    against: str | None = None


METRICS: dict[str, Metric] = {}
"""By name, in the order of the tables' columns."""
_LIKENESS: tuple[Place, ...] = ("likeness", "pairs", "changes")
_HINTS: tuple[Place, ...] = ("hints", "changes")
_SHARE: dict[str, Any] = {"digits": 1, "form": "%"}


def _metric(title: str, unit: str, better: int, shown: tuple[Place, ...], **more: Any) -> Callable[[Compute], Compute]:
    """Declare a method as a metric; its docstring is the meaning."""

    def declare(compute: Compute) -> Compute:
        name = compute.__name__
        METRICS[name] = Metric(name, " ".join((compute.__doc__ or "").split()), title, unit, better, shown, **more)
        return compute

    return declare


def shown_in(place: Place) -> list[Metric]:
    """The metrics of one part of a report."""
    return [metric for metric in METRICS.values() if place in metric.shown]


class Outcome:
    """One output of a method on one picture, as the metrics look at it.

    Args:
        facts: of the picture.
        count: number of strokes the method got, or ``heldout.FULL``.
        panel: judges.
        result: the output, HxWx3.
        time: that it took, in seconds.

    Attributes:
        seen: the output with the lines over it, HxWx3.
        strokes: CIEDE2000 of every stroke pixel.
    """

    def __init__(self, facts: Facts, count: int, panel: Panel, result: Pixels, time: float) -> None:
        self._facts, self._panel, self._time = facts, panel, time
        self._picture, self._original, self._result = facts.picture, facts.picture.original, result
        self.seen: Pixels = metrics.with_ink(result, facts.picture.lineart)
        self.strokes: NDArray[np.float32] = metrics.stroke_differences(result, facts.hints(count))
        self._count = count

    @_metric("ΔE00", "CIEDE2000", -1, _LIKENESS, interval=True)
    def difference(self) -> float:
        """Mean CIEDE2000 to the original off the ink, with its 95 % bootstrap interval over pictures."""
        return metrics.mean_difference(self._result, self._original, self._facts.clear)

    @_metric("ΔE00 with ink", "CIEDE2000", -1, ("likeness", "changes"))
    def difference_with_ink(self) -> float:
        """Mean CIEDE2000 of the whole picture with its lines."""
        return metrics.mean_difference(self.seen, self._original, np.ones(self._picture.ink.shape, np.bool_))

    @_metric("PSNR", "dB", 1, _LIKENESS)
    def psnr(self) -> float | None:
        """Of the whole picture with its lines, sRGB; 100 where it is its original."""
        return metrics.psnr(self.seen, self._original) if self._panel.likeness else None

    @_metric("MS-SSIM", "", 1, _LIKENESS, digits=3)
    def ms_ssim(self) -> float | None:
        """Likewise; none where a side is under 176 px."""
        return metrics.ms_ssim(self.seen, self._original) if self._panel.likeness else None

    @_metric("LPIPS", "", -1, _LIKENESS, digits=3)
    def lpips(self) -> float | None:
        """Likewise, with `--lpips`."""
        return self._panel.perceptual(self.seen, self._original)

    @_metric("strokes median", "CIEDE2000", -1, _HINTS, pooled=50)
    def strokes_median(self) -> float:
        """CIEDE2000 between result and stroke, median over all fully painted pixels."""
        return float(np.percentile(self.strokes, 50)) if len(self.strokes) else float("nan")

    @_metric("strokes p95", "CIEDE2000", -1, _HINTS, pooled=95)
    def strokes_p95(self) -> float:
        """Likewise, 95th percentile."""
        return float(np.percentile(self.strokes, 95)) if len(self.strokes) else float("nan")

    @_metric("bleeding", "%", -1, _HINTS, **_SHARE)
    def bleeding(self) -> float:
        """Pixels within 3 px of a line that took the colour of the region across it."""
        picture, facts = self._picture, self._facts
        return metrics.bleeding(self._result, picture.labels, picture.palette, facts.near, facts.neighbours)[0]

    @_metric("bleeding, hinted", "%", -1, _HINTS, **_SHARE)
    def bleeding_hinted(self) -> float:
        """Only where the pixel's own region holds a stroke."""
        picture, facts = self._picture, self._facts
        inside = np.isin(picture.labels[facts.near], self._hinted)
        near = np.zeros_like(facts.near)
        near[facts.near] = inside
        return metrics.bleeding(self._result, picture.labels, picture.palette, near, facts.neighbours[inside])[0]

    @_metric("regions right", "%", 1, _HINTS, **_SHARE)
    def regions(self) -> float:
        """True regions (64 px or more) whose median colour is nearest (OKLab) to their own of all the original's."""
        picture, clear = self._picture, self._facts.clear
        return metrics.region_accuracy(self._result, picture.labels, picture.palette, clear)[0]

    @_metric("regions right, hinted", "%", 1, _HINTS, **_SHARE)
    def regions_hinted(self) -> float:
        """Only those that hold a stroke."""
        picture, clear = self._picture, self._facts.clear
        return metrics.region_accuracy(self._result, picture.labels, picture.palette, clear, self._hinted)[0]

    @_metric("chroma", "OKLab", 0, _HINTS, against="chroma_original")
    def chroma(self) -> float:
        """Mean chroma off the ink; its ratio to the originals' is 1 where a method is as colourful as they are."""
        return metrics.mean_chroma(self._result, self._facts.clear)

    @_metric("s / picture", "s", -1, ("hints",))
    def seconds(self) -> float:
        """Time to colour one picture."""
        return self._time

    @cached_property
    def _hinted(self) -> NDArray[np.int32]:
        """Regions that hold a stroke."""
        return self._picture.hinted_regions(self._facts.hints(self._count))
