"""The picture so far, as the model should see it: what is painted already, without hints and mask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import building, layers
from .pixels import Picture, canvas, is_plain_paper, read, read_image
from .timing import krita_call

if TYPE_CHECKING:
    from krita import Document, Node


def picture_so_far(document: Document, lineart: Node, opaque: bool, leave_out: set[str]) -> Picture | None:
    """What can be seen under the lineart, with its lines; None where nothing is painted yet.

    Under a lineart that hides everything nothing counts, but whatever is painted over it does. A plain background
    does not: to the model white paper would be paint.

    Args:
        document: the artist's.
        lineart: its layer.
        opaque: its paper is not transparent.
        leave_out: ids of hints and mask; groups that hold only those are left out by it too.
    """
    nodes = _painted(document, lineart, building.hides(lineart, opaque), leave_out)
    if not nodes:
        return None
    with building.scratch(document) as aside:
        with krita_call("context"):
            for node in aside.topLevelNodes():
                node.remove()
            for node in [*nodes, *([] if opaque else [lineart])]:
                copy = node.clone()
                if layers.is_result(node):
                    # Multiply was for the lines of the lineart under it.
                    copy.setBlendingMode("normal")
                layers.root(aside).addChildNode(copy, None)
            aside.refreshProjection()
        return read_image(aside)


def _painted(document: Document, lineart: Node, hidden: bool, leave_out: set[str]) -> list[Node]:
    """Visible layers that make up the picture, the lowest first."""
    below: list[Node] = []
    above: list[Node] = []
    _walk(layers.root(document), layers.ident(lineart), leave_out, below, above)
    if hidden:
        return above
    found = below + [node for node in above if layers.is_result(node)]
    while found and found[0].type() == "paintlayer" and _is_paper(document, found[0]):
        found.pop(0)
    return found


def _walk(group: Node, line: str, leave_out: set[str], below: list[Node], above: list[Node]) -> None:
    """Sort the layers of a group by where they lie, seen from the lineart."""
    found = below
    for node in group.childNodes():
        uid = layers.ident(node)
        inside = {layers.ident(n) for n, _ in layers.walk(node)}
        if uid == line:
            found = above
        elif line in inside:
            # Its neighbours in the group count one by one.
            _walk(node, line, leave_out, below, above)
            found = above
        elif (
            node.visible()
            and uid not in leave_out
            and not (inside and inside <= leave_out)
            and node.type() != "selectionmask"
            and node.name() != layers.LIVE
        ):
            found.append(node)


def _is_paper(document: Document, node: Node) -> bool:
    bounds = node.bounds()
    if bounds.width() < document.width() or bounds.height() < document.height():
        return bool(bounds.width() == 0 or bounds.height() == 0)
    return is_plain_paper(read(node, canvas(document)))
