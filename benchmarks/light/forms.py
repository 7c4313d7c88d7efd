"""Known forms: the lines an artist would draw of them, and their true normals in closed form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

SIZE = 1024
"""Pixels of each side of the drawings."""
PEN = 4
SHIFT = 4
"""Bits behind the point of the coordinates given to OpenCV."""

Float = NDArray[np.float64]


@dataclass(frozen=True)
class KnownForm:
    """A drawing of a known form.

    Attributes:
        name: what it is.
        lineart: SIZExSIZE float32 in [0, 1], 1 = paper.
        normals: SIZExSIZEx3 unit vectors, x right, y up, z towards the viewer.
        inside: SIZExSIZE bool, where they are known.
        single: one form, and not several on or behind each other.
    """

    name: str
    lineart: NDArray[np.float32]
    normals: Float
    inside: NDArray[np.bool_]
    single: bool


class Pen:
    """Draws smooth black lines on white paper."""

    def __init__(self) -> None:
        self.paper = np.full((SIZE, SIZE), 255, np.uint8)

    def line(self, points: Float, *, closed: bool = True, filled: bool = False) -> Pen:
        """Draw Nx2 points (x, y); ``filled`` first lays paper over what is behind."""
        fixed = np.asarray(np.rint(points * (1 << SHIFT))[:, None], np.int32)
        if filled:
            cv2.fillPoly(self.paper, [fixed], 255, cv2.LINE_AA, SHIFT)
        cv2.polylines(self.paper, [fixed], closed, 0, PEN, cv2.LINE_AA, SHIFT)
        return self

    def lineart(self) -> NDArray[np.float32]:
        """What was drawn, 1 = paper."""
        return np.divide(self.paper, 255, dtype=np.float32)


def ellipse(x: float, y: float, a: float, b: float, turn: float = 0.0) -> Float:
    """Outline as Nx2 points: half axes ``a`` and ``b``, turned by degrees, clockwise on the canvas."""
    t = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    u, v = a * np.cos(t), b * np.sin(t)
    return np.stack([x + u * c - v * s, y + u * s + v * c], axis=1)


def _grid() -> tuple[Float, Float]:
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float64)
    return x, y


def _ellipsoid(x: float, y: float, a: float, b: float, turn: float = 0.0) -> tuple[Float, NDArray[np.bool_]]:
    """Normals of an ellipsoid as deep as it is wide across its long axis, and where it is."""
    gx, gy = _grid()
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    u, v = (gx - x) * c + (gy - y) * s, -(gx - x) * s + (gy - y) * c
    depth = min(a, b)
    left = 1 - (u / a) ** 2 - (v / b) ** 2
    inside = left > 0
    nu, nv, nz = u / a**2, v / b**2, np.sqrt(np.maximum(left, 0)) / depth
    return _unit(nu * c - nv * s, -(nu * s + nv * c), nz), inside


def _unit(x: Float, y: Float, z: Float) -> Float:
    out = np.stack([x, y, z], axis=2)
    return out / np.maximum(np.linalg.norm(out, axis=2, keepdims=True), 1e-12)


def sphere() -> KnownForm:
    """A sphere."""
    normals, inside = _ellipsoid(512, 512, 320, 320)
    return KnownForm("sphere", Pen().line(ellipse(512, 512, 320, 320)).lineart(), normals, inside, True)


def ellipsoid() -> KnownForm:
    """A long ellipsoid, turned."""
    shape = (512, 512, 380, 210, 25)
    normals, inside = _ellipsoid(*shape)
    return KnownForm("ellipsoid", Pen().line(ellipse(*shape)).lineart(), normals, inside, True)


def cylinder() -> KnownForm:
    """A cylinder from the side, with both ends."""
    half, long = 120.0, 400.0
    gx, gy = _grid()
    v = (gy - 512) / half
    inside = (np.abs(v) < 1) & (np.abs(gx - 512) < long)
    normals = _unit(np.zeros_like(v), -v, np.sqrt(np.maximum(1 - v**2, 0)))
    corners = np.array(
        [[512 - long, 512 - half], [512 + long, 512 - half], [512 + long, 512 + half], [512 - long, 512 + half]]
    )
    return KnownForm("cylinder", Pen().line(corners).lineart(), normals, inside, True)


def cone() -> KnownForm:
    """A cone from the side, its apex above."""
    top, bottom, half = 130.0, 880.0, 230.0
    gx, gy = _grid()
    width = np.maximum((gy - top) / (bottom - top) * half, 1e-9)
    u = (gx - 512) / width
    inside = (np.abs(u) < 1) & (gy > top) & (gy < bottom)
    slope = half / (bottom - top)
    normals = _unit(u, np.full_like(u, slope), np.sqrt(np.maximum(1 - u**2, 0)))
    corners = np.array([[512, top], [512 + half, bottom], [512 - half, bottom]])
    return KnownForm("cone", Pen().line(corners).lineart(), normals, inside, True)


def torus() -> KnownForm:
    """A torus along its axis."""
    middle, tube = 260.0, 105.0
    gx, gy = _grid()
    distance = np.maximum(np.hypot(gx - 512, gy - 512), 1e-9)
    t = (distance - middle) / tube
    inside = np.abs(t) < 1
    normals = _unit(t * (gx - 512) / distance, -t * (gy - 512) / distance, np.sqrt(np.maximum(1 - t**2, 0)))
    pen = (
        Pen()
        .line(ellipse(512, 512, middle + tube, middle + tube))
        .line(ellipse(512, 512, middle - tube, middle - tube))
    )
    return KnownForm("torus", pen.lineart(), normals, inside, True)


def two_spheres() -> KnownForm:
    """A sphere in front of another."""
    behind, front = (610, 430, 250, 250), (400, 600, 240, 240)
    normals, inside = _ellipsoid(*behind)
    nearer, there = _ellipsoid(*front)
    normals[there] = nearer[there]
    pen = Pen().line(ellipse(*behind)).line(ellipse(*front), filled=True)
    return KnownForm("two spheres", pen.lineart(), normals, inside | there, False)


def button() -> KnownForm:
    """A sphere with a flat button, and two holes in it."""
    normals, inside = _ellipsoid(512, 512, 320, 320)
    pen = Pen().line(ellipse(512, 512, 320, 320)).line(ellipse(440, 460, 70, 70))
    for x in (420, 460):
        pen.line(ellipse(x, 460, 12, 12))
    return KnownForm("sphere with a button", pen.lineart(), normals, inside, False)


def face() -> KnownForm:
    """An egg of a head with eyes, irises, pupils, brows, a nose and a mouth."""
    normals, inside = _ellipsoid(512, 512, 280, 350)
    pen = Pen().line(ellipse(512, 512, 280, 350))
    for x in (410, 614):
        pen.line(ellipse(x, 450, 62, 38)).line(ellipse(x, 450, 30, 30)).line(ellipse(x, 450, 11, 11))
        brow = ellipse(x, 420, 80, 50)[220:340]
        pen.line(brow, closed=False)
    nose = np.array([[512, 470], [480, 570], [520, 585]], np.float64)
    pen.line(nose, closed=False)
    pen.line(ellipse(512, 680, 90, 30)).line(np.array([[424, 680], [512, 672], [600, 680]], np.float64), closed=False)
    return KnownForm("face", pen.lineart(), normals, inside, False)


FORMS: tuple[Callable[[], KnownForm], ...] = (
    sphere,
    ellipsoid,
    cylinder,
    cone,
    torus,
    two_spheres,
    button,
    face,
)
"""All of them."""


def angle_errors(form: KnownForm, normals: NDArray[np.float32]) -> Float:
    """Angles in degrees between the true normals and hxwx3 ones found, where the form is known."""
    h, w = normals.shape[:2]
    y, x = np.nonzero(form.inside)
    found = normals[y * h // SIZE, x * w // SIZE].astype(np.float64)
    cosine = (found * form.normals[y, x]).sum(axis=1)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))
