"""Measures how long Krita's user interface stood still, and in what."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from typing import Any, Dict, List, Tuple

from .qt import QtCore

PERIOD = 0.005
"""Seconds between two looks."""
IDLE = ("threading.py", "queue.py", "poll.py", "loop.py")
"""Files in which the plugin's own threads wait for work."""
SAMPLE = 0.01
"""Seconds between two looks at what the interface's thread is doing."""


class Gaps:
    """Start, let Krita work, stop: the worst gap in ms, with what was going on.

    A timer of 5 ms on Krita's event loop marks when the interface was alive; a thread samples what it does meanwhile.
    The steps of the scenario itself are taken out, and in ``worst_own`` also Krita's own calls as the plugin notes
    them in ``colorize.document.timing.intervals``: (name, start, end) in seconds of ``time.perf_counter``.
    """

    def __init__(self) -> None:
        self.timer = QtCore.QTimer()
        self.timer.setTimerType(QtCore.Qt.TimerType.PreciseTimer)
        self.timer.timeout.connect(self._alive)
        self.marks: List[float] = []
        self.steps: List[Tuple[float, float]] = []
        self.samples: List[Tuple[float, str, bool]] = []
        self.running = False

    def start(self) -> None:
        """Begin afresh."""
        self.marks, self.steps, self.samples = [time.perf_counter()], [], []
        self.running = True
        self.timer.start(int(PERIOD * 1000))
        main = threading.main_thread().ident
        self.sampler = threading.Thread(target=self._sample, args=(main,), daemon=True)
        self.sampler.start()

    def stop(self) -> Dict[str, Any]:
        """What was measured, in ms.

        Returns:
            ``worst``: the longest gap; ``worst_own``: the longest that the plugin had a part in, without its calls to
            Krita; ``gaps``: those over 50 ms, the longest first, each with ``ms``, ``own_ms``, ``krita`` (ms in each of
            the plugin's calls to Krita), ``plugin_ms`` (how long the plugin's Python code was on the stack, by samples)
            and ``doing``.
        """
        self._alive()
        self.timer.stop()
        self.running = False
        self.sampler.join()
        calls = self.calls()
        gaps = []
        for begin, end in zip(self.marks, self.marks[1:]):
            if end - begin < 0.02:
                continue
            inside = [(n, max(a, begin), min(b, end)) for n, a, b in calls if b > begin and a < end]
            steps = [(max(a, begin), min(b, end)) for a, b in self.steps if b > begin and a < end]
            length = (end - begin - union(steps)) * 1000
            own = (end - begin - union(steps + [(a, b) for _, a, b in inside])) * 1000
            krita: Dict[str, float] = {}
            for name, a, b in inside:
                krita[name] = round(krita.get(name, 0.0) + (b - a) * 1000, 1)
            seen = [(what, plugin) for at, what, plugin in self.samples if begin < at < end]
            gaps.append(
                {
                    "ms": round(length, 1),
                    "own_ms": round(own, 1),
                    "krita": krita,
                    "plugin_ms": round(SAMPLE * 1000 * sum(plugin for _, plugin in seen)),
                    "doing": [f"{n}x {what}" for what, n in Counter(what for what, _ in seen).most_common(4)],
                }
            )
        worst = max((g["ms"] for g in gaps), default=0.0)
        # Where the plugin was in none of the samples, Krita or the machine was busy with something else.
        own = max((g["own_ms"] for g in gaps if g["plugin_ms"]), default=0.0)
        longest = sorted((g for g in gaps if g["ms"] > 50), key=lambda g: -g["ms"])[:8]
        return {
            "worst": worst,
            "worst_own": own,
            "seconds": round(self.marks[-1] - self.marks[0], 2),
            "noted_calls": len(calls),
            "gaps": longest,
        }

    def calls(self) -> List[Tuple[str, float, float]]:
        """The plugin's calls to Krita since the start."""
        timing = sys.modules.get("colorize.document.timing")
        return [(n, a, b) for n, a, b in list(getattr(timing, "intervals", ())) if b > self.marks[0]]

    def scenario(self, begin: float, end: float) -> None:
        """Note a step of the scenario, which is not the plugin's doing."""
        if self.running and end - begin > 0.001:
            self.steps.append((begin, end))

    def _alive(self) -> None:
        if self.running:
            self.marks.append(time.perf_counter())

    def _others(self, main: int) -> List[str]:
        frames = [f for i, f in sys._current_frames().items() if i != main]
        # A thread that waits lets go of Python's lock.
        return [place(f) for f in frames if place(f) and not f.f_code.co_filename.endswith(IDLE)]

    def _sample(self, main: int) -> None:
        while self.running:
            frame = sys._current_frames().get(main)
            stack = []
            while frame is not None:
                stack.append(frame)
                frame = frame.f_back
            places = [f.f_code.co_filename.replace("\\", "/") for f in stack]
            plugin = any("/colorize/" in p for p in places)
            if stack and not any("colorize_driver" in p for p in places):
                names = [f"{p.rsplit('/', 1)[-1]}:{f.f_lineno} {f.f_code.co_name}" for p, f in zip(places, stack)]
                what = " < ".join(names[:3])
            else:
                what = "the driver" if stack else "Krita"
                # Another thread of the plugin's that holds Python's lock makes the interface wait too.
                others = self._others(main)
                what += "".join(f", while {name}" for name in others)
                plugin = bool(others)
            self.samples.append((time.perf_counter(), what, plugin))
            time.sleep(SAMPLE)


def place(frame: Any) -> str:
    """Where the plugin's code is, in a stack; empty where it is in none."""
    while frame is not None:
        path = frame.f_code.co_filename.replace("\\", "/")
        if "/colorize/" in path:
            return f"{path.rsplit('/', 1)[-1]}:{frame.f_lineno} {frame.f_code.co_name}"
        frame = frame.f_back
    return ""


def union(spans: List[Tuple[float, float]]) -> float:
    """Seconds that at least one of the spans covers."""
    total, last = 0.0, float("-inf")
    for begin, end in sorted(spans):
        total += max(0.0, end - max(begin, last))
        last = max(last, end)
    return total
