"""The numbers of a study against published tables and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.study.statistics import Summary, bradley_terry, holm, summarise
from training.study.store import Answer

# Extra hours of sleep of ten patients by two drugs, from Student (1908), as in R's data set `sleep`.
SLEEP = [
    (0.7, 1.9), (-1.6, 0.8), (-0.2, 1.1), (-1.2, 0.1), (-0.1, -0.1), (3.4, 4.4), (3.7, 5.5), (0.8, 1.6), (0.0, 4.6),
    (2.0, 3.4),
]  # fmt: skip

# Four observers, twelve units, values 1 to 5: Krippendorff (2011), "Computing Krippendorff's alpha-reliability".
OBSERVERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
]

# American League 1987, Eastern Division: Agresti, Categorical Data Analysis, table 10.10 (2nd edition).
TEAMS = ["Milwaukee", "Detroit", "Toronto", "New York", "Boston", "Cleveland", "Baltimore"]
WON = [
    [0, 7, 9, 7, 7, 9, 11],
    [6, 0, 7, 5, 11, 9, 9],
    [4, 6, 0, 7, 7, 8, 12],
    [6, 8, 6, 0, 6, 7, 10],
    [6, 2, 6, 7, 0, 7, 12],
    [4, 4, 5, 6, 6, 0, 6],
    [2, 4, 1, 3, 1, 7, 0],
]


def rated(rater: int, drawing: int, method: str, value: float) -> Answer:
    return Answer(f"r{rater}", "rating", f"d{drawing}", (method,), value)  # type: ignore[arg-type]


def chosen(rater: int, drawing: int, better: str, worse: str) -> Answer:
    swapped = (rater + drawing) % 2
    return Answer(f"r{rater}", "pair", f"d{drawing}", (worse, better) if swapped else (better, worse), 1 + swapped)


def of(answers: list[Answer], methods: list[str]) -> Summary:
    raters = len({a.rater for a in answers})
    return summarise(answers, methods, raters, raters)


def thesis_like() -> list[Answer]:
    """46 raters and 20 drawings whose ratings have the sums behind the printed scores 3.71, 3.05 and 2.83."""
    answers = []
    for method, total in (("StencilTorch", 3413), ("PaintsTorch", 2806), ("Ci", 2604)):
        low, extra = divmod(total, 920)
        answers += [rated(k % 46, k // 46, method, low + (k < extra)) for k in range(920)]
    return answers


def test_scores_of_a_study_as_large_as_the_thesis_are_its_means() -> None:
    summary = of(thesis_like(), ["Ci", "PaintsTorch", "StencilTorch"])
    assert [(s.method, round(s.mos, 2)) for s in summary.scores] == [
        ("StencilTorch", 3.71),
        ("PaintsTorch", 3.05),
        ("Ci", 2.83),
    ]
    best = summary.scores[0]
    assert (best.ratings, best.raters) == (920, 46)
    share = 653 / 920  # of fours among threes: a Bernoulli sample has this deviation
    assert best.deviation == pytest.approx(math.sqrt(share * (1 - share) * 920 / 919))
    assert summary.notes == []
    assert all(c.by_raters and c.by_raters.n == 46 and c.by_raters.p_holm < 0.001 for c in summary.comparisons)


def test_the_paired_test_gives_students_own_result() -> None:
    answers = [rated(k, 0, m, v) for k, pair in enumerate(SLEEP) for m, v in zip("ab", pair, strict=True)]
    summary = of(answers, ["a", "b"])
    (result,) = summary.comparisons
    assert (result.better, result.worse) == ("b", "a")
    assert result.difference == pytest.approx(1.58)
    assert (result.low, result.high) == (pytest.approx(0.7001142), pytest.approx(2.4598858))
    assert result.by_raters is not None
    assert result.by_raters.t == pytest.approx(4.0621, abs=1e-4)
    assert result.by_raters.p == pytest.approx(0.002833, abs=1e-6)
    assert result.by_drawings is None
    assert any("too few raters: 10" in note for note in summary.notes)


def test_the_interval_of_a_score_is_students_over_raters() -> None:
    values = [2, 3, 3, 4, 5]  # t(0.975, 4) = 2.776 in any table
    score = of([rated(k, 0, "a", v) for k, v in enumerate(values)], ["a", "b"]).scores[0]
    half = 2.776 * math.sqrt(1.3) / math.sqrt(5)
    assert (score.low, score.high) == (pytest.approx(3.4 - half, abs=1e-3), pytest.approx(3.4 + half, abs=1e-3))


def test_a_rater_with_many_answers_counts_as_much_as_one_with_few() -> None:
    answers = [rated(0, d, "a", 5) for d in range(9)] + [rated(1, 0, "a", 1)]
    assert of(answers, ["a", "b"]).scores[0].mos == 3


def test_holm_gives_the_textbook_values() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_never_lowers_a_value_and_keeps_the_order(p: list[float]) -> None:
    corrected = holm(p)
    assert all(a <= b <= 1 for a, b in zip(p, corrected, strict=True))
    order = np.argsort(p, kind="stable")
    assert list(np.asarray(corrected)[order]) == sorted(corrected)


def test_agreement_is_krippendorffs_own_example() -> None:
    answers = [
        rated(r, u, "a", value) for r, row in enumerate(OBSERVERS) for u, value in enumerate(row) if value is not None
    ]
    assert of(answers, ["a", "b"]).rating_agreement == pytest.approx(0.815, abs=5e-4)


def test_raters_who_agree_in_all_choices_have_an_alpha_of_one() -> None:
    answers = [chosen(r, d, *("ab" if d % 2 else "ba")) for r in range(4) for d in range(6)]
    summary = of(answers, ["a", "b"])
    assert summary.pair_agreement == pytest.approx(1)
    assert summary.contests[0].wins == 12


def test_bradley_terry_gives_the_published_strengths_of_seven_teams() -> None:
    answers = [
        chosen(n, n, TEAMS[a], TEAMS[b])
        for a, row in enumerate(WON)
        for b, times in enumerate(row)
        for n in range(times)
    ]
    strengths = of(answers, TEAMS).strengths
    assert list(strengths) == TEAMS
    above = [strengths[t] - strengths["Baltimore"] for t in TEAMS]
    assert above == pytest.approx([1.581, 1.436, 1.294, 1.248, 1.108, 0.684, 0], abs=6e-4)


@given(st.integers(1, 2000), st.integers(1, 2000))
def test_with_two_methods_the_strengths_are_the_odds(wins: int, losses: int) -> None:
    found = bradley_terry(np.array([[0, wins], [losses, 0]], float))
    assert found is not None
    assert found[0] - found[1] == pytest.approx(math.log(wins / losses), abs=1e-6)


def test_strengths_that_do_not_exist_are_not_invented() -> None:
    summary = of([chosen(r, d, "a", "b") for r in range(3) for d in range(3)], ["a", "b"])
    assert summary.strengths == {}
    assert any("no Bradley-Terry strengths" in note for note in summary.notes)
    assert summary.contests[0].rate == 1
    assert summary.contests[0].p == pytest.approx(2 * 0.5**9)
    assert summary.contests[0].low == pytest.approx(9 / (9 + 1.959964**2), abs=1e-6)  # Wilson's form for all won


def test_too_few_answers_are_said_and_nothing_is_made_up() -> None:
    assert summarise([], ["a", "b"], 0, 0).notes == ["nobody has answered yet"]
    summary = summarise([rated(0, 0, "a", 4)], ["a", "b"], 1, 0)
    assert summary.scores[0].low is None
    assert summary.scores[0].deviation is None
    assert summary.comparisons == []
    assert summary.rating_agreement is None
    told = " ".join(summary.notes)
    for part in ("too few raters", "not finished: 1 of 1", "not rated by anybody yet: b", "with one rater"):
        assert part in told


def test_methods_rated_alike_do_not_differ_and_a_constant_gap_has_no_finite_t() -> None:
    same = [rated(r, d, m, 3) for r in range(3) for d in range(2) for m in "ab"]
    (result,) = of(same, ["a", "b"]).comparisons
    assert result.by_raters is not None
    assert (result.by_raters.t, result.by_raters.p) == (0, 1)
    apart = [rated(r, d, m, v) for r in range(3) for d in range(2) for m, v in (("a", 2), ("b", 4))]
    (result,) = of(apart, ["a", "b"]).comparisons
    assert result.by_raters is not None
    assert (result.better, result.by_raters.t, result.by_raters.p) == ("b", None, 0)
