"""Draws the hint strokes and masks of the examples from each folder's strokes.txt, next to its lineart.

A line of strokes.txt is ``#rrggbb WIDTH : x,y x,y ... ; x,y ...`` (strokes of one colour, parted by semicolons),
``mask :`` followed by the outline of what may be coloured, ``hole :`` followed by an outline inside it that stays, or
``// a remark``. All numbers are pixels of the lineart, counted from its top left corner.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image, ImageColor, ImageDraw

Point = tuple[float, float]

HERE = Path(__file__).resolve().parent
SPAN_STEPS = 12
"""Line segments per drawn span; 12 keeps even the longest strokes visibly round."""
MASK_VALUES = {"mask": 255, "hole": 0}


def curve(points: list[Point], closed: bool = False) -> list[Point]:
    """Return the Catmull-Rom curve through ``points``, so that a stroke bends as a hand would bend it.

    One or two points of an open stroke come back as they are.
    """
    if len(points) < 3:
        return points
    p = [points[-1], *points, *points[:2]] if closed else [points[0], *points, points[-1]]
    path: list[Point] = []
    for span in zip(p, p[1:], p[2:], p[3:], strict=False):
        for step in range(SPAN_STEPS):
            t = step / SPAN_STEPS
            x, y = (
                b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
                for a, b, c, d in zip(*span, strict=True)
            )
            path.append((x, y))
    return path if closed else [*path, points[-1]]


def parse_points(text: str) -> list[Point]:
    """Read ``x,y x,y ...``."""
    points = (pair.split(",") for pair in text.split())
    return [(float(x), float(y)) for x, y in points]


def draw(strokes: str, size: tuple[int, int]) -> tuple[Image.Image, Image.Image | None]:
    """Draw the text of a strokes.txt.

    Args:
        strokes: the text.
        size: width and height of the lineart.

    Returns:
        The RGBA hint layer (round brush, alpha 255 where painted, else 0), and the L mask or None where there is none.

    Raises:
        ValueError: a line has none of the forms that the module names.
    """
    hints, mask, masked = Image.new("RGBA", size, (0, 0, 0, 0)), Image.new("L", size, 0), False
    on_hints, on_mask = ImageDraw.Draw(hints), ImageDraw.Draw(mask)
    for line in strokes.splitlines():
        if not line.strip() or line.startswith("//"):
            continue
        tool, body = line.split(":")
        if tool.strip() in MASK_VALUES:
            masked = True
            on_mask.polygon(curve(parse_points(body), closed=True), fill=MASK_VALUES[tool.strip()])
            continue
        colour, width = tool.split()
        ink, radius = (*ImageColor.getrgb(colour)[:3], 255), int(width) / 2
        for stroke in body.split(";"):
            path = curve(parse_points(stroke))
            on_hints.line(path, fill=ink, width=int(width))
            for x, y in path:
                on_hints.ellipse((x - radius, y - radius, x + radius, y + radius), fill=ink)
    return hints, mask if masked else None


def main() -> None:
    """Write hints.png, and mask.png where there is one, for the folders named as arguments or for all of them."""
    for name in sys.argv[1:] or sorted(path.parent.name for path in HERE.glob("*/strokes.txt")):
        folder = HERE / name
        with Image.open(folder / "lineart.png") as lineart:
            size = lineart.size
        hints, mask = draw((folder / "strokes.txt").read_text(encoding="utf-8"), size)
        hints.save(folder / "hints.png", optimize=True)
        if mask is not None:
            mask.save(folder / "mask.png", optimize=True)


if __name__ == "__main__":
    main()
