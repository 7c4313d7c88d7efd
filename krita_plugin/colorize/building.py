"""Builds what goes into the artist's document: results and colouring sets, each as one undo step.

A group and its layers are put together in a document of the plugin's own that is never shown; only the ready
group enters the artist's. Adding them one by one would be an undo step each.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from krita import Krita

from . import layers
from .pixels import Picture, fill
from .timing import krita_call


@dataclass(frozen=True)
class Place:
    """Where a result goes.

    Attributes:
        parent: the group.
        above: the layer right under it, or None for the top.
        multiply: it lies over an opaque lineart and must let its lines through.
    """

    parent: Any
    above: Any
    multiply: bool


def hides(lineart: Any, opaque: bool) -> bool:
    """Whether nothing can be seen under the lineart."""
    return opaque and lineart.blendingMode() in ("normal", "copy")


def place(lineart: Any, opaque: bool) -> Place:
    """Find the place of a result: right under the lineart, or over it where nothing could be seen under it.

    Args:
        lineart: its layer.
        opaque: its paper is not transparent.
    """
    parent = lineart.parentNode()
    children = parent.childNodes()
    at = [layers.ident(c) for c in children].index(layers.ident(lineart))
    if at > 0 and not hides(lineart, opaque):
        return Place(parent, children[at - 1], False)
    # Over the lineart and over the results that are there already.
    while at + 1 < len(children) and layers.is_result(children[at + 1]):
        at += 1
    return Place(parent, children[at], True)


@contextlib.contextmanager
def scratch(document: Any) -> Iterator[Any]:
    """A hidden document of the same size and colours; what is cloned out of it lives on."""
    with krita_call("scratch"):
        aside = Krita.instance().createDocument(
            document.width(),
            document.height(),
            "Colorize",
            document.colorModel(),
            document.colorDepth(),
            document.colorProfile(),
            float(document.resolution()),
        )
        aside.setBatchmode(True)
    try:
        yield aside
    finally:
        with krita_call("scratch"):
            aside.setModified(False)
            aside.close()


def result_steps(document: Any, pictures: dict[str, Picture], where: Place, name: str) -> Iterator[Any]:
    """Build a result; yields None between the steps, so that Krita can breathe, and at last the finished node.

    Args:
        document: it will go to.
        pictures: ``flats`` and ``shading``, or ``colour``.
        where: its place.
        name: of the group, or of the single layer.
    """
    titles = {"flats": layers.FLATS, "shading": layers.SHADING, "colour": name}
    with scratch(document) as aside:
        yield None
        parent = aside.rootNode()
        single = list(pictures) == ["colour"]
        if not single:
            with krita_call("add layer"):
                parent = aside.createGroupLayer(name)
                aside.rootNode().addChildNode(parent, None)
            yield None
        node = parent
        for role in ("flats", "shading", "colour"):
            if role not in pictures:
                continue
            node = aside.createNode(titles[role], "paintlayer")
            fill(node, pictures[role])
            node.setLocked(True)
            yield None
            if not single:
                with krita_call("add layer"):
                    parent.addChildNode(node, None)
                yield None
        top = node if single else parent
        top.setLocked(True)
        if not single:
            top.setCollapsed(True)
        if where.multiply:
            top.setBlendingMode("multiply")
        with krita_call("clone"):
            finished = top if single else top.clone()
    yield finished


def colouring_set(document: Any, name: str) -> Any:
    """A group of that name with an empty hint layer over a mask layer that tints a little."""
    with scratch(document) as aside:
        group = aside.createGroupLayer(name)
        aside.rootNode().addChildNode(group, None)
        mask = aside.createNode(layers.MASK, "paintlayer")
        # Strokes on it should not hide the drawing.
        mask.setOpacity(110)
        group.addChildNode(mask, None)
        group.addChildNode(aside.createNode(layers.HINTS, "paintlayer"), None)
        return group.clone()


def child(group: Any, name: str) -> Any:
    """The layer of a name in a group."""
    return next((n for n in group.childNodes() if n.name() == name), None)


def free_name(document: Any, name: str) -> str:
    """The name with the lowest number that no layer has yet."""
    taken = {str(node.name()) for node, _ in layers.walk(document.rootNode())}
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name} {number}"
    return found
