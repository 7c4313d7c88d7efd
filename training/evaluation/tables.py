"""Turns the rows of an evaluation into tables: means per method, paired differences, groups."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from training.evaluation.catalogue import METRICS, Metric
from training.evaluation.heldout import FULL
from training.evaluation.statistics import Spread, bootstrap_groups, bootstrap_mean, signed_rank
from training.study.statistics import holm

Rows = list[dict[str, Any]]
Strokes = Mapping[tuple[str, int], Spread]
"""CIEDE2000 of all stroke pixels of all pictures by output and number of hints."""
Column = tuple[str, Callable[[Rows, Spread], str]]
"""A head, and what makes a cell of the rows of one method and its stroke pixels."""


@dataclass(frozen=True)
class Table:
    """A table whose first column is text; the others are numbers."""

    head: list[str]
    body: list[list[str]]

    def markdown(self) -> str:
        """As Markdown, text to the left, numbers to the right."""
        align = ["---"] + ["---:"] * (len(self.head) - 1)
        return "\n".join("| " + " | ".join(line) + " |" for line in [self.head, align, *self.body])


def select(rows: Rows, **wanted: object) -> Rows:
    """The rows whose fields have the wanted values."""
    return [r for r in rows if all(r[k] == v for k, v in wanted.items())]


def mean(values: Iterable[float]) -> float:
    """Mean without NaNs; NaN when nothing is left."""
    known = [v for v in values if math.isfinite(v)]
    return float(np.mean(known)) if known else float("nan")


def number(value: float, digits: int = 2, form: str = "f") -> str:
    """A table cell; a dash for NaN."""
    return f"{value:.{digits}{form}}" if math.isfinite(value) else "-"


def count_name(count: int) -> str:
    """How a number of hints is called: ``full`` or the number."""
    return "full" if count == FULL else str(count)


def counts_of(rows: Rows) -> list[int]:
    """The numbers of hints that occur, the whole picture last."""
    return sorted({r["hints"] for r in rows}, key=lambda c: (c == FULL, c))


def columns(names: Iterable[str], *, intervals: bool = False) -> list[Column]:
    """Columns of metrics by name: the mean over the pictures, or what the metric says instead.

    Args:
        names: keys of ``METRICS``.
        intervals: give the 95 % bootstrap interval over pictures where a metric has one.
    """
    return [_column(METRICS[name], intervals) for name in names]


def _column(metric: Metric, intervals: bool) -> Column:
    def mean_of(rows: Rows, _: Spread) -> str:
        return number(mean(r[metric.name] for r in rows), metric.digits, metric.form)

    def with_interval(rows: Rows, _: Spread) -> str:
        found = bootstrap_mean(np.array([r[metric.name] for r in rows], np.float64))
        middle, low, high = (number(value, metric.digits) for value in found)
        return f"{middle} ({low} to {high})"

    if metric.pooled is not None:
        share = metric.pooled
        return metric.title, lambda _, strokes: number(strokes.percentile(share))
    if metric.against is not None:
        return f"{metric.title} ratio", lambda rows, _: number(chroma_ratio(rows))
    return (f"{metric.title} (95 %)", with_interval) if intervals and metric.interval else (metric.title, mean_of)


def chroma_ratio(rows: Rows) -> float:
    """Mean chroma against the originals'; NaN where those are grey."""
    true = mean(r["chroma_original"] for r in rows)
    return mean(r["chroma"] for r in rows) / true if true else float("nan")


def method_table(rows: Rows, strokes: Strokes, columns: Sequence[Column], titles: Mapping[str, str]) -> Table:
    """One line per number of hints and method, in the order of ``titles``."""
    body = []
    for count in counts_of(rows):
        for method, title in titles.items():
            part = select(rows, hints=count, method=method)
            if part:
                inside = strokes.get((method, count), Spread())
                cells = [make(part, inside) for _, make in columns]
                body.append([f"{count_name(count)}, {title}", *cells, str(len(part))])
    return Table(["hints, method", *[head for head, _ in columns], "pictures"], body)


def compare(rows: Rows, ours: Sequence[str], others: Sequence[str], seed: int, key: str = "difference") -> Rows:
    """Compare methods in pairs on the pictures both have.

    Args:
        rows: one per picture, number of hints and method.
        ours: methods on the one side.
        others: methods on the other side.
        seed: of the bootstrap.
        key: the number that is compared.

    Returns:
        One row per number of hints and pair: ``mean`` of ours minus theirs with ``low`` and ``high`` over pictures and
        ``group_low`` and ``group_high`` over groups, the share ``won`` in which ours is better, ``p`` of the
        signed-rank test, and ``p_holm``, corrected for all pairs together (Holm 1979).
    """
    out: Rows = []
    for count in counts_of(rows):
        found = {
            m: {r["picture"]: r for r in select(rows, hints=count, method=m) if key in r} for m in {*ours, *others}
        }
        for mine, theirs in ((m, t) for m in ours for t in others if m != t and found[m] and found[t]):
            both = sorted(set(found[mine]) & set(found[theirs]))
            gaps = np.array([found[mine][k][key] - found[theirs][k][key] for k in both], np.float64)
            middle, low, high = bootstrap_mean(gaps, seed)
            groups = [found[mine][k]["group"] for k in both]
            _, group_low, group_high = bootstrap_groups(gaps, groups, seed)
            known = gaps[np.isfinite(gaps)]
            better = known * METRICS[key].better > 0
            numbers = {"mean": middle, "low": low, "high": high}
            numbers |= {"won": float(better.mean()) if len(known) else float("nan"), "pictures": len(both)}
            numbers |= {"group_low": group_low, "group_high": group_high, "p": signed_rank(gaps)}
            out.append({"hints": count, "measure": key, "ours": mine, "baseline": theirs, **numbers})
    tested = [c for c in out if math.isfinite(c["p"])]
    for comparison, corrected in zip(tested, holm([c["p"] for c in tested]), strict=True):
        comparison["p_holm"] = corrected
    return [{"p_holm": float("nan"), **c} for c in out]


def compare_table(comparisons: Rows, titles: Mapping[str, str], *, tests: bool = True) -> Table:
    """The same as a table, with or without the intervals over groups and the tests."""
    head = ["hints, pair", "mean difference", "95 % interval", "pictures won"]
    body = []
    for c in comparisons:
        digits = METRICS[c["measure"]].digits

        def signed(value: float, digits: int = digits) -> str:
            return f"{value:+.{digits}f}"

        line = [f"{count_name(c['hints'])}, {titles[c['ours']]} against {titles[c['baseline']]}", signed(c["mean"])]
        line += [f"{signed(c['low'])} to {signed(c['high'])}", number(c["won"], 0, "%")]
        if tests:
            wide = math.isfinite(c["group_low"])
            line.append(f"{signed(c['group_low'])} to {signed(c['group_high'])}" if wide else "-")
            line.append(f"{c['p_holm']:.2g}" if math.isfinite(c["p_holm"]) else "-")
        body.append(line)
    return Table([*head, *(["95 %, folders drawn", "p (Holm)"] if tests else [])], body)


def group_table(rows: Rows, titles: Mapping[str, str], most: int | None = None) -> Table:
    """Mean CIEDE2000 per folder, number of hints and method; only the ``most`` folders with most pictures if given."""
    present = {r["method"] for r in rows}
    methods = [m for m in titles if m in present]
    body = []
    sizes = Counter(r["group"] for r in rows)
    for group in sorted(g for g, _ in sizes.most_common(most)):
        for count in counts_of(rows):
            part = select(rows, group=group, hints=count)
            cells = [number(mean(r["difference"] for r in select(part, method=m))) for m in methods]
            body.append([f"{group} ({len({r['picture'] for r in part})}), {count_name(count)}", *cells])
    return Table(["pictures, hints", *[titles[m] for m in methods]], body)


def clean(value: Any) -> Any:
    """Copy of nested results in which NaN is None, since JSON has no NaN."""
    deeper: Callable[[Any], Any] = clean
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {k: deeper(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [deeper(v) for v in value]
    return value
