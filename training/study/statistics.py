"""What the answers of a study say: mean opinion scores, paired tests, agreement, preferences; and what they do not."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import krippendorff
import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.sparse.csgraph import connected_components

from training.study.store import Answer

Floats = NDArray[np.float64]

LEVEL = 0.95
"""Of all intervals."""
FEW_RATERS = 15
"""Fewer raters than this are too few: ITU-T P.910 (11/2021) and ITU-R BT.500 ask for at least 15."""
CLOSE = 1e-10
"""Change of the Bradley-Terry strengths at which they count as found."""


@dataclass(frozen=True)
class Score:
    """Ratings of one method.

    Attributes:
        method: its name.
        mos: mean opinion score: the mean over raters of each one's mean; the plain mean of all ratings when all raters
            finished (thesis, eq. MOS).
        low: lower end of the 95 % interval of ``mos``, by Student's t over raters; None with fewer than 2.
        high: upper end.
        deviation: standard deviation of the single ratings (n - 1); None with fewer than 2.
        ratings: how many.
        raters: by how many people.
    """

    method: str
    mos: float
    low: float | None
    high: float | None
    deviation: float | None
    ratings: int
    raters: int


@dataclass(frozen=True)
class Paired:
    """A two-sided paired t-test; ``p_holm`` is corrected for all comparisons of the study (Holm 1979).

    A test between samples that differ by the same amount everywhere has an infinite t, given as None, and p 0.
    """

    n: int
    t: float | None
    p: float
    p_holm: float


@dataclass(frozen=True)
class Comparison:
    """Two methods, the better rated one first.

    Attributes:
        better: name.
        worse: name.
        difference: of their scores, mean over the raters who rated both.
        low: lower end of its 95 % interval over raters; None with fewer than 2.
        high: upper end.
        by_raters: test over the raters' means: would other raters say the same of these drawings?
        by_drawings: test over the drawings' means: would these raters say the same of other drawings?
    """

    better: str
    worse: str
    difference: float
    low: float | None
    high: float | None
    by_raters: Paired | None
    by_drawings: Paired | None


@dataclass(frozen=True)
class Contest:
    """Choices between two methods, the one that won more often first.

    Attributes:
        better: name.
        worse: name.
        wins: of the first.
        choices: in all.
        rate: wins / choices.
        low: lower end of its 95 % interval (Wilson 1927).
        high: upper end.
        p: exact binomial test against even chances, two-sided; counts each choice as independent.
        p_holm: the same, corrected for all contests.
    """

    better: str
    worse: str
    wins: int
    choices: int
    rate: float
    low: float
    high: float
    p: float
    p_holm: float


@dataclass(frozen=True)
class Summary:
    """All of it.

    Attributes:
        raters: who answered anything.
        finished: of these.
        scores: per method, best first.
        comparisons: all pairs of rated methods.
        rating_agreement: Krippendorff's alpha of the ratings, ordinal: 1 is perfect, 0 is chance; None if unknown.
        contests: all pairs of methods between which somebody chose.
        strengths: natural logarithms of the Bradley-Terry strengths, mean 0, best first: a method wins against another
            with odds exp(difference). Empty where they do not exist.
        pair_agreement: Krippendorff's alpha of the choices, nominal; None if unknown.
        notes: what the answers do not support.
    """

    raters: int
    finished: int
    scores: list[Score]
    comparisons: list[Comparison]
    rating_agreement: float | None
    contests: list[Contest]
    strengths: dict[str, float]
    pair_agreement: float | None
    notes: list[str]


def summarise(answers: Sequence[Answer], methods: Sequence[str], raters: int, finished: int) -> Summary:
    """Work out everything.

    Args:
        answers: all that count.
        methods: all names of the study.
        raters: how many people answered anything.
        finished: how many of them answered all.
    """
    ratings = [a for a in answers if a.kind == "rating"]
    pairs = [a for a in answers if a.kind == "pair"]
    table = _table(ratings, methods)
    scores = [_score(m, table[:, :, k]) for k, m in enumerate(methods) if np.isfinite(table[:, :, k]).any()]
    wins = _wins(pairs, methods)
    strengths = bradley_terry(wins) if pairs else None
    summary = Summary(
        raters,
        finished,
        sorted(scores, key=lambda s: -s.mos),
        _comparisons(table, methods),
        _alpha(table.reshape(len(table), table[0].size if len(table) else 0), "ordinal"),
        _contests(wins, methods),
        {} if strengths is None else {methods[k]: float(strengths[k]) for k in np.argsort(-strengths)},
        _alpha(_choices(pairs), "nominal"),
        [],
    )
    summary.notes.extend(_notes(summary, methods, bool(ratings), bool(pairs)))
    return summary


def holm(p: Sequence[float]) -> list[float]:
    """Correct p-values for their number (Holm 1979): each is at most 1 and keeps its rank."""
    order = np.argsort(p)
    stepped = np.maximum.accumulate(np.asarray(p, np.float64)[order] * np.arange(len(p), 0, -1))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(stepped, 1)
    return [float(value) for value in corrected]


def bradley_terry(wins: Floats) -> Floats | None:
    """Find the most likely strengths by minorisation-maximisation (Hunter 2004, eq. 3).

    Args:
        wins: NxN, how often the row won against the column.

    Returns:
        N natural logarithms with mean 0, or None where the likelihood has no maximum: some methods never lost to the
        others, or were never compared with them.
    """
    count, _ = connected_components(wins > 0, directed=True, connection="strong")
    if count > 1:
        return None
    met, won = wins + wins.T, wins.sum(axis=1)
    log = np.zeros(len(wins))
    while True:
        strength = np.exp(log)
        new = np.log(won / (met / (strength[:, None] + strength)).sum(axis=1))
        new -= new.mean()
        if np.abs(new - log).max() < CLOSE:
            return np.asarray(new, np.float64)
        log = new


def _table(ratings: Sequence[Answer], methods: Sequence[str]) -> Floats:
    """Ratings by rater, drawing and method; NaN where there is none."""
    raters, drawings = (
        {name: k for k, name in enumerate(sorted(names))}
        for names in ({a.rater for a in ratings}, {a.drawing for a in ratings})
    )
    table = np.full((len(raters), len(drawings), len(methods)), np.nan)
    for a in ratings:
        table[raters[a.rater], drawings[a.drawing], methods.index(a.methods[0])] = a.value
    return table


def _means(table: Floats, axis: int) -> Floats:
    """Means along an axis, NaN where there is nothing; numpy's own warns of that."""
    there = np.isfinite(table).sum(axis=axis)
    total = np.nansum(table, axis=axis)
    return np.asarray(np.divide(total, there, out=np.full(total.shape, np.nan), where=there > 0), np.float64)


def _score(method: str, table: Floats) -> Score:
    single = table[np.isfinite(table)]
    means = _means(table, 1)
    means = means[np.isfinite(means)]
    low, high = _interval(means)
    deviation = float(single.std(ddof=1)) if len(single) > 1 else None
    return Score(method, float(means.mean()), low, high, deviation, len(single), len(means))


def _interval(values: Floats) -> tuple[float | None, float | None]:
    """Student's interval of a mean."""
    if len(values) < 2:
        return None, None
    half = stats.t.ppf((1 + LEVEL) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean() - half), float(values.mean() + half)


def _comparisons(table: Floats, methods: Sequence[str]) -> list[Comparison]:
    by_raters, by_drawings = _means(table, 1), _means(table, 0)
    rows: list[tuple[int, int, Floats, Floats]] = []
    for a, b in itertools.combinations(range(len(methods)), 2):
        raters, drawings = (m[:, a] - m[:, b] for m in (by_raters, by_drawings))
        raters, drawings = raters[np.isfinite(raters)], drawings[np.isfinite(drawings)]
        if len(raters):
            rows.append((a, b, raters, drawings) if raters.mean() >= 0 else (b, a, -raters, -drawings))
    tests = zip(_tests([r[2] for r in rows]), _tests([r[3] for r in rows]), strict=True)
    return [
        Comparison(methods[a], methods[b], float(raters.mean()), *_interval(raters), over_raters, over_drawings)
        for (a, b, raters, _), (over_raters, over_drawings) in zip(rows, tests, strict=True)
    ]


def _tests(samples: Sequence[Floats]) -> list[Paired | None]:
    """Paired t-tests by their differences, corrected together."""
    found = [_test(sample) if len(sample) > 1 else None for sample in samples]
    corrected = iter(holm([result[1] for result in found if result]))
    return [
        None if result is None else Paired(len(sample), *result, next(corrected))
        for sample, result in zip(samples, found, strict=True)
    ]


def _test(differences: Floats) -> tuple[float | None, float]:
    if np.ptp(differences) < 1e-12:  # scipy divides by the deviation
        return (0.0, 1.0) if abs(differences[0]) < 1e-12 else (None, 0.0)
    result = stats.ttest_rel(differences, np.zeros_like(differences))
    return float(result.statistic), float(result.pvalue)


def _wins(pairs: Sequence[Answer], methods: Sequence[str]) -> Floats:
    wins = np.zeros((len(methods), len(methods)))
    for a in pairs:
        first, second = map(methods.index, a.methods)
        winner, loser = (first, second) if a.value == 1 else (second, first)
        wins[winner, loser] += 1
    return wins


def _contests(wins: Floats, methods: Sequence[str]) -> list[Contest]:
    rows = []
    for a, b in itertools.combinations(range(len(methods)), 2):
        better, worse = (a, b) if wins[a, b] >= wins[b, a] else (b, a)
        won, choices = int(wins[better, worse]), int(wins[a, b] + wins[b, a])
        if choices:
            test = stats.binomtest(won, choices)
            within = test.proportion_ci(LEVEL, method="wilson")
            ends = float(within.low), float(within.high)
            rows.append((methods[better], methods[worse], won, choices, won / choices, *ends, float(test.pvalue)))
    return [Contest(*row, p) for row, p in zip(rows, holm([row[-1] for row in rows]), strict=True)]


def _choices(pairs: Sequence[Answer]) -> Floats:
    """Choices by rater and by pair of pictures: 0 for the method whose name sorts first, 1 for the other, else NaN."""
    raters = {name: k for k, name in enumerate(sorted({a.rater for a in pairs}))}
    units = {unit: k for k, unit in enumerate(sorted({(a.drawing, min(a.methods), max(a.methods)) for a in pairs}))}
    table = np.full((len(raters), len(units)), np.nan)
    for a in pairs:
        ordered = sorted(a.methods)
        unit = units[a.drawing, ordered[0], ordered[1]]
        table[raters[a.rater], unit] = ordered.index(a.methods[a.value - 1])
    return table


def _alpha(table: Floats, level: Literal["ordinal", "nominal"]) -> float | None:
    """Krippendorff's alpha of ratings by rater and by unit, or None where nothing can be said."""
    shared = table[:, np.isfinite(table).sum(axis=0) > 1]
    if shared.size == 0 or len(np.unique(shared[np.isfinite(shared)])) < 2:
        return None
    return float(krippendorff.alpha(reliability_data=shared, level_of_measurement=level))


def _notes(summary: Summary, methods: Sequence[str], rated: bool, chosen: bool) -> list[str]:
    if not summary.raters:
        return ["nobody has answered yet"]
    notes = []
    if summary.raters < FEW_RATERS:
        notes.append(
            f"too few raters: {summary.raters}; ITU-T P.910 asks for at least {FEW_RATERS}, so take intervals and tests"
            " as a first look"
        )
    if summary.finished < summary.raters:
        open_ = summary.raters - summary.finished
        notes.append(
            f"not finished: {open_} of {summary.raters} raters; what they answered counts (not with --complete)"
        )
    if rated and len(summary.scores) < len(methods):
        missing = sorted(set(methods) - {s.method for s in summary.scores})
        notes.append(f"not rated by anybody yet: {', '.join(missing)}")
    if summary.scores and min(s.raters for s in summary.scores) < 2:
        notes.append("with one rater there are no intervals and no tests over raters")
    if chosen and not summary.strengths:
        notes.append(
            "no Bradley-Terry strengths: a method, or a group, has not lost to the others or has not met them yet"
        )
    return notes
