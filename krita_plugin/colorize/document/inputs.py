"""Reads what a job needs out of a document: lineart, hints, mask and the picture so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import Mendable
from ..i18n import tr
from . import layers
from .choices import BELOW, NONE, SELECTION, Chosen
from .context import picture_so_far
from .pixels import (
    Picture,
    canvas,
    conversion_document,
    is_opaque,
    is_plain,
    painted,
    read,
    read_coverage,
    read_selection,
)

if TYPE_CHECKING:
    from krita import Document, Node

SMALLEST, LARGEST = 8, 120_000_000
"""Pixels of the shorter side, and of the whole image, that the engine takes."""


class InputError(Mendable):
    """The document cannot be coloured as it is."""


@dataclass(frozen=True)
class Inputs:
    """Everything of one job, read at one moment.

    Attributes:
        document: key of the document.
        width, height: of the image in pixels.
        lineart: id of the layer.
        opaque: the lineart's paper is not transparent.
        pictures: by role; roles without anything are left out.
    """

    document: str
    width: int
    height: int
    lineart: str
    opaque: bool
    pictures: dict[str, Picture]


def collect(document: Document, chosen: Chosen, model: dict[str, Any], go_on: bool = False) -> Inputs:
    """Read the layers.

    Args:
        document: the artist's.
        chosen: layer by role.
        model: descriptor of the model.
        go_on: the picture so far is the context whatever was chosen, and a mask or a selection must say where.

    Raises:
        InputError: something is missing or does not fit.
    """
    if is_plain(document):
        return _collect(document, chosen, model, go_on)
    with conversion_document():
        return _collect(document, chosen, model, go_on)


def _collect(document: Document, chosen: Chosen, model: dict[str, Any], go_on: bool) -> Inputs:
    width, height = document.width(), document.height()
    _check_size(width, height)
    lineart = _lineart(document, chosen)
    whole = canvas(document)
    drawing = read(lineart, whole)
    if drawing.empty:
        raise InputError(
            tr("The lineart layer is empty."), tr("Draw on it, or choose another layer as lineart under Layers.")
        )
    opaque = is_opaque(drawing)
    pictures = {"lineart": drawing}
    if model.get("uses_hints", True):
        hints = _hints(document, chosen)
        if hints is not None:
            pictures["hints"] = hints
    mask = _mask(document, chosen, go_on)
    if mask is not None:
        pictures["mask"] = mask
    if mask is not None and model.get("uses_context", True):
        context = _context(document, lineart, opaque, chosen, go_on)
        if context is not None:
            pictures["context"] = context
    key = layers.document_key(document)
    return Inputs(key, width, height, layers.ident(lineart), opaque, pictures)


def _check_size(width: int, height: int) -> None:
    if min(width, height) < SMALLEST:
        raise InputError(
            tr("The image is too small: {width} x {height} pixels.").format(width=width, height=height),
            tr("Colorize works from 8 pixels a side on."),
        )
    if width * height > LARGEST:
        raise InputError(
            tr("The image is too large: {width} x {height} pixels.").format(width=width, height=height),
            tr("Colorize takes up to 120 million pixels. Work on a part of it or on a smaller copy."),
        )


def _lineart(document: Document, chosen: Chosen) -> Node:
    lineart = layers.find(document, chosen["lineart"])
    if lineart is None:
        raise InputError(tr("No lineart is chosen."), tr("Choose the layer with your lines under Layers."))
    if chosen["lineart"] in (chosen["hints"], chosen["mask"]):
        raise InputError(
            tr("The lineart layer is chosen for the hints or the mask too."),
            tr("Choose another layer there, or press New colouring set."),
        )
    return lineart


def _hints(document: Document, chosen: Chosen) -> Picture | None:
    node = layers.find(document, chosen["hints"])
    rect = painted(node, document) if node is not None else None
    if node is None or rect is None:
        return None
    hints = read(node, rect)
    if hints.empty:
        return None
    if (hints.width, hints.height) == (document.width(), document.height()) and is_opaque(hints):
        raise InputError(
            tr("The hint layer is painted all over, so strokes and ground cannot be told apart."),
            tr("Draw your strokes on a transparent layer; New colouring set makes one."),
        )
    return hints


def _mask(document: Document, chosen: Chosen, go_on: bool) -> Picture | None:
    found = None
    node = layers.find(document, chosen["mask"]) if chosen["mask"] != SELECTION else None
    if node is not None:
        found = read_coverage(document, node)
    elif chosen["mask"] == SELECTION:
        found = read_selection(document)
    if found is None and go_on:
        found = read_selection(document)
    if found is None and go_on:
        raise InputError(
            tr("Nothing says where to go on."),
            tr("Paint on the mask layer or make a selection over the part to colour anew."),
        )
    return found


def _context(document: Document, lineart: Node, opaque: bool, chosen: Chosen, go_on: bool) -> Picture | None:
    if go_on or chosen["context"] == BELOW:
        apart = {chosen[role] for role in ("hints", "mask")}
        return picture_so_far(document, lineart, opaque, apart)
    if chosen["context"] == NONE:
        return None
    node = layers.find(document, chosen["context"])
    return read(node, canvas(document)) if node is not None else None
