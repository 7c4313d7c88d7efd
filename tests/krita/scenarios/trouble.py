"""The engine dies in mid-job, twice; its Python is not there; its weights are not there: all said with a remedy.

The document stays as it is, Krita stays alive, and in the end a large picture is coloured after all.
Args: broken (folder with an engine without weights), python.
"""

import json
import os
import signal
from pathlib import Path

import steps

LARGE = (2480, 3508)


def kill_engine(t):
    for pid in steps.engine_processes(t):
        os.kill(pid, signal.SIGKILL)


def scenario(t):
    setup = Path(os.environ["XDG_DATA_HOME"]) / "krita" / "colorize" / "setup.json"
    good = setup.read_text()

    def command(*words):
        setup.write_text(json.dumps({**json.loads(good), "command": words}))

    document = steps.drawing(t, LARGE[1], LARGE[0])
    t.docker()
    yield from steps.ready(t)
    yield from steps.prepared(t, document)
    yield 0.5
    before = t.digest(document)

    yield from steps.underway(t, document)
    kill_engine(t)
    yield from t.until(lambda: "SIGKILL" in steps.status(t), "a word how the engine was lost")
    t.data["killed"] = steps.trouble(t)
    # It is started again by itself, and so is the job.
    yield from t.until(lambda: steps.results(t, document), "the result after all")
    yield from t.settle(document)
    yield from steps.ready(t)
    before = t.digest(document)

    yield from steps.underway(t, document)
    kill_engine(t)
    yield from t.until(lambda: t.child("QPushButton", "start_again_button").isVisible(), "Start again is offered")
    yield 0.3
    t.data["killed again"] = steps.trouble(t)

    command("/nowhere/bin/python", "-s", "-m", "engine.cli")
    yield from steps.press(t, "start_again_button")
    yield 0.5
    yield from t.until(lambda: t.child("QPushButton", "start_again_button").isVisible(), "a failed start")
    t.data["no interpreter"] = steps.trouble(t)

    command("/usr/bin/env", "PYTHONPATH=" + t.args["broken"], t.args["python"], "-s", "-m", "engine.cli")
    yield from steps.press(t, "start_again_button")
    yield 0.5
    yield from t.until(lambda: t.child("QPushButton", "start_again_button").isVisible(), "a failed start")
    t.data["no weights"] = steps.trouble(t)

    yield from t.click(t.child("QPushButton", "report_button"))
    report = t.QtWidgets.QApplication.clipboard().text()
    t.check("Krita" in report or "krita" in report, "the report is on the clipboard")
    t.data["report"] = report
    t.equal(t.digest(document), before, "the document after all that")

    setup.write_text(good)
    yield from steps.press(t, "start_again_button")
    yield from steps.ready(t)
    yield from steps.colorize(t, document)
