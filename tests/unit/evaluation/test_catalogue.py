"""What is measured is declared once, and the documentation says the same."""

from __future__ import annotations

from pathlib import Path

from training.evaluation.catalogue import METRICS, shown_in
from training.evaluation.tables import columns

DOCS = Path(__file__).parents[3] / "docs" / "training-evaluate.md"


def test_the_documentation_explains_every_number_as_the_report_does() -> None:
    text = DOCS.read_text(encoding="utf-8")
    for metric in METRICS.values():
        assert f"| {metric.title} | {metric.meaning} |\n" in text


def test_every_number_is_shown_and_has_a_column_of_its_own() -> None:
    assert all(metric.shown for metric in METRICS.values())
    heads = [head for head, _ in columns(METRICS)]
    assert len(set(heads)) == len(METRICS)


def test_pairs_are_compared_by_what_has_a_better_direction() -> None:
    assert [m.name for m in shown_in("pairs")] == ["difference", "psnr", "ms_ssim", "lpips"]
    assert all(m.better for m in shown_in("pairs"))
