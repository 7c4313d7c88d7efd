"""Writes what an evaluation found: a report in Markdown and HTML with contact sheets, and every number as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader

from engine.system.files import atomic_write
from training.evaluation.catalogue import METRICS, Place, shown_in
from training.evaluation.changes import WITHIN, change_table, compare_relative
from training.evaluation.distances import FEWEST, compare_sets
from training.evaluation.plan import ORIGINAL, Findings
from training.evaluation.sheets import write_sheets
from training.evaluation.tables import (
    Rows,
    Table,
    clean,
    columns,
    compare,
    compare_table,
    count_name,
    counts_of,
    group_table,
    mean,
    method_table,
    number,
)

MOST_GROUPS = 40


@dataclass(frozen=True)
class Section:
    """A part of the report.

    Attributes:
        title: its head.
        notes: paragraphs.
        table: or None.
        pictures: files, relative to the report.
    """

    title: str
    notes: list[str] = field(default_factory=list)
    table: Table | None = None
    pictures: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Subject:
    """What the report is about.

    Attributes:
        titles: what every output is called, in the order of the tables.
        ours: outputs of checkpoints; the first is compared with all others.
        eyes: what the features are called, by eye.
        about: everything the run was made with, for the JSON.
        lines: the same in words, for the top of the report.
        seed: of the bootstrap.
        held: outputs and the outputs of the reference setting they are held against.
    """

    titles: dict[str, str]
    ours: list[str]
    eyes: dict[str, str]
    about: dict[str, Any]
    lines: list[str]
    seed: int = 0
    held: Sequence[tuple[str, str]] = ()


EXPLAINED = {
    "sets": "The set of a method's pictures, with their lines, against the set of originals; smaller is better. KID "
    "is the unbiased squared MMD with a cubic kernel between originals of one half of the pictures and "
    "results of the other, mean and deviation over 100 random halves. The row of the originals themselves "
    "shows what no difference scores; the last column is what a method scores above it on the same halves.",
    "standard": "These features are brought to mean 0 and deviation 1 over the originals and to one length per "
    "picture. The numbers rank methods within this report; they are comparable neither with published KIDs nor with "
    "those of other features.",
    "fid": "FID is biased upwards by small sets: with fewer than some thousands of pictures compare it only within "
    "this table, and trust KID before it.",
    "pairs": "{side} 0: {ours} is better. Won: share of pictures in which it is better. The second "
    "interval draws whole folders, since pictures of one folder share a book or an artist. p is of the "
    "Wilcoxon signed-rank test, corrected for all pairs of the table after Holm.",
    "changes": "Means over the pictures, each relative to the reference setting's. Worst is the greatest change for "
    f"the worse; the last column says whether every number stays within {WITHIN:.0%} either way. A number that was "
    "0 changes without bound (∞). PSNR is a logarithm already. KID may be 0 or below and is left out: see above.",
    "mask": "Each picture once more with a random mask over the finished original: the largest byte difference and "
    "alpha outside the mask, and how far alpha inside differs from the mask. All must be 0.",
}


def distances(findings: Findings, subject: Subject) -> Rows:
    """Distances between sets, by eye, number of hints and output; the originals against themselves first."""
    out: Rows = []
    for eye in subject.eyes:
        originals = findings.features.get((eye, ORIGINAL, 0), {})
        found = [(o, c, f) for (e, o, c), f in findings.features.items() if e == eye and o != ORIGINAL]
        order = {o: i for i, o in enumerate(subject.titles)}
        found.sort(key=lambda item: (item[1] < 0, item[1], order[item[0]]))
        for output, count, features in [(ORIGINAL, 0, originals), *found]:
            both = sorted(set(originals) & set(features))
            if not both:
                continue
            real, fake = (np.stack([f[k] for k in both]) for f in (originals, features))
            standard = eye == "own"
            numbers = compare_sets(real, fake, standard=standard, seed=subject.seed)
            itself = compare_sets(real, real, standard=standard, seed=subject.seed)
            numbers["kid_above"] = numbers["kid"] - itself["kid"]
            out.append({"eye": eye, "hints": count, "method": output, **numbers, "pictures": len(both)})
    return out


def _distance_section(eye: str, rows: Rows, subject: Subject) -> Section:
    titles = {ORIGINAL: "the originals themselves", **subject.titles}
    with_fid = any("fid" in r for r in rows)
    digits = 4 if with_fid else 2
    body = []
    for r in rows:
        name = titles[r["method"]] if r["method"] == ORIGINAL else f"{count_name(r['hints'])}, {titles[r['method']]}"
        cells = [f"{number(r['kid'], digits)} ± {number(r['kid_deviation'], digits)}", number(r["kid_above"], digits)]
        body.append([name, *([number(r["fid"])] if with_fid else []), *cells, str(r["pictures"])])
    head = ["hints, method", *(["FID"] if with_fid else []), "KID", "KID above the originals", "pictures"]
    notes = [EXPLAINED["sets"]]
    if eye == "own":
        notes.append(EXPLAINED["standard"])
    if with_fid:
        notes.append(EXPLAINED["fid"])
    if rows and rows[0]["pictures"] < FEWEST:
        notes.append(f"Fewer than {FEWEST} pictures: no distance between sets can be given.")
    kind = "FID and KID" if with_fid else "KID"
    return Section(f"Distance between sets: {kind} on features of {subject.eyes[eye]}", notes, Table(head, body))


def _mask_table(masked: Rows) -> Table:
    keys = ("byte_difference", "alpha_outside", "alpha_inside")
    body = []
    for method in dict.fromkeys(r["method"] for r in masked):
        part = [r for r in masked if r["method"] == method]
        worst = [str(max(r[k] for r in part)) for k in keys]
        body.append([method, *worst, number(mean(r["share"] for r in part), 0, "%"), str(len(part))])
    return Table(["model", "bytes outside", "alpha outside", "alpha inside", "mean share of mask", "pictures"], body)


def sheet_rows(findings: Findings, count: int, outputs: Sequence[str]) -> list[tuple[str, list[Any]]]:
    """Rows of the sheets for one number of hints: lineart with strokes, original and every output, grey without one."""
    blank = np.full((8, 8, 3), 96, np.uint8)
    columns = [f"{ORIGINAL}/0", f"{ORIGINAL}/1", *outputs]
    return [(key, [cells.get(c, blank) for c in columns]) for key, cells in findings.shown.get(count, [])]


def put_sheets(findings: Findings, folder: Path, titles: Mapping[str, str]) -> dict[int, list[Path]]:
    """Write the contact sheets into ``folder``: the files by number of hints."""
    out = {}
    for count in counts_of(findings.rows):
        outputs = [m for m in titles if any(r["method"] == m and r["hints"] == count for r in findings.rows)]
        columns = ["lineart, hints", "original", *[titles[m] for m in outputs]]
        name = count_name(count) if count < 0 else f"{count:02d}"
        out[count] = write_sheets(folder, name, columns, sheet_rows(findings, count, outputs))
    return out


def sections(
    findings: Findings, subject: Subject, sets: Rows, pairs: Mapping[str, Rows], changes: Rows
) -> list[Section]:
    """The report without its sheets."""
    rows, titles = findings.rows, subject.titles
    strokes = findings.strokes
    out = []
    places: tuple[tuple[Place, str], ...] = (
        ("likeness", "Likeness to the original"),
        ("hints", "Hints, lines and regions"),
    )
    for place, title in places:
        taken = [m for m in shown_in(place) if m.name in rows[0]]
        table = method_table(rows, strokes, columns([m.name for m in taken], intervals=True), titles)
        out.append(Section(title, [" ".join(f"{m.title}: {m.meaning}" for m in taken)], table))
    out += [_distance_section(eye, [r for r in sets if r["eye"] == eye], subject) for eye in subject.eyes]
    if changes:
        table = change_table(changes, titles)
        out.append(Section("Relative to the reference setting", [EXPLAINED["changes"]], table))
    for key, compared in pairs.items():
        if compared:
            side = "Below" if METRICS[key].better < 0 else "Above"
            note = EXPLAINED["pairs"].format(side=side, ours=titles[subject.ours[0]])
            title = f"Paired differences in {METRICS[key].title}"
            out.append(Section(title, [note], compare_table(compared, titles)))
    if findings.masked:
        out.append(Section("Outside the mask", [EXPLAINED["mask"]], _mask_table(findings.masked)))
    many = len({r["group"] for r in rows}) > MOST_GROUPS
    shown = [f"The {MOST_GROUPS} folders with most pictures."] if many else []
    out.append(Section("ΔE00 per folder", shown, group_table(rows, titles, MOST_GROUPS)))
    if findings.failures:
        body = [[picture, who, why.replace("|", "/")] for picture, who, why in findings.failures]
        note = "Left out of every table above; another run tries them again."
        out.append(Section("What failed", [note], Table(["picture", "method, hints", "reason"], body)))
    return out


def write_report(findings: Findings, subject: Subject, out: Path) -> dict[str, Any]:
    """Write ``report.md``, ``report.html``, ``results.json`` and ``sheets/`` into ``out``.

    Returns:
        What the JSON holds, without its rows.
    """
    first, others = subject.ours[:1], [m for m in subject.titles if m not in subject.ours[:1]]
    pairs = {
        key: compare(findings.rows, first, others, subject.seed, key)
        for key in (m.name for m in shown_in("pairs"))
        if all(key in r for r in findings.rows)
    }
    sets = distances(findings, subject)
    changes = compare_relative(findings.rows, subject.held)
    parts = sections(findings, subject, sets, pairs, changes)
    (out / "sheets").mkdir(parents=True, exist_ok=True)
    for old in (out / "sheets").glob("sheet-*.png"):
        old.unlink()
    for count, files in put_sheets(findings, out / "sheets", subject.titles).items():
        if files:
            pictures = [f"sheets/{f.name}" for f in files]
            parts.append(Section(f"Pictures with {count_name(count)} hints", [], None, pictures))
    title = f"Evaluation on {len({r['picture'] for r in findings.rows})} pictures"
    _write(out / "report.md", _markdown(title, subject.lines, parts))
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
    page = environment.get_template("report.html").render(title=title, about=subject.lines, sections=parts)
    _write(out / "report.html", page)
    every = {
        "about": subject.about,
        "metrics": [{key: getattr(m, key) for key in ("name", "title", "unit", "better")} for m in METRICS.values()],
        "comparisons": pairs,
        "changes": changes,
        "distances": sets,
        "masked": findings.masked,
        "strokes_median_p95": {
            f"{method}, {count_name(count)}": [spread.percentile(50), spread.percentile(95)]
            for (method, count), spread in findings.strokes.items()
        },
        "failures": findings.failures,
        "rows": findings.rows,
    }
    _write(out / "results.json", json.dumps(clean(every), indent=1, ensure_ascii=False))
    return {k: clean(v) for k, v in every.items() if k != "rows"}


def _markdown(title: str, lines: Sequence[str], parts: Sequence[Section]) -> str:
    blocks = [f"# {title}", *lines]
    for part in parts:
        blocks += [f"## {part.title}", *part.notes]
        if part.table is not None:
            blocks.append(part.table.markdown())
        blocks += [f"![{part.title}]({name})" for name in part.pictures]
    return "\n\n".join(blocks) + "\n"


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
