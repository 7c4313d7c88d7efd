"""Paints the layers Shadow (for Multiply) and Light (for Screen) at full size, and the picture both make of the flats.

Every pixel's shadow, light and colour follow from its flat colour and one tone, so that they are looked up in tables of
``TONES`` entries a colour; nothing but the tone is worked out at full size.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.imaging.canvas import Frame
from engine.imaging.form import Form
from engine.imaging.form.bodies import GROUND
from engine.imaging.layers.blending import multiply, screen
from engine.imaging.layers.enlarging import between
from engine.imaging.layers.flats import Flats
from engine.imaging.layers.light import LightSettings, Plane, Step
from engine.imaging.layers.painting import PAINTERS, STRIP_PIXELS
from engine.imaging.layers.tints import light_amounts, shadow_factors

TONES = 512
"""Entries a colour: 1 = full shadow, 256 = the flat colour, 511 = full light."""
FLAT = 256
USUAL_AMBIENT = 0.3
"""Ambient light at which a strength of 1 is as deep as the tints say."""
EDGE = 1.25
"""Pixels of the canvas over which an edge between two tones is smoothed."""


@dataclass(frozen=True)
class Tables:
    """RGBA words per colour and tone, KxTONES uint32 each.

    Attributes:
        shadow: of the layer for Multiply; 0 where it changes nothing.
        light: of the layer for Screen, likewise.
        colour: of flats and both layers together, alpha 255.
    """

    shadow: NDArray[np.uint32]
    light: NDArray[np.uint32]
    colour: NDArray[np.uint32]


def make_tables(palette: NDArray[np.uint8], light: LightSettings) -> Tables:
    """Work out what every tone makes of every colour, in Krita's 8-bit arithmetic.

    Args:
        palette: Kx3 sRGB.
        light: its strength, ambient and tint count.
    """
    depth = light.strength * (1 - light.ambient) / (1 - USUAL_AMBIENT)
    tone = (np.arange(TONES, dtype=np.float32) - FLAT) / (FLAT - 1)
    dark, bright = np.clip(-tone, 0, 1)[None, :, None], np.clip(tone, 0, 1)[None, :, None]
    factors = shadow_factors(palette, depth, tinted=light.tinted)[:, None]
    amounts = light_amounts(palette, light.strength, tinted=light.tinted)[:, None]
    shadow = np.rint(255 * (1 - dark * (1 - factors))).astype(np.uint8)
    glow = np.rint(255 * bright * amounts).astype(np.uint8)
    flat = np.broadcast_to(palette[:, None], shadow.shape)
    colour = screen(glow, multiply(shadow, flat))
    return Tables(
        _words(shadow, np.any(shadow < 255, axis=2)),
        _words(glow, np.any(glow > 0, axis=2)),
        _words(colour, np.ones(shadow.shape[:2], np.bool_)),
    )


def _words(colours: NDArray[np.uint8], there: Any) -> NDArray[np.uint32]:
    """KxTx3 colours as RGBA words, opaque where ``there`` and 0 elsewhere."""
    alpha = np.where(there, 255, 0).astype(np.uint8)[..., None]
    four = np.concatenate([colours, alpha], axis=2)
    return np.asarray(np.where(there, four.view(np.uint32)[..., 0], 0), np.uint32)


@dataclass(frozen=True)
class _Seam:
    """Pixels of a strip whose four neighbours in the working size are not all of their form.

    Attributes:
        places: N, numbers of pixels in the strip.
        sources: 4xN, numbers of pixels of the working size.
        weights: 4xN, sum 1 each.
    """

    places: NDArray[np.int32]
    sources: NDArray[np.int32]
    weights: Plane


class Canvas:
    """Where a form's tones go at full size: what depends on drawing and frame alone, kept from one light to the next.

    Args:
        form: of the drawing.
        regions: HxW, the regions it was found from.
        height: of the frame in pixels.
        width: of the frame in pixels.
    """

    def __init__(self, form: Form, regions: NDArray[np.int32], height: int, width: int) -> None:
        self.height, self.width = height, width
        self.forms_of_regions = _forms_of_bodies(form).take(form.of_region)
        self._shape = form.bodies.shape
        self.scale = height / self._shape[0]
        self.rows, self.columns = (
            (np.arange(full) * 2 + 1) * size // (2 * full)
            for full, size in zip((height, width), regions.shape, strict=True)
        )
        self.step = max(1, min(STRIP_PIXELS // width, height))
        self._forms = form.surface.forms
        self._vertical, self._horizontal = between(self._shape[0], height), between(self._shape[1], width)
        table = self.forms_of_regions
        starts = range(0, height, self.step)
        self._seams = [self._seam(start, table.take(self.segments(regions, start))) for start in starts]

    def segments(self, labels: NDArray[np.int32], start: int) -> NDArray[np.int32]:
        """Labels of the size of the regions in a strip of the frame that begins at a row."""
        part = self.rows[start : start + self.step]
        first = labels[part[0] : part[-1] + 1]
        if labels.shape[1] != self.width:
            first = first.take(self.columns, axis=1)
        return first if labels.shape[0] == self.height else first.take(part - part[0], axis=0)

    def _seam(self, start: int, forms: NDArray[np.int32]) -> _Seam:
        h, w = self._shape
        (top, down), (left, right) = self._vertical, self._horizontal
        top, down = top[start : start + len(forms)], down[start : start + len(forms)]
        steps = (0, min(1, w - 1), w * min(1, h - 1), w * min(1, h - 1) + min(1, w - 1))
        known = self._forms.ravel()
        first = (top[:, None] * w + left[None]).astype(np.int32)
        odd = forms != GROUND
        odd &= np.logical_or.reduce([known.take(first + step) != forms for step in steps])
        places = np.flatnonzero(odd).astype(np.int32)
        y, x = np.divmod(places, self.width)
        fy, fx = down.take(y), right.take(x)
        sources = np.stack([first.ravel().take(places) + np.int32(step) for step in steps])
        weights = np.stack([(1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx]) + np.float32(1e-3)
        weights *= known.take(sources) == forms.ravel().take(places)
        lost = weights.sum(axis=0) == 0
        weights[:, lost] = 0.25
        weights /= weights.sum(axis=0)
        return _Seam(places, sources, weights.astype(np.float32))

    def tone(self, steps: list[Step], start: int) -> NDArray[np.intp]:
        """Tones in a strip that begins at a row, as numbers of the tables."""
        end = min(start + self.step, self.height)
        total = np.full((end - start, self.width), FLAT + 0.5, np.float32)
        for step in steps:
            values = self._enlarged(step.plane, start, end)
            values *= np.float32(self.scale / EDGE if step.gain is None else step.gain)
            values += np.float32(0.5)
            np.clip(values, 0, 1, out=values)
            values *= np.float32(step.value * (FLAT - 1))
            total += values
        return total.astype(np.intp)

    def _enlarged(self, plane: Plane, start: int, end: int) -> Plane:
        top, down = self._vertical
        first, last = int(top[start]), min(int(top[end - 1]) + 2, plane.shape[0])
        part = plane[first:last]
        above = top[start:end] - first
        below = np.minimum(above + 1, len(part) - 1)
        wide = np.asarray(cv2.resize(part, (self.width, len(part)), interpolation=cv2.INTER_LINEAR), np.float32)
        weight = down[start:end, None]
        out = wide.take(above, axis=0)
        out += (wide.take(below, axis=0) - out) * weight
        seam = self._seams[start // self.step]
        values = np.zeros(len(seam.places), np.float32)
        flat = plane.ravel()
        for source, share in zip(seam.sources, seam.weights, strict=True):
            values += flat.take(source) * share
        out.ravel()[seam.places] = values
        return out


@dataclass(frozen=True)
class Painted:
    """Layers, each HxWx4 uint8 RGBA.

    Attributes:
        flats: the flat colours.
        shadow: for Multiply.
        light: for Screen.
        colour: what both make of the flats.
    """

    flats: NDArray[np.uint8]
    shadow: NDArray[np.uint8]
    light: NDArray[np.uint8]
    colour: NDArray[np.uint8]


def _forms_of_bodies(form: Form) -> NDArray[np.int32]:
    """The form of each body; bodies of the working size that are ground have the ground's."""
    out = np.zeros(len(form.radii), np.int32)
    out[form.bodies.ravel()] = form.surface.forms.ravel()
    return out


def paint_light(
    frame: Frame,
    canvas: Canvas,
    flats: Flats,
    region_of_segment: NDArray[np.int32],
    steps: list[Step],
    light: LightSettings,
    shape: tuple[int, ...],
    mask: NDArray[np.uint8] | None,
    check: Callable[[], None],
    *,
    clipped: bool = False,
    flat_layer: NDArray[np.uint8] | None = None,
) -> Painted:
    """Paint shadow, light, and the picture both make of the flats, each HxWx4, colour and alpha 0 outside the mask.

    Args:
        frame: where on the canvas.
        canvas: of the drawing's form.
        flats: segments and their colours.
        region_of_segment: per segment the region it lies in.
        steps: tones of the light.
        light: its settings.
        shape: of the canvas.
        mask: HxW, or None for everywhere.
        check: called before each strip; what it raises ends the painting.
        clipped: layers are opaque wherever there is any of the mask, for laying with the alpha below them kept.
        flat_layer: the flats' own layer where it is painted already.
    """
    words = flats.palette.astype(np.uint32) @ np.array([1, 256, 65536], np.uint32)
    _, first, colour_of = np.unique(words, return_index=True, return_inverse=True)
    palette = flats.palette[first]
    tables = make_tables(palette, light)
    row_of = colour_of.astype(np.intp)
    planes = [tables.shadow, tables.light, tables.colour]
    if not light.ground:
        # On the ground every tone is the flat colour itself.
        plain = [np.repeat(plane[:, FLAT : FLAT + 1], TONES, axis=1) for plane in planes]
        planes = [np.concatenate([lit, unlit]) for lit, unlit in zip(planes, plain, strict=True)]
        row_of += np.where(canvas.forms_of_regions.take(region_of_segment) == GROUND, len(palette), 0)
    row_of *= TONES
    tables_of = [plane.ravel() for plane in planes]
    layers = [np.zeros((*shape, 4), np.uint8) for _ in planes]
    flat = np.zeros((*shape, 4), np.uint8) if flat_layer is None else flat_layer
    flat_words = tables.colour[:, FLAT].take(colour_of)

    def paint(start: int) -> None:
        check()
        index = canvas.tone(steps, start)
        segments = canvas.segments(flats.labels, start)
        index += row_of.take(segments)
        there = (slice(frame.y + start, frame.y + start + len(index)), slice(frame.x, frame.x + frame.width))
        work: list[tuple[NDArray[np.uint8], NDArray[np.uint32], NDArray[Any]]] = [
            (layer, table, index) for layer, table in zip(layers, tables_of, strict=True)
        ]
        if flat_layer is None:
            work.append((flat, flat_words, segments))
        if not any(step.value > 0 for step in steps):
            # Without any light, its layer is left as it is: clear.
            del work[1]
        for layer, table, numbers in work:
            view = layer.view(np.uint32)[..., 0][there]
            # Numbers are within the table; saying so saves checking each of them.
            table.take(numbers, out=view, mode="clip") if view.flags.c_contiguous else np.copyto(
                view, table.take(numbers)
            )
            if mask is not None:
                covered = mask[there]
                np.copyto(view, 0, where=covered == 0)
                if not clipped or layer is layers[2] or layer is flat:
                    np.copyto(layer[there][..., 3], covered, where=layer[there][..., 3] > 0)

    with ThreadPoolExecutor(min(PAINTERS, os.cpu_count() or 1)) as pool:
        list(pool.map(paint, range(0, canvas.height, canvas.step)))
    return Painted(flat, *layers)
