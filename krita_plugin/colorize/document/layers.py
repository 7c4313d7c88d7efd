"""Finding documents and layers again, and changing the layer tree without disturbing the artist."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from krita import Document, Krita, Node

from ..qt import QtCore, not_none
from .timing import krita_call

STROKE_POLL_INTERVAL_MS = 40
"""Milliseconds between two looks whether the artist's stroke has ended."""
RESTORE_INTERVAL_MS, MAX_RESTORE_TRIES = 20, 250
"""How often and how many times to see whether the added layer is the active one, which takes long on a busy machine."""
RESULT, FLATS, SHADING, COLOUR = "Colorize", "Flats", "Shading", "Colour"
LIVE = "Colorize live"
SET, HINTS, MASK = "Colouring", "Hints", "Mask"
DELETED_HANDLE_ERRORS = (RuntimeError, AttributeError, TypeError)
"""What Krita's handles raise when their document or layer is no more."""


def root(document: Document) -> Node:
    """The group that holds all layers.

    Raises:
        AttributeError: the document is no more.
    """
    return not_none(document.rootNode())


def ident(node: Node) -> str:
    """What a layer is remembered by: it survives renaming, moving and saving."""
    return str(node.uniqueId().toString())


def document_key(document: Document) -> str:
    """What an open document is remembered by."""
    return ident(root(document))


def find_document(key: str) -> Document | None:
    """The open document of a key; None when it was closed."""
    return next((d for d in Krita.instance().documents() if _has_key(d, key)), None)


def _has_key(document: Document, key: str) -> bool:
    try:
        return document_key(document) == key
    except DELETED_HANDLE_ERRORS:
        return False


def active_document() -> Document | None:
    """The document the artist looks at; None without one."""
    document = Krita.instance().activeDocument()
    try:
        return document if document is not None and document.rootNode() is not None else None
    except DELETED_HANDLE_ERRORS:
        return None


def walk(node: Node, depth: int = 0) -> Iterator[tuple[Node, int]]:
    """Layers under a node, the topmost first, each with its depth."""
    for child in reversed(node.childNodes()):
        yield child, depth
        yield from walk(child, depth + 1)


def all_nodes(document: Document) -> dict[str, Node]:
    """Every layer of a document by its id, the topmost first."""
    return {ident(node): node for node, _ in walk(root(document))}


def find(document: Document, uid: str) -> Node | None:
    """The layer of an id; None when there is none."""
    return next((node for node, _ in walk(root(document)) if ident(node) == uid), None) if uid else None


def ancestors(node: Node) -> list[str]:
    """Ids of the groups a layer is in, the nearest first."""
    found = []
    parent = node.parentNode()
    while parent is not None:
        found.append(ident(parent))
        parent = parent.parentNode()
    return found


def is_result(node: Node) -> bool:
    """Whether a layer was made by Colorize: a locked one of such a name. Unlocked it is the artist's own."""
    return str(node.name()).split(" ")[0] in (RESULT, COLOUR) and bool(node.locked())


def is_free(document: Document) -> bool:
    """Whether the layer tree may be changed now: in mid-stroke any change would cut the stroke."""
    with krita_call("lock"):
        if not document.tryBarrierLock():
            return False
        # Writing needs the lock itself.
        document.unlock()
    return True


class WriteQueue(QtCore.QObject):
    """Does things to documents as soon as the artist's stroke has ended, in order."""

    def __init__(self, parent: QtCore.QObject | None = None) -> None:
        super().__init__(parent)
        self._waiting: list[tuple[str, Callable[[Document | None], None]]] = []
        self.acting = False
        """Whether something is being done now: Krita runs the event loop inside when a layer is added."""
        self._timer = QtCore.QTimer(self)
        self._timer.setInterval(STROKE_POLL_INTERVAL_MS)
        self._timer.timeout.connect(self._look)

    def when_free(self, key: str, action: Callable[[Document | None], None]) -> None:
        """Call ``action`` with the document, later; with None when it was closed."""
        self._waiting.append((key, action))
        if not self.acting:
            QtCore.QTimer.singleShot(0, self._look)

    def clear(self) -> None:
        """Forget what waits."""
        self._waiting.clear()
        self._timer.stop()

    def _look(self) -> None:
        if self.acting:
            return
        self.acting = True
        try:
            self._act()
        finally:
            self.acting = False
        if self._waiting:
            self._timer.start()
        else:
            self._timer.stop()

    def _act(self) -> None:
        blocked: list[str] = []
        for entry in list(self._waiting):
            key, action = entry
            if key in blocked or entry not in self._waiting:
                continue
            document = find_document(key)
            if document is not None and not is_free(document):
                blocked.append(key)
                continue
            self._waiting.remove(entry)
            action(document)


def add(
    document: Document, node: Node, parent: Node, above: Node | None, done: Callable[[], None] | None = None
) -> None:
    """Add a layer as one undo step, and give the artist back the layer that was active.

    Args:
        document: where to.
        node: not part of an image so far.
        parent: group of the document.
        above: child of ``parent`` that will be right under it; with None it goes on top.
        done: called when the active layer is as it was.
    """
    active = document.activeNode()
    with krita_call("add layer"):
        parent.addChildNode(node, above)
    _restore(document_key(document), active, node, done)


def _restore(
    key: str, active: Node | None, node: Node, done: Callable[[], None] | None, tries: int = MAX_RESTORE_TRIES
) -> None:
    """Krita makes an added layer the active one, but only a moment later."""
    document = find_document(key)
    if document is not None and active is not None:
        try:
            now = document.activeNode()
            if now is not None and ident(now) == ident(node):
                document.setActiveNode(active)
                tries = 0
        except DELETED_HANDLE_ERRORS:
            tries = 0
    else:
        tries = 0
    if tries <= 0:
        if done is not None:
            done()
        return
    QtCore.QTimer.singleShot(RESTORE_INTERVAL_MS, lambda: _restore(key, active, node, done, tries - 1))
