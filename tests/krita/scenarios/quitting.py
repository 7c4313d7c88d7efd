"""Krita quits, with its own hook for what nobody catches, which opens a window.

Args: state (``no document``, ``idle``, ``live``, ``job`` or ``killed``), model (of the job; the default one without),
    variations, rounds, side (of the document, 256 without).
"""

import os
import signal

import steps

DEFAULT = "stenciltorch"


def scenario(t):
    t.own_hook = True
    state = t.args["state"]
    t.docker()
    if state == "no document":
        yield 1.0
        return
    side = t.args.get("side", 256)
    document = steps.drawing(t, side)
    yield from steps.ready(t)
    yield from sampled(t, DEFAULT)
    yield from steps.prepared(t, document)
    # One result and the history that goes with it.
    yield from steps.colorize(t, document)
    if state == "live":
        yield from steps.press(t, "live_check")
        yield from t.until(lambda: t.child("QWidget", "preview").image() is not None, "a picture of live mode")
        hints = t.node(document, "Colouring", "Hints")
        steps.dab(t, document, hints, (20, 160, 60), side / 3, side / 3, side / 8)
        document.refreshProjection()
    elif state == "job":
        yield from sampled(t, t.args.get("model", DEFAULT), t.args.get("variations", 1), t.args.get("rounds", 0))
        yield from steps.press(t, "colorize_button")
        yield from t.until(lambda: steps.status(t).startswith("Colouring"), "a job under way")
        if "rounds" in t.args:
            yield from t.until(lambda: t.child("QProgressBar", "progress_bar").value() > 0, "a round that is done")
            t.check(steps.status(t).startswith("Colouring"), "others are still to come")
    elif state == "killed":
        for pid in steps.engine_processes(t):
            os.kill(pid, signal.SIGKILL)
    t.data["engine"] = steps.engine_processes(t)


def sampled(t, model, variations=1, rounds=0):
    """Choose what jobs are made with; the last choice of an artist is remembered."""
    combo = t.child("QComboBox", "model_combo")
    at = combo.findData(model)
    t.check(at >= 0, f"{model} is offered")
    combo.setCurrentIndex(at)
    combo.activated.emit(at)
    for name, value in (("variations_spin", variations), ("steps_spin", rounds)):
        if value:
            t.child("QSpinBox", name).setValue(value)
    yield 0.2
