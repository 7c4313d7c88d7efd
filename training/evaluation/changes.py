"""How far every number of an evaluation moves between two settings of a model, relative to one of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from training.evaluation.catalogue import METRICS, shown_in
from training.evaluation.tables import Rows, Table, count_name, counts_of, mean, select

WITHIN = 0.1


def relative(value: float, reference: float) -> float:
    """``value / reference - 1``; 0 for 0 against 0, infinite for anything else against 0, NaN without a number."""
    if value == reference:
        return 0.0
    return value / reference - 1 if reference else math.copysign(math.inf, value)


def compare_relative(rows: Rows, pairs: Sequence[tuple[str, str]]) -> Rows:
    """Compare outputs with the ones they are to be held against, on the pictures both have.

    Args:
        rows: one per picture, number of hints and output.
        pairs: output and reference.

    Returns:
        One row per pair and number of hints: ``changes`` of the means over pictures by number, each relative to the
        reference's mean, ``furthest`` (the greatest either way), ``worst`` (the greatest for the worse, at least 0)
        and how many ``pictures``. Numbers that were not taken are left out.
    """
    out: Rows = []
    for count in counts_of(rows):
        for output, reference in pairs:
            mine, theirs = ({r["picture"]: r for r in select(rows, hints=count, method=m)} for m in (output, reference))
            both = sorted(set(mine) & set(theirs))
            changes, worse = {}, []
            for metric in shown_in("changes"):
                key, better = metric.name, metric.better
                a, b = (mean(found[p].get(key, math.nan) for p in both) for found in (mine, theirs))
                change = relative(a, b)
                if not math.isnan(change):
                    changes[key] = change
                    worse.append(abs(change) if better == 0 else -better * change)
            if changes:
                numbers = {"furthest": max(map(abs, changes.values())), "worst": max(0.0, *worse)}
                told = {"hints": count, "method": output, "reference": reference, "pictures": len(both)}
                out.append({**told, "changes": changes, **numbers})
    return out


def percent(change: float, *, signed: bool = True) -> str:
    """A table cell; an infinite change, of a number that was 0, as a sign."""
    if math.isinf(change):
        return "∞"
    return f"{change:+.1%}" if signed else f"{change:.1%}"


def change_table(found: Rows, titles: Mapping[str, str]) -> Table:
    """The same as a table; the last column says whether every number is within ``WITHIN``, either way."""
    keys = [m.name for m in shown_in("changes") if any(m.name in row["changes"] for row in found)]
    body = []
    for row in found:
        cells = [percent(row["changes"][key]) if key in row["changes"] else "-" for key in keys]
        ends = [percent(row["worst"], signed=False), "yes" if row["furthest"] <= WITHIN else "no"]
        what = f"{count_name(row['hints'])}, {titles[row['method']]} against {titles[row['reference']]}"
        body.append([what, *cells, *ends])
    return Table(["hints, pair", *[METRICS[key].title for key in keys], "worst", f"within {WITHIN:.0%}"], body)
