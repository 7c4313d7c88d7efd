"""What a layer shows at a frame of an animation, and at which frames it changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import layers
from .building import scratch
from .pixels import Picture, Rect, canvas, picture_of, read
from .timing import krita_call

if TYPE_CHECKING:
    from krita import Document, Node

Frame = int


def key_frames(node: Node, first: Frame, last: Frame) -> set[Frame]:
    """Frames of a range at which a layer or one inside it changes; the first always counts."""
    found = {first}
    for each in [node, *(n for n, _ in layers.walk(node))]:
        if each.animated():
            found.update(t for t in range(first, last + 1) if each.hasKeyframeAtTime(t))
    return found


def moves_inside(node: Node) -> bool:
    """Whether it is a group with an animated layer, whose picture has to be made up for each frame."""
    return any(n.animated() for n, _ in layers.walk(node))


def held_key(node: Node, frame: Frame) -> Frame | None:
    """The key frame that a frame shows; None where there is none yet."""
    return next((t for t in range(frame, -1, -1) if node.hasKeyframeAtTime(t)), None)


def read_group_at(document: Document, node: Node, frame: Frame) -> Picture | None:
    """A group's picture at a frame, made up in a hidden document: in the artist's, changing it is a step to undo."""
    with scratch(document) as aside:
        with krita_call("go to frame"):
            copy = node.clone()
            layers.root(aside).addChildNode(copy, None)
            aside.setCurrentTime(frame)
            aside.waitForDone()
        picture = read(copy, canvas(document))
    return None if picture.empty else picture


def read_at(node: Node, rect: Rect, frame: Frame) -> Picture | None:
    """A layer's pixels at a frame; None where it shows nothing then."""
    if node.animated():
        key = held_key(node, frame)
        if key is None:
            return None
        with krita_call("read"):
            raw = node.pixelDataAtTime(*rect, key)
        picture = picture_of(raw, node, rect)
    else:
        picture = read(node, rect)
    return None if picture.empty else picture
