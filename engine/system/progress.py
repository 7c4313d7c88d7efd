"""Shows how far a long piece of work is: a bar on a terminal, plain lines elsewhere, nothing when silent; on stderr."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from engine.system.terminal import echo, harmless

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

WIDTH = 24
"""Characters of the bar."""
REFRESH, PLAIN_EVERY = 0.1, 10.0
"""Least seconds between two states of the bar, and between two plain lines of one stage."""
BAR_AFTER = 1.0
"""Seconds of counted work before there is a bar: importing what draws it takes as long as colouring a small picture."""


class ProgressBar:
    """A bar, or the lines that stand for it; ``close`` takes it away.

    Args:
        silent: say nothing but what must be heard.
    """

    def __init__(self, *, silent: bool = False) -> None:
        self._silent, self._terminal = silent, sys.stderr.isatty() and not silent
        self._stage = ""
        self._told = self._began = 0.0
        self._first = self._last = -1
        self._counting: float | None = None
        self._written = 0
        self._bar: tuple[Progress, TaskID] | None = None

    def __call__(self, stage: str, done: int = 0, total: int = 0, *, each: bool = False) -> None:
        """Show that so many of a stage are done.

        Args:
            stage: its name, or that of what was done last.
            done: how many are done.
            total: of how many; 0 while nobody knows.
            each: without a terminal, give every call a line; else a new stage has one, and a long one every ten
                seconds.
        """
        if self._silent:
            return
        now = time.monotonic()
        if done <= self._last or self._first < 0:
            # Of what there is, the first is not typical: models are loaded for it.
            self._first, self._began = (done, now) if done else (-1, now)
        self._last = done
        count = f"{done:,}/{total:,} " if total else f"{done:,} " if done else ""
        text = harmless(f"{count}{stage}{self._left(now, total - done)}", one_line=True)
        due = now - self._told >= (REFRESH if self._terminal else PLAIN_EVERY)
        if stage == self._stage and not (due or each or 0 < total <= done):
            return
        if self._terminal:
            self._draw(text, done, total, now)
        else:
            echo(text if each or stage == self._stage else stage, err=True)
        self._stage, self._told = stage, now

    def say(self, line: str, *, always: bool = False) -> None:
        """Print a line that stays, above the bar; with ``always`` also when silent."""
        if self._bar is not None:
            self._bar[0].console.print(harmless(line), markup=False, highlight=False, soft_wrap=True)
        elif always or not self._silent:
            self._write("")
            echo(line, err=True)

    def close(self) -> None:
        """Take the bar away; the next call brings another."""
        if self._bar is not None:
            self._bar[0].stop()
            self._bar = None
        self._write("")

    def _left(self, now: float, left: int) -> str:
        if left <= 0 or self._first < 0 or self._last <= self._first:
            return ""
        return f", {in_time((now - self._began) / (self._last - self._first) * left)} left"

    def _write(self, text: str) -> None:
        """Write over the line that stands for the bar; nothing takes it away."""
        if text or self._written:
            click.echo(f"\r{text:<{self._written}}" + ("" if text else "\r"), nl=False, err=True)
            self._written = len(text)

    def _draw(self, text: str, done: int, total: int, now: float) -> None:
        if self._counting is None and total > 1:
            self._counting = now
        if self._bar is None and (self._counting is None or now - self._counting < BAR_AFTER):
            self._write(text)
            return
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            self._write("")
            columns = (BarColumn(WIDTH), TextColumn("{task.description}", markup=False))
            # Drawn by this thread, since worker processes may be forked from it.
            bar = Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False)
            bar.start()
            self._bar = bar, bar.add_task("", total=None)
        bar, task = self._bar
        bar.update(task, description=text, completed=done, total=total or None, refresh=True)


def in_time(seconds: float) -> str:
    """A time in words: 40 s, 12 min, 3 h 5 min."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
