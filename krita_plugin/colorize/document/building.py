"""Builds what goes into the artist's document: results and colouring sets, each as one undo step.

A group and its layers are put together in a document of the plugin's own that is never shown; only the ready
group enters the artist's. Adding them one by one would be an undo step each.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from krita import Document, Krita, Node

from ..qt import not_none
from . import layers
from .pixels import SRGB, Picture, is_plain
from .timing import krita_call

MAX_STRIP_BYTES = 8 * 1024 * 1024
"""Bytes given to Krita at a time, so that its window never waits long."""


@dataclass(frozen=True)
class Place:
    """Where a result goes.

    Attributes:
        parent: the group.
        above: the layer right under it, or None for the top.
        multiply: it lies over an opaque lineart and must let its lines through.
    """

    parent: Node
    above: Node | None
    multiply: bool


def hides(lineart: Node, opaque: bool) -> bool:
    """Whether nothing can be seen under the lineart."""
    return opaque and lineart.blendingMode() in ("normal", "copy")


def place(lineart: Node, opaque: bool) -> Place:
    """Find the place of a result: right under the lineart, or over it where nothing could be seen under it.

    Args:
        lineart: its layer.
        opaque: its paper is not transparent.
    """
    parent = not_none(lineart.parentNode())
    children = parent.childNodes()
    at = [layers.ident(c) for c in children].index(layers.ident(lineart))
    if at > 0 and not hides(lineart, opaque):
        return Place(parent, _under_live(children[:at]), False)
    over = children[at + 1] if at + 1 < len(children) else None
    if (
        over is not None
        and over.type() == "grouplayer"
        and over.blendingMode() == "multiply"
        and layers.is_result(over)
    ):
        # Two results that both multiply would darken each other: the next one covers the first inside its group.
        return Place(over, _under_live(over.childNodes()), False)
    return Place(parent, children[at], True)


def _under_live(nodes: list[Node]) -> Node:
    """The topmost layer but the live one, which is to stay over all results."""
    return next((n for n in reversed(nodes) if n.name() != layers.LIVE), nodes[-1])


@contextlib.contextmanager
def scratch(document: Document) -> Iterator[Document]:
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


def result_steps(document: Document, pictures: dict[str, Picture], where: Place, name: str) -> Iterator[Node | None]:
    """Build a result; yields None between the steps, so that events are handled, and at last the finished node.

    Args:
        document: it will go to.
        pictures: ``flats`` and ``shading``, or ``colour``.
        where: its place.
        name: of the group, or of the layer where it is a single one.
    """
    single = list(pictures) == ["colour"] and not where.multiply
    titles = {"flats": layers.FLATS, "shading": layers.SHADING, "colour": name if single else layers.COLOUR}
    with scratch(document) as aside:
        yield None
        parent: Node | None = None
        # What multiplies is a group also for one layer: later results go inside.
        if not single:
            with krita_call("add layer"):
                # Where it is part of no image its picture is not made up, and would be missing in the artist's.
                parent = aside.createGroupLayer(name)
                layers.root(aside).addChildNode(parent, None)
            yield None
        top = parent
        for role in ("flats", "shading", "colour"):
            if role not in pictures:
                continue
            node = aside.createNode(titles[role], "paintlayer")
            yield from _fill_steps(node, pictures[role])
            if role == "shading":
                # Or the soft edge of a mask would be covered twice; its alpha was asked for to suit.
                node.setInheritAlpha(True)
            node.setLocked(True)
            if parent is None:
                top = node
            else:
                with krita_call("add layer"):
                    parent.addChildNode(node, None)
                yield None
        top = not_none(top)
        top.setLocked(True)
        if where.multiply:
            top.setBlendingMode("multiply")
        if parent is not None:
            parent.setCollapsed(True)
            with krita_call("clone"):
                top = parent.clone()
    yield top


def _fill_steps(node: Node, picture: Picture) -> Iterator[None]:
    """Put pixels into a layer of a hidden document, a strip at a time."""
    kind = (node.colorModel(), node.colorDepth(), node.colorProfile())
    plain = is_plain(node)
    if not plain:
        node.setColorSpace("RGBA", "U8", SRGB)
    rows = max(1, MAX_STRIP_BYTES // (4 * picture.width))
    for top in range(0, picture.height, rows):
        height = min(rows, picture.height - top)
        part = bytes(picture.view[top * picture.width * 4 : (top + height) * picture.width * 4])
        with krita_call("write"):
            node.setPixelData(part, picture.x, picture.y + top, picture.width, height)
        yield None
    if not plain:
        with krita_call("convert"):
            node.setColorSpace(*kind)
        yield None


def layer_of(path: Path, document: Document, name: str, where: Place) -> Node | None:
    """The only layer of a Krita file, in the colours of a document; None where Krita cannot read it."""
    app = Krita.instance()
    before = app.batchmode()
    # Trouble with the file is for the docker to tell, not for a dialog.
    app.setBatchmode(True)
    try:
        with krita_call("open frames"):
            opened = app.openDocument(str(path))
    finally:
        app.setBatchmode(before)
    if opened is None:
        return None
    try:
        opened.setBatchmode(True)
        with krita_call("open frames"):
            opened.waitForDone()
            node = opened.topLevelNodes()[0]
            kind = (document.colorModel(), document.colorDepth(), document.colorProfile())
            if (node.colorModel(), node.colorDepth(), node.colorProfile()) != kind:
                node.setColorSpace(*kind)
            node.setName(name)
            node.setLocked(True)
            top = node
            if where.multiply:
                top = opened.createGroupLayer(name)
                layers.root(opened).addChildNode(top, None)
                top.addChildNode(node.clone(), None)
                top.setBlendingMode("multiply")
                top.setLocked(True)
                opened.waitForDone()
            return top.clone()
    finally:
        with krita_call("open frames"):
            opened.setModified(False)
            opened.close()


def colouring_set(document: Document, name: str) -> Node:
    """A group of that name with an empty hint layer over a mask layer that tints a little."""
    with scratch(document) as aside:
        group = aside.createGroupLayer(name)
        layers.root(aside).addChildNode(group, None)
        mask = aside.createNode(layers.MASK, "paintlayer")
        # Strokes on it should not hide the drawing.
        mask.setOpacity(110)
        group.addChildNode(mask, None)
        group.addChildNode(aside.createNode(layers.HINTS, "paintlayer"), None)
        return group.clone()


def child(group: Node, name: str) -> Node | None:
    """The layer of a name in a group."""
    return next((n for n in group.childNodes() if n.name() == name), None)


def free_name(document: Document, name: str) -> str:
    """The name with the lowest number that no layer has yet."""
    taken = {str(node.name()) for node, _ in layers.walk(layers.root(document))}
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name} {number}"
    return found
