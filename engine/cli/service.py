"""The commands about the service: ``engine serve``, ``engine status``, ``engine stop``."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import click

from engine.errors import ColorizeError
from engine.system.device import DEVICES
from engine.system.process import on_signals
from engine.system.terminal import echo

END_SECONDS = 10.0
"""Seconds an engine has to end."""
SECONDS = click.FloatRange(min=0, min_open=True)


@click.command()
@click.option("--listen", metavar="ADDRESS", help="tcp://127.0.0.1:0 or another port of this machine, with keys.")
@click.option("--parent-pid", type=click.IntRange(min=1), metavar="N", help="Stop when this process does.")
@click.option("--idle-exit", type=SECONDS, metavar="SECONDS", help="Stop when no client has shown for so long.")
@click.option(
    "--idle-unload",
    type=SECONDS,
    default=600.0,
    show_default=True,
    metavar="SECONDS",
    help="Free the model's memory after so long without a job.",
)
@click.option("--device", type=click.Choice(DEVICES), default="auto", show_default=True)
def serve(
    listen: str | None,
    parent_pid: int | None,
    idle_exit: float | None,
    idle_unload: float,
    device: str,
    weights: Path | None,
    as_json: bool,
) -> None:
    """Serve the Krita plugin and other clients until stopped; leave at once where an engine serves already."""
    from engine.service import identity, leftovers, lifecycle
    from engine.service.server import Options, Server

    if parent_pid is not None and not lifecycle.Parent(parent_pid).alive():
        raise ColorizeError(f"there is no process {parent_pid}", "give the number of a running one", wrong_use=True)
    folder = lifecycle.folder()
    options = Options(listen, device, weights, parent_pid, idle_exit, idle_unload)
    with lifecycle.logged(), _signals() as asked:
        with lifecycle.starting(folder):
            running = lifecycle.find_engine(folder)
            if running is not None:
                about = {"pid": running.pid, "session": running.session, "adopted": True}
                _say(f"an engine serves already (process {running.pid})", about, as_json=as_json)
                return
            identity.log_abnormal_end(folder)
            leftovers.clean_up(folder)
            server = Server(folder, options, asked)
            try:
                server.publish()
            except BaseException:
                server.close()
                raise
        try:
            about = {"pid": os.getpid(), "session": server.session, "adopted": False}
            _say(f"ready; stop with Ctrl-C or `engine stop` (log: {lifecycle.log_file()})", about, as_json=as_json)
            why = server.run()
        finally:
            server.close()
        if not as_json:
            _say(f"stopped: {why}", {}, as_json=False)


@contextlib.contextmanager
def _signals() -> Iterator[list[str]]:
    """Collect the signals that ask a process to end, in words."""
    asked: list[str] = []

    def note(number: int, _: FrameType | None) -> None:
        asked.append(f"it got {signal.Signals(number).name}")

    with on_signals(note):
        yield asked


def _say(text: str, about: dict[str, Any], *, as_json: bool) -> None:
    """Print a line; a parent that does not read any more is no reason to fail."""
    with contextlib.suppress(OSError, ValueError):
        if as_json:
            click.echo(json.dumps({"ok": True, **about}))
        else:
            echo(text)
        sys.stdout.flush()


@click.command()
def status(as_json: bool) -> None:
    """Say how the engine is doing."""
    from engine.service import identity, lifecycle

    connection = identity.engine_of(lifecycle.folder())
    if connection is None:
        _say("no engine is running", {"running": False}, as_json=as_json)
        return
    answer = lifecycle.ask(connection, "status", wait=2.0)
    if answer is None or answer.type != "status":
        raise ColorizeError(
            f"the engine (process {connection.pid}) does not answer",
            "`engine stop` ends it, `engine serve` replaces it",
        )
    about = {"running": True, **answer.body, "jobs": connection.jobs, "control": connection.control}
    _say(_in_words(answer.body), about, as_json=as_json)


def _in_words(body: dict[str, Any]) -> str:
    counts, worker, job = body["counts"], body["worker"], body["job"]
    what = "idle"
    if job:
        what = f"working on {job['canvas']}: {job['stage']} ({job['step']} of {job['total']})"
    lines = [
        f"engine {body['version']}, process {body['pid']}, up {body['uptime']:.0f} s: {what}; {body['queue']} waiting",
        f"device  {body['device'] or 'not known yet'}, process {worker.get('pid') or '-'} ({worker.get('state')}), "
        f"restarted {worker.get('restarts')} times; loaded: {', '.join(body['loaded']) or 'nothing'}",
        f"jobs    {counts['results']} done, {counts['cancelled']} cancelled, {counts['errors']} failed, "
        f"{counts['dropped']} dropped; {counts['malformed']} messages malformed, {counts['refused']} clients refused",
        f"log     {body['log']}",
    ]
    if body["trouble"]:
        lines.append(f"trouble {body['trouble']}")
    return "\n".join(lines)


@click.command()
def stop(as_json: bool) -> None:
    """End the engine, and wait until it is gone."""
    from engine.service import identity, leftovers, lifecycle

    folder = lifecycle.folder()
    connection = identity.engine_of(folder)
    if connection is None:
        _say("no engine is running", {"stopped": False}, as_json=as_json)
        return
    pid = connection.pid
    by_hand = f"end process {pid} with the system's own means"
    if lifecycle.ask(connection, "shutdown", wait=2.0) is None and not identity.kill(connection, folder):
        raise ColorizeError(
            f"the engine does not answer, and it is not sure that process {pid} is it",
            f"look what that process is: {by_hand} if it is an engine, else delete {folder / 'engine.json'}",
        )
    deadline = time.monotonic() + END_SECONDS
    while identity.may_run(connection) and time.monotonic() < deadline:
        time.sleep(0.05)
    if identity.may_run(connection):
        raise ColorizeError(f"the engine (process {pid}) does not end", by_hand)
    with lifecycle.starting(folder):
        if lifecycle.find_engine(folder) is None:
            leftovers.clean_up(folder)
    _say(f"stopped (process {pid})", {"stopped": True, "pid": pid}, as_json=as_json)


def register(
    group: click.Group,
    common: Callable[[click.Command], click.Command],
    weights_option: Callable[[click.Command], click.Command],
) -> None:
    """Add the commands to a group, with the options that all its commands have."""
    for command in (weights_option(serve), status, stop):
        group.add_command(common(command))
