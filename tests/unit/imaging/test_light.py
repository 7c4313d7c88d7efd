"""Light on a form: where it falls from, its styles, and the layers that bring it to the canvas."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.imaging.canvas import Frame
from engine.imaging.color import srgb_to_oklab
from engine.imaging.form import Form, find_form
from engine.imaging.layers.blending import compose_light
from engine.imaging.layers.flats import Flats
from engine.imaging.layers.light import LEAST_ISLAND, LightSettings, Lit
from engine.imaging.layers.lighting import Canvas, Painted, paint_light
from engine.imaging.layers.tints import light_amounts, shadow_factors
from engine.imaging.regions.segmentation import find_ink, find_regions

SIZE = 240
PALETTE = np.array([[230, 180, 150], [60, 120, 60], [200, 40, 40], [245, 245, 245], [20, 20, 30]], np.uint8)


def two_balls() -> NDArray[np.float32]:
    """A ball in front of another."""
    paper = np.full((SIZE, SIZE), 255, np.uint8)
    cv2.circle(paper, (140, 95), 60, 0, 2, cv2.LINE_AA)
    cv2.circle(paper, (95, 145), 62, 255, -1, cv2.LINE_AA)
    cv2.circle(paper, (95, 145), 62, 0, 2, cv2.LINE_AA)
    return np.divide(paper, 255, dtype=np.float32)


class Lamp:
    """Lights a drawing, each region of it with a colour of ``PALETTE``, at its own size or another."""

    def __init__(self, lineart: NDArray[np.float32], height: int | None = None) -> None:
        self.regions = find_regions(lineart)
        self.form: Form = find_form(self.regions, find_ink(lineart))
        self.lit = Lit(self.form)
        count = int(self.regions.max()) + 1
        self.flats = Flats(self.regions, np.resize(PALETTE, (count, 3)), np.zeros(count, np.bool_))
        h = height or lineart.shape[0]
        w = h * lineart.shape[1] // lineart.shape[0]
        self.frame = Frame(0, 0, h, w, h, w, h, w)
        self.canvas = Canvas(self.form, self.regions, h, w)

    def paint(self, light: LightSettings, mask: NDArray[np.uint8] | None = None, *, clipped: bool = False) -> Painted:
        """All layers under a light."""
        of_segment = np.arange(len(self.flats.palette), dtype=np.int32)
        shape, steps = (self.frame.height, self.frame.width), self.lit.tones(light)
        return paint_light(
            self.frame, self.canvas, self.flats, of_segment, steps, light, shape, mask, lambda: None, clipped=clipped
        )


@pytest.fixture(scope="module")
def lamp() -> Lamp:
    return Lamp(two_balls())


@pytest.mark.parametrize("style", ["soft", "cel", "rim"])
@pytest.mark.parametrize("azimuth", range(0, 360, 30))
def test_the_side_towards_the_light_is_brighter(lamp: Lamp, azimuth: float, style: str) -> None:
    light = LightSettings(azimuth=azimuth, style=style, contact=0)
    painted = lamp.paint(light)
    change = painted.colour[..., :3].astype(float).sum(axis=2) - painted.flats[..., :3].astype(float).sum(axis=2)
    gy, gx = np.mgrid[:SIZE, :SIZE]
    inside = np.hypot(gx - 95, gy - 145) < 58
    towards = (gx - 95) * np.cos(np.radians(azimuth)) - (gy - 145) * np.sin(np.radians(azimuth))
    assert change[inside & (towards > 20)].mean() > change[inside & (towards < -20)].mean() + 5


@pytest.mark.parametrize("style", ["soft", "cel", "rim"])
@pytest.mark.parametrize("tinted", [True, False])
def test_both_layers_over_the_flats_are_exactly_the_picture(lamp: Lamp, style: str, *, tinted: bool) -> None:
    painted = lamp.paint(LightSettings(azimuth=70, style=style, tones=3, tinted=tinted, strength=1.4))
    assert (compose_light(painted.flats, painted.shadow, painted.light) == painted.colour).all()
    assert painted.shadow[..., 3].any()
    assert painted.light[..., 3].any()


def test_the_ground_has_no_light_unless_asked(lamp: Lamp) -> None:
    ground = ~lamp.form.figure
    for style in ("soft", "cel", "rim"):
        painted = lamp.paint(LightSettings(style=style, tones=3, strength=2))
        assert (painted.shadow[ground] == 0).all()
        assert (painted.light[ground] == 0).all()
        assert (painted.colour[ground] == painted.flats[ground]).all()
    low = lamp.paint(LightSettings(elevation=5, ground=True))
    assert low.shadow[ground][:, 3].all()


def test_outside_the_mask_is_nothing_and_its_soft_edge_is_in_the_layers(lamp: Lamp) -> None:
    mask = np.tile(np.linspace(0, 255, SIZE).astype(np.uint8), (SIZE, 1))
    light = LightSettings(style="soft")
    plain, clipped = lamp.paint(light, mask), lamp.paint(light, mask, clipped=True)
    for layer in (plain.shadow, plain.light, plain.colour, plain.flats):
        assert (layer[mask == 0] == 0).all()
    there = plain.shadow[..., 3] > 0
    assert (plain.shadow[..., 3][there] == mask[there]).all()
    assert (clipped.shadow[..., 3][there] == 255).all()
    assert (plain.colour[..., 3] == mask).all()
    assert (clipped.colour == plain.colour).all()


@pytest.mark.parametrize("nothing", [{"strength": 0.0}, {"ambient": 1.0, "strength": 1.0}])
def test_no_strength_is_no_layer_and_ambient_light_leaves_no_shadow(lamp: Lamp, nothing: dict[str, float]) -> None:
    painted = lamp.paint(replace(LightSettings(), **nothing))
    assert not painted.shadow.any()
    if nothing["strength"] == 0:
        assert not painted.light.any()
        assert (painted.colour == painted.flats).all()


@settings(max_examples=25, deadline=None)
@given(st.floats(0, 360), st.floats(5, 85))
def test_cel_has_few_tones_smooth_edges_and_no_islands(azimuth: float, elevation: float) -> None:
    lamp = Lamp(two_balls(), 2 * SIZE)
    light = LightSettings(azimuth=azimuth, elevation=elevation, style="cel", tinted=False)
    painted = lamp.paint(light)
    shadow = np.where(painted.shadow[..., 3] > 0, painted.shadow[..., 0], 255)
    full = shadow == shadow.min()
    between = ~full & (shadow < 255)
    if shadow.min() == 255:
        return
    outline = np.count_nonzero(full[:, 1:] != full[:, :-1]) + np.count_nonzero(full[1:] != full[:-1])
    # An edge is smoothed over little more than a pixel.
    assert between.sum() <= 2.5 * outline + 8
    dark = shadow < (255 + int(shadow.min())) / 2
    h, w = lamp.frame.height, lamp.frame.width
    figure = cv2.resize(lamp.form.figure.astype(np.uint8), (w, h), interpolation=cv2.INTER_NEAREST)
    # At the figure's own edge what is lit may end in a thread of pixels; an island lies within it.
    within = cv2.erode(figure, np.ones((5, 5), np.uint8)) > 0
    for tone in (dark, ~dark & (figure > 0)):
        _, parts, stats, _ = cv2.connectedComponentsWithStats(tone.astype(np.uint8), connectivity=8)
        islands = np.unique(parts[within & tone])
        assert (stats[islands, cv2.CC_STAT_AREA] >= 0.6 * LEAST_ISLAND * tone.size).all()


def test_a_contact_shadow_falls_away_from_the_light_on_what_is_behind_alone(lamp: Lamp) -> None:
    with_contact = LightSettings(azimuth=225, style="soft", tinted=False)
    steps, without = lamp.lit.tones(with_contact), lamp.lit.tones(replace(with_contact, contact=0))
    darker = np.asarray(steps[0].plane - without[0].plane)
    bodies = lamp.form.bodies
    front, behind = bodies[145, 95], bodies[75, 165]
    assert darker[bodies == behind].max() > 0.3
    assert darker[bodies == front].max() <= 0.02
    # Light from behind the one in back throws none of the front's shadow on it.
    other = LightSettings(azimuth=45, style="soft", tinted=False)
    lit_from_there = lamp.lit.tones(other)[0].plane - lamp.lit.tones(replace(other, contact=0))[0].plane
    assert lit_from_there[bodies == behind].max() < 0.1


def test_a_light_at_full_size_stays_within_its_form() -> None:
    small, large = Lamp(two_balls()), Lamp(two_balls(), 4 * SIZE)
    light = LightSettings(azimuth=200, style="cel", contact=0, tinted=False)
    fine, coarse = large.paint(light).shadow, small.paint(light).shadow
    again = cv2.resize((fine[..., 3] > 0).astype(np.uint8), (SIZE, SIZE), interpolation=cv2.INTER_NEAREST)
    assert np.mean(again != (coarse[..., 3] > 0)) < 0.02
    ground = cv2.resize((~small.form.figure).astype(np.uint8), (4 * SIZE, 4 * SIZE), interpolation=cv2.INTER_NEAREST)
    inside = cv2.erode(ground, np.ones((9, 9), np.uint8)) > 0
    assert not fine[inside].any()


def test_a_bare_sheet_has_no_light() -> None:
    painted = Lamp(np.ones((40, 60), np.float32)).paint(LightSettings(style="cel"))
    assert not painted.shadow.any()
    assert (painted.colour == painted.flats).all()


SKIN = np.array(
    [[255, 219, 172], [241, 194, 125], [224, 172, 105], [198, 134, 66], [141, 85, 36], [90, 55, 35]], np.uint8
)


def hue_and_lightness(colours: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """OKLab hue in degrees and lightness of Nx3 sRGB in [0, 1]."""
    lab = srgb_to_oklab(colours)
    return np.degrees(np.arctan2(lab[:, 2], lab[:, 1])), lab[:, 0]


def test_skin_in_shadow_stays_skin() -> None:
    flat = np.divide(SKIN, 255, dtype=np.float32)
    shaded = flat * shadow_factors(SKIN, 1.0, tinted=True)
    hue, lightness = hue_and_lightness(flat)
    hue_in_shadow, darker = hue_and_lightness(shaded)
    turned = hue_in_shadow - hue
    # Towards red, and not as far as to leave the hues of skin.
    assert (turned <= 1).all()
    assert (turned >= -25).all()
    assert (darker < 0.85 * lightness).all()


@given(st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=20), st.booleans())
def test_shadow_darkens_and_light_brightens_every_colour(colours: list[tuple[int, int, int]], tinted: bool) -> None:
    palette = np.array(colours, np.uint8)
    flat = np.divide(palette, 255, dtype=np.float32)
    before = hue_and_lightness(flat)[1]
    for depth in (0.0, 0.5, 1.0, 2.0):
        factors, amounts = (f(palette, depth, tinted=tinted) for f in (shadow_factors, light_amounts))
        assert ((factors >= 0) & (factors <= 1)).all()
        assert ((amounts >= 0) & (amounts <= 1)).all()
        lightness = hue_and_lightness(flat * factors)[1]
        assert (lightness <= before + 0.01).all()
        assert (hue_and_lightness(1 - (1 - flat) * (1 - amounts))[1] >= hue_and_lightness(flat)[1] - 0.01).all()
        before = lightness
        if depth == 0:
            assert factors == pytest.approx(1, abs=0.02)
            assert amounts == pytest.approx(0, abs=0.02)


def test_grey_layers_are_the_same_for_all_colours() -> None:
    assert len(np.unique(shadow_factors(PALETTE, 1.0, tinted=False))) == 1
    assert len(np.unique(light_amounts(PALETTE, 1.0, tinted=False))) == 1
