"""Options that several commands have in the middle of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def finish_options(command: Command) -> Command:
    """Add ``--shading`` and ``--gap``, for every model."""
    command = click.option(
        "--gap", type=click.IntRange(0, 1000), help="Widest gap in a line to close, in pixels; judged by eye without."
    )(command)
    text = "Strength of light and shade: 0 = flat colours alone, up to 2."
    return click.option("--shading", type=click.FloatRange(0, 2), default=1.0, show_default=True, help=text)(command)


def sampling_options(command: Command) -> Command:
    """Add ``--strength``, ``--steps`` and ``--guidance``, for models that draw lots."""
    text = "For models that draw lots: 0 = the best guess, 1 = free of it; the model's own without."
    command = click.option(
        "--guidance", type=click.FloatRange(0, 20), help="1 = as it learnt, more = listens more to the hints."
    )(command)
    command = click.option(
        "--steps", type=click.IntRange(1, 1000), help="Sampling steps; more are slower and a little finer."
    )(command)
    return click.option("--strength", type=click.FloatRange(0, 1), help=text)(command)
