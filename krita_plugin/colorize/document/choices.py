"""Which layers the artist works with, remembered in each document; guessed where nothing was chosen."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Dict

from ..qt import QtCore
from . import layers

if TYPE_CHECKING:
    from krita import Document, Node

ROLES = ("lineart", "hints", "mask", "context")
NONE, SELECTION, BELOW = "", "selection", "below"
WORDS = {"lineart": (NONE,), "hints": (NONE,), "mask": (NONE, SELECTION), "context": (NONE, BELOW)}
"""What may be chosen beside a layer."""
ANNOTATION = "colorize"
MAX_ANNOTATION_BYTES = 10000
LINEART_NAMES = (
    "lineart",
    "line art",
    "lines",
    "line",
    "ink",
    "inks",
    "inking",
    "encrage",
    "trait",
    "traits",
    "sketch",
)

Chosen = Dict[str, str]


class Choices:
    """Choices of all open documents. They are saved with a document, without marking it as changed."""

    def __init__(self) -> None:
        self._known: dict[str, Chosen] = {}

    def of(self, document: Document) -> Chosen:
        """Value by role, for all roles.

        A layer that is not there (any more) counts as none, but is not forgotten: undo may bring it back.
        """
        key = layers.document_key(document)
        if key not in self._known:
            self._known[key] = _saved(document)
        kept = self._known[key]
        nodes = layers.all_nodes(document)
        chosen = {role: _valid(role, kept[role], nodes) for role in ROLES if role in kept}
        return {**_guess(nodes, chosen), **chosen}

    def choose(self, document: Document, values: Chosen) -> None:
        """Remember what the artist chose."""
        kept = self._known.setdefault(layers.document_key(document), _saved(document))
        kept.update({role: value for role, value in values.items() if role in ROLES})
        was_modified = document.modified()
        document.setAnnotation(ANNOTATION, "Layers chosen for Colorize", QtCore.QByteArray(json.dumps(kept).encode()))
        # A choice is no reason to ask whether the picture should be saved.
        document.setModified(was_modified)

    def forget_closed(self, open_keys: list[str]) -> None:
        """Drop what is known of documents that are no longer open."""
        self._known = {key: kept for key, kept in self._known.items() if key in open_keys}


def _saved(document: Document) -> Chosen:
    if ANNOTATION not in document.annotationTypes():
        return {}
    try:
        values = json.loads(document.annotation(ANNOTATION).data()[:MAX_ANNOTATION_BYTES].decode("utf-8"))
    except (ValueError, RecursionError):
        return {}
    if not isinstance(values, dict):
        return {}
    return {role: value for role, value in values.items() if role in ROLES and isinstance(value, str)}


def _valid(role: str, value: str, nodes: dict[str, Node]) -> str:
    return value if value in WORDS[role] or value in nodes else NONE


def _guess(nodes: dict[str, Node], chosen: Chosen) -> Chosen:
    """What the artist probably means."""
    by_name: dict[str, list[str]] = {}
    for uid, node in nodes.items():
        by_name.setdefault(str(node.name()).strip().lower(), []).append(uid)
    guess = {"lineart": NONE, "hints": NONE, "mask": NONE, "context": BELOW}
    for role, name in (("hints", layers.HINTS), ("mask", layers.MASK)):
        guess[role] = by_name.get(name.lower(), [NONE])[0]
    for name in LINEART_NAMES:
        if name in by_name:
            guess["lineart"] = by_name[name][0]
            break
    else:
        mine = {guess["hints"], guess["mask"], *chosen.values()}
        drawn = [uid for uid, node in nodes.items() if uid not in mine and _may_be_lineart(node)]
        if len(drawn) == 1:
            guess["lineart"] = drawn[0]
    return guess


def _may_be_lineart(node: Node) -> bool:
    return node.type() in ("paintlayer", "vectorlayer", "filelayer", "clonelayer") and not _in_result(node)


def _in_result(node: Node) -> bool:
    parent = node.parentNode()
    return layers.is_result(node) or (parent is not None and layers.is_result(parent))
