"""Krita's window never waits long for the plugin at 2480x3508; Krita's own calls are taken off.

Args: rounds.
"""

import steps


def scenario(t):
    document = steps.drawing(t, 3508, 2480)
    t.docker()
    yield from steps.ready(t)
    yield from steps.prepared(t, document)
    rounds = t.args.get("rounds", 1)
    for number in range(rounds):
        yield 1.0
        t.gaps.start()
        yield from steps.press(t, "colorize_button")
        yield from t.until(lambda n=number: len(steps.results(t, document)) > n, "a result")
        yield 1.0
        t.data[f"colouring {number + 1}"] = t.gaps.stop()
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
