"""What takes long with many pixels is not done by the thread of Krita's window, at 2480x3508.

Args: rounds. Data: for each function that was watched whether the window's thread ran it; how often pixels were given
to Krita; the window's pauses, for the benchmark.
"""

import functools
import sys
import threading

import steps


def watched(t):
    """Have the functions that take long note in which thread they run."""
    protocol = t.docker().colouring.protocol
    loop = sys.modules[protocol.Client.__module__.rpartition(".")[0] + ".client_thread"]
    history = sys.modules["colorize.colouring.history"]
    in_window = t.data["in the window's thread"] = {}
    places = ((protocol, "digest"), (loop, "prepare"), (loop, "decode"), (history, "small_picture"), (history, "pack"))

    def noting(call, *given, **named):
        here = threading.current_thread() is threading.main_thread()
        in_window[call.__name__] = in_window.get(call.__name__, False) or here
        return call(*given, **named)

    for place, name in places:
        setattr(place, name, functools.partial(noting, getattr(place, name)))


def scenario(t):
    document = steps.drawing(t, 3508, 2480)
    t.docker()
    yield from steps.ready(t)
    yield from steps.prepared(t, document)
    watched(t)
    timing = sys.modules["colorize.document.timing"]
    rounds = t.args.get("rounds", 1)
    for number in range(rounds):
        yield 1.0
        timing.intervals.clear()
        t.gaps.start()
        yield from steps.press(t, "colorize_button")
        yield from t.until(lambda n=number: len(steps.results(t, document)) > n, "a result")
        yield 1.0
        t.data[f"colouring {number + 1}"] = t.gaps.stop()
        t.data["writes"] = sum(name == "write" for name, _, _ in timing.intervals)
    t.brush((20, 160, 60), 60)
    yield from t.stroke([(500, 3000), (700, 3000)], 0.2)
    for number in range(rounds):
        yield 1.0
        t.gaps.start()
        yield from steps.press(t, "live_check")
        yield from t.until(t.child("QWidget", "preview").isVisible, "a preview")
        yield from t.stroke([(500, 2700 - 200 * number), (900, 2700 - 200 * number)], 0.3)
        yield 2.5
        t.data[f"live {number + 1}"] = t.gaps.stop()
        yield from steps.press(t, "live_check")
