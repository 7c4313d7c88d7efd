"""What a layer shows at a frame of an animation, and at which frames it changes."""

from __future__ import annotations

from math import gcd
from typing import Any

from . import layers
from .pixels import Picture, Rect, is_plain, to_srgb
from .timing import krita_call

Frame = int


def key_frames(node: Any, first: Frame, last: Frame) -> set[Frame]:
    """Frames of a range at which a layer or one inside it changes; the first always counts."""
    found = {first}
    for each in [node, *(n for n, _ in layers.walk(node))]:
        if each.animated():
            found.update(t for t in range(first, last + 1) if each.hasKeyframeAtTime(t))
    return found


def moves_inside(node: Any) -> bool:
    """Whether it is a group with an animated layer: its picture can only be read at the current time."""
    return any(n.animated() for n, _ in layers.walk(node))


def held_key(node: Any, frame: Frame) -> Frame | None:
    """The key frame that a frame shows; None where there is none yet."""
    return next((t for t in range(frame, -1, -1) if node.hasKeyframeAtTime(t)), None)


def read_at(node: Any, rect: Rect, frame: Frame) -> Picture | None:
    """A layer's pixels at a frame; None where it shows nothing then."""
    x, y, w, h = rect
    if not node.animated():
        with krita_call("read"):
            raw = node.projectionPixelData(x, y, w, h)
    else:
        key = held_key(node, frame)
        if key is None:
            return None
        with krita_call("read"):
            raw = node.pixelDataAtTime(x, y, w, h, key)
    if not is_plain(node):
        raw = to_srgb(raw, (node.colorModel(), node.colorDepth(), node.colorProfile()), rect)
    picture = Picture(raw, x, y, w, h)
    return None if picture.empty else picture


def common_step(frames: list[Frame]) -> int:
    """The largest step that, from the first frame on, meets all frames."""
    step = 0
    for frame in frames:
        step = gcd(step, frame - frames[0])
    return step or 1
