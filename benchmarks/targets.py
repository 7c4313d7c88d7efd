"""What a benchmark prints of what the project promises: target, measured, holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from training.evaluation.tables import Table

Target = tuple[str, str, bool | None]
"""What is promised, what was measured, and whether it holds; None where it was not measured."""


def target_table(found: list[Target]) -> str:
    """As Markdown."""
    words = {True: "yes", False: "**no**", None: "-"}
    body = [[what, seen, words[ok]] for what, seen, ok in found]
    return Table(["target", "measured", "holds"], body).markdown()


def as_objects(found: list[Target]) -> list[dict[str, Any]]:
    """As JSON."""
    return [{"target": what, "measured": seen, "holds": ok} for what, seen, ok in found]


def publish(found: dict[str, Any], out: Path | None) -> None:
    """Print everything as one line of JSON, and write it to a file if wanted."""
    text = json.dumps(found)
    print(text)
    if out is not None:
        out.write_text(text + "\n", encoding="utf-8")
