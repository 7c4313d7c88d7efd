"""Light on a drawing: its form, found once, and the layers of any light on it. Hints and networks have no part."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from engine.imaging.canvas import Frame
from engine.imaging.form import Form, find_form
from engine.imaging.layers.flats import Flats
from engine.imaging.layers.light import LightSettings, Lit
from engine.imaging.layers.lighting import Canvas, Painted, paint_light
from engine.imaging.regions.flood import INK
from engine.pipeline.drawing import Drawing
from engine.protocol.settings import JobSettings


def light_settings(settings: JobSettings) -> LightSettings | None:
    """The light that a job asks for, or None where it asks for none."""
    if settings.light is None:
        return None
    return LightSettings(
        azimuth=settings.light,
        elevation=settings.light_elevation,
        ambient=settings.light_ambient,
        style=settings.light_style,
        tones=settings.light_tones,
        strength=settings.light_strength,
        contact=settings.light_contact,
        tinted=settings.light_tint,
        ground=settings.light_ground,
    )


def find_drawing_form(drawing: Drawing) -> Form:
    """The form of a drawing, by its regions and its lines alone."""
    return find_form(drawing.regions, drawing.levels >= INK)


class Known:
    """What is known of a drawing, and its form once somebody asks for it.

    Attributes:
        drawing: its regions and landscape.
    """

    def __init__(self, drawing: Drawing, frame: Frame) -> None:
        self.drawing, self._frame = drawing, frame

    @cached_property
    def lighting(self) -> Lighting:
        """The drawing ready to be lit."""
        return Lighting(self.drawing, self._frame)


class Lighting:
    """A drawing ready to be lit.

    Args:
        drawing: its regions and lines.
        frame: what part of the canvas it is.
    """

    def __init__(self, drawing: Drawing, frame: Frame) -> None:
        self._regions, self.frame = drawing.regions, frame
        self.form = find_drawing_form(drawing)
        self.lit = Lit(self.form)
        self._canvas = Canvas(self.form, drawing.regions, frame.height, frame.width)

    def paint(
        self,
        flats: Flats,
        light: LightSettings,
        shape: tuple[int, ...],
        mask: NDArray[np.uint8] | None,
        check: Callable[[], None],
        *,
        clipped: bool,
        flat_layer: NDArray[np.uint8] | None = None,
    ) -> Painted:
        """The layers, see ``paint_light``; the flats' segments lie within the drawing's regions."""
        of_segment = np.zeros(len(flats.palette), np.int32)
        of_segment[flats.labels.ravel()] = self._regions.ravel()
        steps = self.lit.tones(light)
        return paint_light(
            self.frame,
            self._canvas,
            flats,
            of_segment,
            steps,
            light,
            shape,
            mask,
            check,
            clipped=clipped,
            flat_layer=flat_layer,
        )
