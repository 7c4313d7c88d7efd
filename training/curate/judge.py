"""Decides over a file from what was measured and stated, without opening it again."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from training.curate.lists import FileList
from training.curate.options import LINES, Options
from training.curate.store import show


@dataclass(frozen=True)
class Judge:
    """The options and lists by which files are judged."""

    options: Options
    allow: FileList
    deny: FileList

    def before(self, row: sqlite3.Row, credit: Mapping[str, str]) -> tuple[str, str] | None:
        """Reason and details for which a file need not even be decoded; None where it must."""
        if entry := self._listed(self.deny, row, credit):
            return "denied", entry
        if self.options.require_licence and not credit.get("licence"):
            return "no_licence", "no sidecar, manifest or LICENSE file states one"
        return None

    def after(self, row: sqlite3.Row, credit: Mapping[str, str]) -> tuple[str, str] | None:
        """Reason and details for which a measured file is left out, whatever its neighbours; None keeps it."""
        if found := self.before(row, credit):
            return found
        if row["problem"] is not None:
            return row["problem"], row["detail"] or ""
        if self.allowed(row, credit):
            return None
        o = self.options
        if min(row["width"], row["height"]) < o.min_side:
            return "too_small", f"{row['width']} x {row['height']} pixels, less than {o.min_side}"
        if credit.get("kind") in LINES:
            return None
        if row["coloured"] < o.coloured:
            return "greyscale", f"{100 * row['coloured']:.1f} % coloured, less than {100 * o.coloured:g} %"
        if row["tint"] < o.tint:
            return "greyscale", f"colours within {row['tint']:.1f} of one tint, less than {o.tint:g}"
        if row["panels"] >= o.panels:
            return "comic_page", f"{row['panels']} panels, at least {o.panels}"
        # Before photos, whose edges are soft too.
        if row["sharpness"] < o.sharpness:
            return "blurry", f"sharpness {row['sharpness']:.2f}, less than {o.sharpness:g}"
        if row["photo"] >= o.photo:
            return "photo", f"photo score {row['photo']:.1f}, at least {o.photo:g}"
        return None

    def allowed(self, row: sqlite3.Row, credit: Mapping[str, str]) -> bool:
        """Is it on the allow list, and so good whatever it looks like?"""
        return self._listed(self.allow, row, credit) is not None

    @staticmethod
    def _listed(files: FileList, row: sqlite3.Row, credit: Mapping[str, str]) -> str | None:
        return files.find(show(row["path"]), row["sha"], credit.get("author", ""), credit.get("licence", ""))
