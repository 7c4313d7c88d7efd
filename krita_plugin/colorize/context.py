"""The picture so far, as the model should see it: what is painted already, without hints and mask."""

from __future__ import annotations

from typing import Any

from . import building, layers
from .pixels import Picture, canvas, is_plain_paper, read, read_image
from .timing import krita_call


def picture_so_far(document: Any, lineart: Any, opaque: bool, leave_out: set[str]) -> Picture | None:
    """What can be seen under the lineart, with its lines; None where nothing is painted yet.

    Results that lie over an opaque lineart are part of it, and so is whatever is painted over those. A plain
    background is not: to the model white paper would be paint.

    Args:
        document: the artist's.
        lineart: its layer.
        opaque: the lineart hides what is under it.
        leave_out: ids of hints and mask; groups that hold only those are left out by it too.
    """
    nodes = _painted(document, lineart, opaque, leave_out)
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
                aside.rootNode().addChildNode(copy, None)
            aside.refreshProjection()
        return read_image(aside)


def _painted(document: Any, lineart: Any, opaque: bool, leave_out: set[str]) -> list[Any]:
    """Visible layers that make up the picture, the lowest first."""
    found: list[Any] = []
    _walk(document, document.rootNode(), layers.ident(lineart), opaque, leave_out, found)
    while found and found[0].type() == "paintlayer" and _is_paper(document, found[0]):
        found.pop(0)
    return found


def _walk(document: Any, group: Any, line: str, opaque: bool, leave_out: set[str], found: list[Any]) -> bool:
    """Collect the layers of a group up to the lineart; true when that was met."""
    met = False
    for node in group.childNodes():
        uid = layers.ident(node)
        if uid == line:
            met = True
            continue
        inside = {layers.ident(n) for n, _ in layers.walk(node)}
        if line in inside:
            # Its neighbours in the group count one by one.
            met = _walk(document, node, line, opaque, leave_out, found) or met
            continue
        if not node.visible() or uid in leave_out or node.type() == "selectionmask" or node.name() == layers.LIVE:
            continue
        if inside and inside <= leave_out:
            continue
        if met and not opaque and not layers.is_result(node):
            continue
        found.append(node)
    return met


def _is_paper(document: Any, node: Any) -> bool:
    bounds = node.bounds()
    if bounds.width() < document.width() or bounds.height() < document.height():
        return bool(bounds.width() == 0 or bounds.height() == 0)
    return is_plain_paper(read(node, canvas(document)))
