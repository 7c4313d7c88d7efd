"""Who judges what: balance, order and sameness for every design and rater."""

from __future__ import annotations

import itertools
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from training.study.design import Design, Task, plan


@st.composite
def designs(draw: st.DrawFn) -> Design:
    drawings = draw(st.integers(1, 12))
    each = draw(st.integers(1, drawings))
    mode = draw(st.sampled_from(["ratings", "pairs", "both"]))
    return Design(draw(st.integers(2, 7)), drawings, each, mode, draw(st.integers(0, 2**40)))


def split(tasks: list[Task]) -> tuple[list[Task], list[Task]]:
    ratings = [t for t in tasks if t.second is None]
    assert tasks[: len(ratings)] == ratings
    return ratings, tasks[len(ratings) :]


@given(designs(), st.integers(0, 200))
def test_each_rater_rates_every_method_once_on_each_of_their_drawings(design: Design, rater: int) -> None:
    ratings, pairs = split(plan(design, rater))
    assert bool(ratings) == (design.mode != "pairs")
    assert bool(pairs) == (design.mode != "ratings")
    if ratings:
        assert len(set(ratings)) == len(ratings) == design.each * design.methods
        assert set(Counter(t.first for t in ratings).values()) == {design.each}
        assert set(Counter(t.drawing for t in ratings).values()) == {design.methods}


@given(designs(), st.integers(0, 200))
def test_each_round_of_ratings_spreads_the_methods_evenly(design: Design, rater: int) -> None:
    ratings, _ = split(plan(design, rater))
    for start in range(0, len(ratings), design.each):
        part = ratings[start : start + design.each]
        assert len({t.drawing for t in part}) == design.each
        shown = Counter(t.first for t in part)
        assert max(shown.values()) - min(shown[m] for m in range(design.methods)) <= 1


@given(designs(), st.integers(0, 200))
def test_in_pairs_each_method_stands_equally_often_on_either_side(design: Design, rater: int) -> None:
    _, pairs = split(plan(design, rater))
    left, right = Counter(t.first for t in pairs), Counter(t.second for t in pairs)
    assert all(t.first != t.second for t in pairs)
    assert len({(t.drawing, frozenset((t.first, t.second))) for t in pairs}) == len(pairs)
    if design.methods > 2:
        assert len(set(left.values()) | set(right.values())) <= 1
    else:
        assert abs(left[0] - left[1]) <= 1


@given(designs(), st.integers(0, 200))
def test_no_drawing_comes_twice_in_a_row(design: Design, rater: int) -> None:
    if design.each > 1:
        for part in split(plan(design, rater)):
            assert all(a.drawing != b.drawing for a, b in itertools.pairwise(part))


@settings(max_examples=40)
@given(designs(), st.integers(1, 40))
def test_raters_together_see_each_drawing_equally_often(design: Design, raters: int) -> None:
    seen: Counter[int] = Counter()
    for rater in range(raters):
        seen.update({t.drawing for t in plan(design, rater)})
    assert max(seen.values()) - min(seen[d] for d in range(design.drawings)) <= 1


def test_the_order_is_the_raters_own_and_always_the_same() -> None:
    design = Design(3, 8, 4, "both", 7)
    assert plan(design, 3) == plan(design, 3)
    assert plan(design, 3) != plan(design, 4)
    assert plan(Design(3, 8, 8, "both", 7), 0) != plan(Design(3, 8, 8, "both", 8), 0)
    # Written down once: another machine, or another Python, must give the same.
    assert plan(Design(2, 2, 2, "ratings", 1), 0) == [Task(0, 0), Task(1, 1), Task(0, 1), Task(1, 0)]
    assert plan(Design(3, 2, 1, "pairs", 1), 1) == [Task(1, 0, 2), Task(1, 2, 1), Task(1, 1, 0)]
