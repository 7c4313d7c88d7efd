"""What a benchmark prints of what the project promises: target, measured, holds."""

from __future__ import annotations

from typing import Any

from training.evaluation.tables import Table

Target = tuple[str, str, bool]
"""What is promised, what was measured, and whether it holds."""


def target_table(found: list[Target]) -> str:
    """As Markdown."""
    body = [[what, seen, "yes" if ok else "**no**"] for what, seen, ok in found]
    return Table(["target", "measured", "holds"], body).markdown()


def as_objects(found: list[Target]) -> list[dict[str, Any]]:
    """As JSON."""
    return [{"target": what, "measured": seen, "holds": ok} for what, seen, ok in found]
