"""Light from a direction on a form: how dark or bright each place is, at the form's working size.

A tone is a number in [-1, 1]: -1 in full shadow, 0 the flat colour itself, 1 in full light. Tones are handed on as the
fields they are cut from, so that the edge between two tones is as sharp at full size as the canvas allows.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.imaging.form import Form
from engine.imaging.form.bodies import GROUND, boxes_of

Plane = NDArray[np.float32]

SHADOW_FROM, SHADOW_TO = 0.5, -0.25
"""Cosines between normal and light at which soft shadow begins and is full."""
LIGHT_FROM, LIGHT_TO = 0.85, 1.0
"""The same for soft light."""
TERMINATOR = 0.2
"""Cosine at which cel shadow begins,"""
HIGHLIGHT = 0.95
"""and cel light."""
RIM_WIDTH = 0.55
"""Height of the normal above the picture's plane, as a sine, under which an outline has a rim of light."""
ROUNDING = 0.006
"""Standard deviation of the rounding of cel edges, as a part of the root of the picture's area: no bend of an edge is
much tighter than that."""
LEAST_ISLAND = 0.0006
"""Part of the picture's area under which no patch of a tone is left in cel style."""
CONTACT = 0.022
"""Longest contact shadow at an elevation of 45 degrees, as a part of the root of the picture's area,"""
CONTACT_OF_FRONT = 0.4
"""and as a part of the radius of what throws it."""
CONTACT_SOFTNESS = 0.35
"""Blur of a soft contact shadow, as a part of its length."""


@dataclass(frozen=True)
class LightSettings:
    """Where the light comes from and how it looks.

    Attributes:
        azimuth: degrees, 0 = from the right, 90 = from above, counter-clockwise.
        elevation: degrees above the picture's plane, 0 to 90.
        ambient: light that reaches shadows, 0 = none to 1 = no shadow is left.
        style: soft, cel, or rim = soft with a rim of light towards the light, as from behind.
        tones: of cel: 2 = flat and shadow, 3 = light, too.
        strength: 0 = none, 1 = as a colourist would, up to 2.
        contact: contact shadows of what is in front, 0 = none to 1.
        tinted: shadows cooler and light warmer, per colour; else grey.
        ground: light the ground as well, as a plane that faces the viewer.
    """

    azimuth: float = 135.0
    elevation: float = 45.0
    ambient: float = 0.3
    style: str = "soft"
    tones: int = 2
    strength: float = 1.0
    contact: float = 1.0
    tinted: bool = True
    ground: bool = False


@dataclass(frozen=True)
class Step:
    """One tone: ``value`` times ``plane * gain + 0.5``, clipped to [0, 1].

    Attributes:
        plane: hxw at the working size.
        gain: None for an edge: as steep as is sharp at full size, the plane being in working pixels from the edge.
        value: -1 for shadow, 1 for light.
    """

    plane: Plane
    gain: float | None
    value: float


def direction(light: LightSettings) -> NDArray[np.float32]:
    """Unit vector towards the light: x right, y up, z towards the viewer."""
    azimuth, elevation = np.radians(light.azimuth), np.radians(light.elevation)
    flat = np.cos(elevation)
    return np.array([np.cos(azimuth) * flat, np.sin(azimuth) * flat, np.sin(elevation)], np.float32)


class Lit:
    """A form to be lit from any direction: keeps what does not depend on it.

    Args:
        form: what to light.
    """

    def __init__(self, form: Form) -> None:
        self.form = form
        h, w = form.bodies.shape
        self._root = (h * w) ** 0.5
        self._planes = [np.ascontiguousarray(form.surface.normals[..., i]) for i in range(3)]
        self._figure = form.figure
        self._rounding = _Rounding(form.surface.forms, max(1.0, ROUNDING * self._root), int(LEAST_ISLAND * h * w))

    def lambert(self, light: LightSettings) -> Plane:
        """Cosine between normal and direction of the light, hxw in [-1, 1]."""
        x, y, z = direction(light)
        out = self._planes[0] * x
        out += self._planes[1] * y
        out += self._planes[2] * z
        return np.asarray(out)

    def tones(self, light: LightSettings) -> list[Step]:
        """The tones of a light, as fields at the working size; 0 on the ground unless it is lit, too."""
        cosine = self.lambert(light)
        thrown = self._contact(light) if light.contact > 0 else None
        there = np.ones_like(self._figure) if light.ground else self._figure
        if light.style == "cel":
            dark = cosine < TERMINATOR
            if thrown is not None:
                dark |= thrown
            steps = [Step(self._rounding.edges(dark & there), None, -1.0)]
            if light.tones > 2:
                steps.append(Step(self._rounding.edges((cosine > HIGHLIGHT) & ~dark & there), None, 1.0))
            return steps
        shadow = _ramp(cosine, SHADOW_FROM, SHADOW_TO)
        if thrown is not None:
            reach = max(1.0, CONTACT_SOFTNESS * self._longest(light))
            # It stays with what it falls on: the blur counts only there, and no light passes under the edge.
            soft = self._rounding.blurred(thrown.astype(np.float32), reach)
            np.maximum(shadow, soft * np.float32(light.contact), out=shadow)
        bright = self._rim(light) if light.style == "rim" else _ramp(cosine, LIGHT_FROM, LIGHT_TO)
        bright *= 1 - shadow
        return [Step((shadow * there) - np.float32(0.5), 1.0, -1.0), Step((bright * there) - np.float32(0.5), 1.0, 1.0)]

    def _rim(self, light: LightSettings) -> Plane:
        """A band of light along the outlines that face the light."""
        azimuth = np.radians(light.azimuth)
        x, y, z = self._planes
        facing = x * np.float32(np.cos(azimuth)) + y * np.float32(np.sin(azimuth))
        return np.multiply(_ramp(z, RIM_WIDTH, 0.5 * RIM_WIDTH), _ramp(facing, 0.3, 0.7), dtype=np.float32)

    def _longest(self, light: LightSettings) -> float:
        """Length of the longest contact shadow in working pixels."""
        steep = np.tan(np.radians(np.clip(light.elevation, 15, 89)))
        return float(CONTACT * self._root / steep)

    def _contact(self, light: LightSettings) -> NDArray[np.bool_]:
        """Where bodies in front throw a shadow on those just behind them, hxw."""
        bodies = self.form.bodies
        out = np.zeros(bodies.shape, np.bool_)
        azimuth, longest = np.radians(light.azimuth), self._longest(light)
        h, w = bodies.shape
        for front, behind in self.form.order.front:
            length = min(longest, CONTACT_OF_FRONT * float(self.form.radii[front]))
            down, right = round(np.sin(azimuth) * length), round(-np.cos(azimuth) * length)
            (top, left, bottom, end) = self.form.boxes[front]
            y0, x0 = max(0, top + min(down, 0)), max(0, left + min(right, 0))
            y1, x1 = min(h, bottom + max(down, 0)), min(w, end + max(right, 0))
            if (down, right) == (0, 0):
                continue
            under = bodies[y0:y1, x0:x1] == behind
            if not under.any():
                continue
            mask = (bodies[y0:y1, x0:x1] == front).view(np.uint8)
            moved = cv2.warpAffine(
                mask, np.array([[1, 0, right], [0, 1, down]], np.float32), mask.shape[::-1], flags=cv2.INTER_NEAREST
            )
            out[y0:y1, x0:x1] |= moved.view(np.bool_) & under
        return out


def _ramp(values: Plane, start: float, end: float) -> Plane:
    """0 at ``start`` and before, 1 at ``end`` and behind, smooth (3t^2 - 2t^3) between; a new array."""
    t = (values - np.float32(start)) / np.float32(end - start)
    np.clip(t, 0, 1, out=t)
    t *= t * (3 - 2 * t)
    return np.asarray(t)


class _Rounding:
    """Rounds the edges of a mask within each form: diffuse, then cut at one half (Merriman, Bence and Osher 1992)."""

    def __init__(self, forms: NDArray[np.int32], sigma: float, least: int) -> None:
        self._sigma, self._least = sigma, least
        self._forms = forms
        self._reach = int(np.ceil(3 * sigma))
        self._patches: list[tuple[tuple[slice, slice], NDArray[np.bool_], Plane]] = []
        self._tiny = np.zeros(int(forms.max()) + 1, np.bool_)
        areas = np.bincount(forms.ravel())
        for number, (top, left, bottom, right) in enumerate(boxes_of(forms)):
            if number == GROUND or areas[number] == 0:
                continue
            if areas[number] < 2 * least:
                self._tiny[number] = True
                continue
            box = (slice(top, bottom), slice(left, right))
            inside = forms[box] == number
            self._patches.append((box, inside, self._blur(inside.astype(np.float32), sigma)))
        self._areas = np.maximum(areas, 1)

    def _blur(self, values: Plane, sigma: float) -> Plane:
        side = 2 * int(np.ceil(2.5 * sigma)) + 1
        return np.asarray(cv2.GaussianBlur(values, (side, side), sigma, borderType=cv2.BORDER_REPLICATE), np.float32)

    def blurred(self, values: Plane, sigma: float) -> Plane:
        """Values blurred within each form only."""
        out = values.copy()
        for box, inside, _ in self._patches:
            weight = self._blur(inside.astype(np.float32), sigma)
            part = self._blur(values[box] * inside, sigma) / np.maximum(weight, np.float32(1e-6))
            out[box][inside] = part[inside]
        return np.asarray(out)

    def edges(self, mask: NDArray[np.bool_]) -> Plane:
        """Signed distance in pixels, about, to the rounded edge of a mask: positive inside; exact only close to it."""
        out = np.full(mask.shape, -0.5, np.float32)
        share = np.bincount(self._forms.ravel(), mask.ravel(), len(self._areas)) / self._areas
        # What is too small for two tones has one.
        whole = (self._tiny & (share > 0.5)).take(self._forms)
        out[whole] = 0.5
        for box, inside, weight in self._patches:
            part = (mask[box] & inside).astype(np.float32)
            if not part.any():
                continue
            soft = self._blur(part, self._sigma) / np.maximum(weight, np.float32(1e-6))
            dark = self._without_islands(soft > 0.5, inside)
            changed = dark != (soft > 0.5)
            if changed.any():
                soft = self._blur((dark & inside).astype(np.float32), self._sigma) / np.maximum(
                    weight, np.float32(1e-6)
                )
                again = self._without_islands(soft > 0.5, inside)
                odd = (again != (soft > 0.5)).view(np.uint8)
                around = cv2.dilate(odd, np.ones((5, 5), np.uint8)).view(np.bool_)
                soft[around] = again[around]
            out[box][inside] = soft[inside] - np.float32(0.5)
        # A straight edge blurred by sigma rises by 1 / (sigma sqrt(2 pi)) a pixel.
        out *= np.float32(self._sigma * (2 * np.pi) ** 0.5)
        return out

    def _without_islands(self, dark: NDArray[np.bool_], inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Fill small patches of either tone with the other."""
        out = dark.copy()
        for tone in (True, False):
            at = ((out == tone) & inside).view(np.uint8)
            count, parts, stats, _ = cv2.connectedComponentsWithStats(at, connectivity=4)
            small = stats[:, cv2.CC_STAT_AREA] < self._least
            small[0] = False
            if small.any() and count > 1:
                out[small.take(parts)] = not tone
        return np.asarray(out)
