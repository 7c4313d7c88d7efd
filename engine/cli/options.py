"""Options that several commands have in common."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from typing import Any

import click

from engine.protocol.settings import CHOICE, SETTINGS, SWITCH, WHOLE, JobSettings, Setting


def job_settings(*, without: Collection[str] = ()) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add an option for every setting of a job; the command is given them together, as ``settings``.

    Args:
        without: names of settings that the command does not have.
    """
    offered = [setting for name, setting in SETTINGS.items() if setting.help and name not in without]

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def run(**given: Any) -> Any:
            settings = JobSettings(**{setting.name: given.pop(setting.name) for setting in offered})
            return command(settings=settings, **given)

        decorated: Callable[..., Any] = run
        for setting in reversed(offered):
            decorated = _option(setting)(decorated)
        return decorated

    return add


def _option(setting: Setting) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    word, default = setting.name.replace("_", "-"), setting.default
    name = f"--{word}"
    about: dict[str, Any] = {"default": default, "show_default": default is not None, "help": setting.help}
    if setting.kind == SWITCH:
        return click.option(f"{name}/--no-{word}", **about)
    if setting.kind == CHOICE:
        return click.option(name, type=click.Choice(list(setting.choices)), **about)
    if setting.kind == WHOLE:
        return click.option(name, type=click.IntRange(int(setting.low), int(setting.high)), **about)
    return click.option(name, type=click.FloatRange(setting.low, setting.high), **about)
