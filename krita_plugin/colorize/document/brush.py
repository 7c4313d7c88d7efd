"""Gives the artist a brush that suits hints: round, opaque, about as wide as a stroke should be on this image."""

from __future__ import annotations

from krita import Document, Krita

PRESETS = ("b) Basic-5 Size", "b) Basic-5 Size Opacity", "b) Basic-1")
WIDTH_SHARE = 1 / 90
"""Width of the brush as a share of the image's shorter side."""
MIN_WIDTH, MAX_WIDTH = 6.0, 80.0
"""Pixels."""


def ready_for_hints(document: Document) -> None:
    """Choose the brush tool, a plain round preset, and painting rather than erasing."""
    app = Krita.instance()
    tool = app.action("KritaShape/KisToolBrush")
    if tool is not None:
        tool.trigger()
    window = app.activeWindow()
    view = window.activeView() if window is not None else None
    if view is None:
        return
    presets = app.resources("preset")
    known = next((presets[name] for name in PRESETS if name in presets), None)
    if known is not None:
        view.setCurrentBrushPreset(known)
    view.setBrushSize(min(MAX_WIDTH, max(MIN_WIDTH, min(document.width(), document.height()) * WIDTH_SHARE)))
    view.setCurrentBlendingMode("normal")
    view.setPaintingOpacity(1.0)
    view.setPaintingFlow(1.0)
    if hasattr(view, "setEraserMode"):
        view.setEraserMode(False)
