"""Measures light on known forms, its direction, islands and edges, its speed, and with ART its agreement with painters.

    python -m benchmarks.light [ART] [--limit N] [--repeats N] [--sheet FILE.png] [--cache DIR] [--json]

ART is a folder with ``manifest.csv``. See README.md beside the benchmarks for what is measured.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.art_options import exit_code
from benchmarks.light.forms import FORMS, KnownForm, angle_errors
from benchmarks.light.real import DIRECTIONS, agreements
from benchmarks.light.sheet import make_sheet
from benchmarks.light.speed import SIZES, measure
from benchmarks.targets import Target, as_objects, target_table
from engine import DEFAULT_MODEL
from engine.imaging.canvas import Frame
from engine.imaging.layers.flats import Flats
from engine.imaging.layers.light import LEAST_ISLAND, LightSettings
from engine.models.checkpoint import find_weights, load_model
from engine.pipeline import Pipeline
from engine.pipeline.drawing import find_drawing
from engine.pipeline.lighting import Lighting
from training.evaluation.tables import Table, number

SINGLE, COMPOUND = 6.0, 15.0
"""Degrees from the true normals in the mean, for single forms and for compounds."""
AZIMUTH = 10.0
"""Degrees by which the azimuth found back from the picture may be off."""
ONE_AXIS = ("cylinder", "cone")
"""Forms whose normals hardly vary along one axis: their picture does not tell the direction."""
FIRST, TURN, TURN_LARGE = 0.4, 0.06, 0.4
"""Seconds: the first light and a turn of it at 1024, and a turn at A4."""
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def light_grey(form: KnownForm) -> tuple[Lighting, Flats, Frame]:
    """A known form ready to be lit, its flat colours a middle grey."""
    drawing = find_drawing(form.lineart)
    h, w = form.lineart.shape
    frame = Frame(0, 0, h, w, h, w, h, w)
    count = int(drawing.regions.max()) + 1
    palette = np.full((count, 3), 150, np.uint8)
    return Lighting(drawing, frame), Flats(drawing.regions, palette, np.zeros(count, np.bool_)), frame


def picture(lit: tuple[Lighting, Flats, Frame], light: LightSettings) -> NDArray[np.uint8]:
    """The grey form under a light, HxWx4."""
    lighting, flats, frame = lit
    shape = (frame.height, frame.width)
    return lighting.paint(flats, light, shape, None, lambda: None, clipped=False).colour


def azimuth_error(form: KnownForm, shown: NDArray[np.uint8], azimuth: float) -> float:
    """Degrees between a light's azimuth and the one found from picture and true normals by least squares."""
    keep = form.inside[::4, ::4]
    values = shown[::4, ::4, 1][keep].astype(np.float64)
    normals = form.normals[::4, ::4][keep]
    fitted = np.linalg.lstsq(np.column_stack([normals, np.ones(len(normals))]), values, rcond=None)[0]
    found = np.degrees(np.arctan2(fitted[1], fitted[0]))
    return float(abs((found - azimuth + 180) % 360 - 180))


def smallest_island(shown: NDArray[np.uint8]) -> float:
    """Part of the picture that its smallest patch of shadow takes up; 1 without any."""
    low, high = int(shown[..., 1].min()), int(shown[..., 1].max())
    if low == high:
        return 1.0
    dark = (shown[..., 1] < (low + high) / 2).view(np.uint8)
    sizes = cv2.connectedComponentsWithStats(dark, connectivity=8)[2][1:, cv2.CC_STAT_AREA]
    return float(sizes.min() / dark.size)


def known_forms() -> tuple[str, list[Target]]:
    """Normals, azimuths, ground and islands of all known forms."""
    rows, errors, azimuths, glow, islands = [], {True: [0.0], False: [0.0]}, [], 0, []
    for make in FORMS:
        form = make()
        lit = light_grey(form)
        angles = angle_errors(form, lit[0].form.surface.normals)
        errors[form.single].append(float(angles.mean()))
        off = []
        for azimuth in np.arange(DIRECTIONS) * 360 / DIRECTIONS:
            shown = picture(lit, LightSettings(azimuth=float(azimuth), tinted=False))
            off.append(azimuth_error(form, shown, float(azimuth)))
            outside = cv2.erode((~form.inside).astype(np.uint8), np.ones((9, 9), np.uint8)).view(np.bool_)
            if form.name != "torus":
                glow = max(glow, int(np.abs(shown[outside][:, :3].astype(int) - 150).max()))
            cel = picture(lit, LightSettings(azimuth=float(azimuth), style="cel", tinted=False))
            islands.append(smallest_island(cel))
        if form.name not in ONE_AXIS:
            azimuths.append(max(off))
        rows.append([form.name, number(angles.mean()), number(np.percentile(angles, 95), 1), number(max(off), 1)])
    table = Table(["form", "mean angle", "95 %", "azimuth, worst of 12"], rows).markdown()
    return table, [
        (f"normals of single forms <= {SINGLE:g} degrees", number(max(errors[True])), max(errors[True]) <= SINGLE),
        (f"normals of compounds <= {COMPOUND:g} degrees", number(max(errors[False])), max(errors[False]) <= COMPOUND),
        (f"azimuth found within {AZIMUTH:g} degrees", number(max(azimuths), 1), max(azimuths) <= AZIMUTH),
        ("levels of glow on the ground: 0", str(glow), glow == 0),
        (
            f"cel: smallest island >= {LEAST_ISLAND:.2%}",
            f"{min(islands):.3%}",
            min(islands) >= 0.9 * LEAST_ISLAND,
        ),
    ]


def speeds(repeats: int) -> tuple[str, list[Target]]:
    """Times of both sizes."""
    times = [t for size in SIZES for t in measure(*size, repeats)]
    rows = [[f"{t.width}x{t.height}", t.style, f"{t.first:.3f} s", f"{t.turn * 1000:.0f} ms"] for t in times]
    small, large = ([t for t in times if t.height == size[0]] for size in SIZES)
    first, turn, most = max(t.first for t in small), max(t.turn for t in small), max(t.turn for t in large)
    return Table(["canvas", "style", "first light", "turn"], rows).markdown(), [
        (f"first light at 1024 <= {FIRST:g} s", f"{first:.3f} s", first <= FIRST),
        (f"a turn at 1024 <= {TURN * 1000:.0f} ms", f"{turn * 1000:.0f} ms", turn <= TURN),
        (f"a turn at A4, 300 dpi <= {TURN_LARGE * 1000:.0f} ms", f"{most * 1000:.0f} ms", most <= TURN_LARGE),
    ]


def real_art(art: Path, cache: Path, pipeline: Pipeline, limit: int | None) -> tuple[str, list[Target]]:
    """Correlations with the light of real art."""
    found = agreements(art, cache, pipeline, limit)
    ours, network = (np.array([getattr(a, name) for a in found]) for name in ("ours", "network"))
    groups = sorted({a.picture.split("-")[0].split("/")[0] for a in found})
    text = f"{len(found)} pictures with light ({', '.join(groups)[:200]})\n"
    rows = [
        ["ours, best of 12", number(ours.mean(), 3), number(np.median(ours), 3)],
        ["network's shading", number(network.mean(), 3), number(np.median(network), 3)],
    ]
    table = Table(["light", "mean correlation", "median"], rows).markdown()
    threefold = ours.mean() >= 3 * max(network.mean(), 0)
    told = f"{ours.mean():.3f} against {network.mean():.3f}"
    return text + table, [("correlation with true light three times the network's", told, bool(threefold))]


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; see the module's text."""
    parser = argparse.ArgumentParser(description="Measure light: form, direction, speed, agreement with real art.")
    parser.add_argument("art", type=Path, nargs="?", metavar="ART", help="folder of test art with manifest.csv")
    parser.add_argument("--limit", type=int, metavar="N", help="only N pictures of it, spread evenly")
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="of each timing (%(default)s)")
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="also write the contact sheet of the examples")
    parser.add_argument("--height", type=int, default=120, metavar="N", help="of its pictures (%(default)s)")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="keep true flats there for the next run")
    parser.add_argument("--json", action="store_true", help="print the targets as one last line of JSON, too")
    options = parser.parse_args(arguments)

    def work() -> None:
        tables, targets = zip(known_forms(), speeds(options.repeats), strict=True)
        report, found = list(tables), [target for part in targets for target in part]
        pipeline = Pipeline(load_model(find_weights(DEFAULT_MODEL))) if options.art or options.sheet else None
        if options.art and pipeline:
            with tempfile.TemporaryDirectory() as made:
                table, more = real_art(options.art, options.cache or Path(made), pipeline, options.limit)
            report.append(table)
            found += more
        print("\n\n".join([*report, target_table(found)]))
        if options.sheet and pipeline:
            examples = sorted(p.parent for p in EXAMPLES.glob("*/lineart.png"))
            sheet = make_sheet(pipeline, examples, options.height)
            few = sheet.quantize(256, kmeans=4)
            sheet.quantize(palette=few, dither=Image.Dither.FLOYDSTEINBERG).save(options.sheet, optimize=True)
        if options.json:
            told: list[dict[str, Any]] = as_objects(found)
            print(json.dumps(told))

    return exit_code(work)


if __name__ == "__main__":
    sys.exit(main())
