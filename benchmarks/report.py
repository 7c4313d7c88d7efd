"""Turns the rows of a quality run into tables: means per method, paired differences, groups, targets."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from metrics import bootstrap_mean
from numpy.typing import NDArray

Rows = list[dict[str, Any]]
OURS = ("colour", "flats")
TITLES = {
    "colour": "ours, colour",
    "flats": "ours, flats",
    "nearest": "nearest hint",
    "regions": "nearest hint in region",
    "gmic": "G'MIC smart",
    "white": "white paper",
}
STROKE_TARGETS = {"flats": (1.0, 3.0), "colour": (4.0, 10.0)}
BEATEN_AT = (16, 64)


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


def table(head: list[str], body: list[list[str]]) -> str:
    """A Markdown table, text to the left, numbers to the right."""
    align = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, align, *body])


def _methods(rows: Rows) -> list[str]:
    present = {r["method"] for r in rows}
    return [m for m in TITLES if m in present]


def method_table(rows: Rows, strokes: dict[tuple[str, int], NDArray[np.float32]]) -> str:
    """Means per number of hints and method; stroke numbers are taken over all stroke pixels of all pictures."""
    head = ["hints, method", "ΔE00", "with ink", "strokes median", "strokes p95"]
    head += ["bleeding", "bleeding, hinted", "chroma ratio", "s / picture", "pictures"]
    body = []
    for count in sorted({r["hints"] for r in rows}):
        for method in _methods(select(rows, hints=count)):
            part = select(rows, hints=count, method=method)
            inside = strokes.get((method, count), np.zeros(0, np.float32))
            middle, high = np.percentile(inside, [50, 95]) if len(inside) else (float("nan"),) * 2
            cells = [number(mean(r[k] for r in part)) for k in ("difference", "difference_with_ink")]
            cells += [number(float(middle)), number(float(high))]
            cells += [number(mean(r[k] for r in part), 1, "%") for k in ("bleeding", "bleeding_hinted")]
            true = mean(r["chroma_original"] for r in part)
            cells += [number(mean(r["chroma"] for r in part) / true) if true else "-"]
            cells += [number(mean(r["seconds"] for r in part)), str(len(part))]
            body.append([f"{count}, {TITLES[method]}", *cells])
    return table(head, body)


def compare(rows: Rows, seed: int) -> Rows:
    """Paired differences in mean CIEDE2000, ours minus each baseline, below 0 is better, with 95 % intervals."""
    out = []
    for count in sorted({r["hints"] for r in rows}):
        for ours in OURS:
            mine = {r["picture"]: r["difference"] for r in select(rows, hints=count, method=ours)}
            for other in [m for m in _methods(select(rows, hints=count)) if m not in OURS]:
                theirs = {r["picture"]: r["difference"] for r in select(rows, hints=count, method=other)}
                both = sorted(set(mine) & set(theirs))
                gaps = np.array([mine[k] - theirs[k] for k in both], np.float64)
                middle, low, high = bootstrap_mean(gaps, seed)
                won = float((gaps[np.isfinite(gaps)] < 0).mean()) if np.isfinite(gaps).any() else float("nan")
                numbers = {"mean": middle, "low": low, "high": high, "won": won, "pictures": len(both)}
                out.append({"hints": count, "ours": ours, "baseline": other, **numbers})
    return out


def compare_table(comparisons: Rows) -> str:
    """The same as a table."""
    body = [
        [
            f"{c['hints']}, {TITLES[c['ours']]} against {TITLES[c['baseline']]}",
            f"{c['mean']:+.2f}",
            f"{c['low']:+.2f} to {c['high']:+.2f}",
            number(c["won"], 0, "%"),
        ]
        for c in comparisons
    ]
    return table(["hints, pair", "mean difference", "95 % interval", "pictures won"], body)


def group_table(rows: Rows) -> str:
    """Mean CIEDE2000 per folder, number of hints and method."""
    methods = _methods(rows)
    body = []
    for group in sorted({r["group"] for r in rows}):
        for count in sorted({r["hints"] for r in rows}):
            part = select(rows, group=group, hints=count)
            cells = [number(mean(r["difference"] for r in select(part, method=m))) for m in methods]
            body.append([f"{group} ({len({r['picture'] for r in part})}), {count}", *cells])
    return table(["pictures, hints", *[TITLES[m] for m in methods]], body)


def targets(
    rows: Rows, strokes: dict[tuple[str, int], NDArray[np.float32]], comparisons: Rows, masked: Rows
) -> list[tuple[str, str, bool]]:
    """What the project promises, what was measured, and whether it holds; only what this run could measure."""
    out = []
    for method, limits in STROKE_TARGETS.items():
        parts = [v for (m, _), v in strokes.items() if m == method and len(v)]
        if parts:
            middle, high = np.percentile(np.concatenate(parts), [50, 95])
            what = f"{TITLES[method]}: CIEDE2000 in strokes, median <= {limits[0]:g} and p95 <= {limits[1]:g}"
            out.append((what, f"{middle:.2f} and {high:.2f}", bool(middle <= limits[0] and high <= limits[1])))
    for c in comparisons:
        if c["ours"] == "colour" and c["hints"] in BEATEN_AT:
            what = f"{c['hints']} hints: nearer to the original than {TITLES[c['baseline']]}"
            out.append((what, f"{c['mean']:+.2f} ({c['low']:+.2f} to {c['high']:+.2f})", c["mean"] < 0))
    bare = select(rows, hints=0, method="colour")
    if bare:
        ratio = mean(r["chroma"] for r in bare) / mean(r["chroma_original"] for r in bare)
        out.append(("0 hints: not grey, chroma at least 0.3 of the original's", f"{ratio:.2f}", ratio >= 0.3))
    if masked:
        worst = max(max(m["byte_difference"], m["alpha_outside"], m["alpha_inside"]) for m in masked)
        what = f"with a mask: bytes and alpha outside untouched, alpha inside that of the mask ({len(masked)} pictures)"
        out.append((what, f"largest difference {worst}", worst == 0))
    return out


def target_table(found: list[tuple[str, str, bool]]) -> str:
    """The same as a table."""
    return table(["target", "measured", "holds"], [[what, seen, "yes" if ok else "**no**"] for what, seen, ok in found])


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
