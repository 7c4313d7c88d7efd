"""What the engine says in codes, in sentences for the artist."""

from __future__ import annotations

from ..i18n import tr

TELLING = ("worker_lost", "no_worker", "failed")
"""Codes whose message says why."""


def stage(name: str) -> str:
    """A stage of a job in words; one nobody knows as the engine names it."""
    known = {
        "": tr("Sending the picture"),
        "waiting": tr("Waiting for other jobs"),
        "loading": tr("Loading the model"),
        "regions": tr("Finding the regions"),
        "colours": tr("Choosing the colours"),
        "flats": tr("Painting the flats"),
        "shading": tr("Painting the shading"),
        "done": tr("Handing over the result"),
    }
    return known.get(name, name)


def error(code: str, message: str = "", hint: str = "") -> tuple[str, str]:
    """Cause and remedy of an error of the protocol.

    Args:
        code: as in docs/protocol.md.
        message: the engine's own words, used where they tell more or the code is unknown.
        hint: the engine's own advice, likewise.
    """
    update = tr("install plugin and engine of the same release: run colorize-install again")
    report = tr("copy the report and send it to us")
    retry = tr("press Colorize again")
    known = {
        "bad_version": (tr("the plugin and the engine are of different releases"), update),
        "bad_endpoint": (tr("the engine cannot be reached at the address it gives"), tr("start the engine again")),
        "too_large": (tr("the picture is too large for the engine"), tr("work on a part of it or on a smaller copy")),
        "queue_full": (tr("too many jobs are waiting"), tr("wait until some are done")),
        "too_much": (tr("too many jobs are waiting"), tr("wait until some are done")),
        "busy": (tr("too many jobs are waiting"), tr("wait until some are done")),
        "out_of_memory": (
            tr("there is not enough memory for this job"),
            tr("close other programs, or choose a smaller size"),
        ),
        "worker_lost": (tr("the engine's device process was lost during this job"), retry),
        "no_worker": (
            tr("the engine's device process does not start"),
            tr("copy the report, it tells why; installing again with colorize-install often helps"),
        ),
        "shutting_down": (tr("the engine was stopped"), tr("start it, then press Colorize again")),
        "stopped": (tr("the engine was stopped"), tr("start it, then press Colorize again")),
        "engine_gone": (tr("the engine was lost twice during this job"), retry),
        "no_engine": (tr("the engine does not answer"), tr("start the engine again")),
        "closed": (tr("Krita is closing the connection to the engine"), tr("start the engine again")),
        "failed": (tr("something went wrong in the engine"), report),
    }
    said, advice = " ".join(message.split()), " ".join(hint.split())
    if code in known:
        cause, remedy = known[code]
        return (f"{cause} ({said})" if said and code in TELLING else cause), remedy
    if code.startswith("bad_") or code in ("unknown_type", "no_pixels"):
        return tr("the engine does not understand the plugin: {message}").format(message=said or code), update
    return said or tr("the engine reports an error ({code})").format(code=code), advice or report


def no_weights() -> tuple[str, str]:
    """Cause and remedy where the engine has no model."""
    return (
        tr("the engine finds no weights, which hold what a model has learned"),
        tr("run colorize-install again, or put the weights into the engine's folder and start it again"),
    )


def lost(code: str, reason: str = "") -> str:
    """Why the engine counts as lost: by the client's code, else in its words."""
    known = {
        "engine_ended": tr("the engine has ended"),
        "engine_silent": tr("the engine does not answer"),
        "connection_broken": tr("the connection to the engine broke"),
        "engine_replaced": tr("another engine has taken over"),
    }
    return known.get(code) or reason or tr("the engine is lost")
