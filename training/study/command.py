"""The command ``training study``: make a study of several methods, serve it to raters' browsers, print the results."""

from __future__ import annotations

import contextlib
import csv
import io
import ipaddress
import json
import re
import signal
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from engine.errors import ColorizeError
from training.study.design import Mode

if TYPE_CHECKING:
    from training.study.statistics import Paired, Summary
    from training.study.store import Answer

PORT = 8765
FAILED, WRONG_USE = 1, 2
NAME = re.compile(r"[^\W_][\w .+-]{0,39}")
"""A method's name; it may go into a spreadsheet, where a leading sign would start a formula."""
FOLDER = click.Path(path_type=Path)


@click.group()
def study() -> None:
    """Let people judge pictures of several methods, blinded: mean opinion scores and preferences."""


@study.command()
@click.argument("folder", type=FOLDER)
@click.argument("methods", nargs=-1, required=True, metavar="METHOD=DIR...")
@click.option("--mode", type=click.Choice(get_args(Mode)), default="ratings", show_default=True, help="What is asked.")
@click.option("--drawings", type=click.IntRange(min=1), help="How many drawings each rater sees; all without.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the orders in which raters see them.")
@click.option("--title", default="", help="Shown to raters; name no method in it.")
@click.option("--common", is_flag=True, help="Leave out drawings that a method lacks instead of refusing.")
@click.option("--json", "as_json", is_flag=True, help="Print what was made as JSON.")
def make(
    folder: Path,
    methods: tuple[str, ...],
    mode: Mode,
    drawings: int | None,
    seed: int,
    title: str,
    common: bool,
    as_json: bool,
) -> None:
    """Make a study in the new FOLDER from the pictures in each method's DIR.

    Pictures of the same name belong to the same drawing. They are copied under random names, so FOLDER is all that
    `serve` needs.
    """
    from training.study.making import make as make_study

    with _told(as_json=as_json):
        made = make_study(
            folder, _methods(methods), mode=mode, each=drawings, seed=seed, title=title[:200], common=common
        )
    design = made.design
    if as_json:
        click.echo(json.dumps({"ok": True, "folder": str(folder), **asdict(design), "notes": made.notes}))
        return
    for note in made.notes:
        click.echo(f"note: {note}", err=True)
    click.echo(
        f"{folder}: {design.drawings} drawings by {design.methods} methods, {design.each} drawings for each rater;"
        f" go on with `training study serve {folder}`"
    )


@study.command()
@click.argument("folder", type=FOLDER)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for the network.")
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="0 for any free one.")
def serve(folder: Path, host: str, port: int) -> None:
    """Show the study in FOLDER to raters until Ctrl-C; each answer is kept at once, so it may end at any time."""
    from training.study.server import serve as serve_study
    from training.study.store import Store

    def ready(address: str) -> None:
        click.echo(f"raters open {address}  (Ctrl-C ends)")
        sys.stdout.flush()

    if not _is_loopback(host):
        click.echo(
            f"warning: whoever reaches this machine on {host} and knows the address can answer, and nothing is"
            " encrypted: do this in a network you trust, or put a web server with HTTPS before it",
            err=True,
        )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with _told():
        serve_study(Store(folder), host, port, ready)


@study.command()
@click.argument("folder", type=FOLDER)
@click.option("--complete", is_flag=True, help="Count only raters who answered everything.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="Print all answers as CSV instead, one a line.")
def results(folder: Path, complete: bool, as_json: bool, as_csv: bool) -> None:
    """Print what the raters of the study in FOLDER answered; also while it is being served."""
    from training.study.statistics import summarise
    from training.study.store import Store

    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other")
    with _told(as_json=as_json):
        store = Store(folder)
        raters, answers = store.raters(), store.answers()
        if complete:
            raters = {label: True for label, finished in raters.items() if finished}
        # Somebody may answer between the two look-ups.
        answers = [a for a in answers if a.rater in raters]
        summary = summarise(answers, store.methods, len(raters), sum(raters.values()))
    if as_csv:
        click.echo(_in_csv(answers), nl=False)
    elif as_json:
        click.echo(json.dumps({"ok": True, **asdict(summary)}, allow_nan=False))
    else:
        click.echo("\n".join(_in_words(summary)))


def _methods(given: tuple[str, ...]) -> dict[str, Path]:
    methods: dict[str, Path] = {}
    for item in given:
        name, separator, folder = item.partition("=")
        if not separator or not folder or not NAME.fullmatch(name):
            remedy = "write METHOD=DIR, the name up to 40 letters, digits, blanks or ._+- after a letter or digit"
            raise ColorizeError(f"{item} names no method and folder", remedy, wrong_use=True)
        if name in methods:
            raise ColorizeError(f"{name} is named twice", "give each method its own name", wrong_use=True)
        methods[name] = Path(folder)
    return methods


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextlib.contextmanager
def _told(*, as_json: bool = False) -> Iterator[None]:
    """End the command with one line and the right exit code when something is wrong."""
    try:
        yield
    except ColorizeError as e:
        click.echo(f"error: {e}", err=True)
        if as_json:
            click.echo(json.dumps({"ok": False, "error": e.cause, "remedy": e.remedy}))
        click.get_current_context().exit(WRONG_USE if e.wrong_use else FAILED)


def _in_csv(answers: list[Answer]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["rater", "kind", "drawing", "method", "against", "rating", "preferred"])
    for a in answers:
        if a.kind == "rating":
            writer.writerow([a.rater, a.kind, a.drawing, a.methods[0], "", a.value, ""])
        else:
            writer.writerow([a.rater, a.kind, a.drawing, *a.methods, "", a.methods[a.value - 1]])
    return out.getvalue()


def _in_words(summary: Summary) -> Iterator[str]:
    yield f"{summary.raters} raters, {summary.finished} finished"
    if summary.scores:
        yield "\nRatings, 1 (bad) to 5 (excellent)"
        yield from _columns(
            ["method", "MOS", "95 % interval", "deviation", "ratings", "raters"],
            [
                [s.method, f"{s.mos:.2f}", _span(s.low, s.high), _number(s.deviation), str(s.ratings), str(s.raters)]
                for s in summary.scores
            ],
        )
        yield f"agreement of raters (Krippendorff's alpha, ordinal): {_number(summary.rating_agreement)}"
    if summary.comparisons:
        yield "\nPaired t-tests, p corrected by Holm"
        yield from _columns(
            ["better", "worse", "difference", "95 % interval", "t, raters", "p, raters", "t, drawings", "p, drawings"],
            [
                [c.better, c.worse, f"{c.difference:.2f}", _span(c.low, c.high), *tests]
                for c in summary.comparisons
                for tests in [_test(c.by_raters) + _test(c.by_drawings)]
            ],
        )
    if summary.contests:
        yield "\nChoices between two, p of a binomial test corrected by Holm"
        yield from _columns(
            ["better", "worse", "won", "rate", "95 % interval", "p"],
            [
                [c.better, c.worse, f"{c.wins} of {c.choices}", f"{c.rate:.2f}", _span(c.low, c.high), _p(c.p_holm)]
                for c in summary.contests
            ],
        )
        yield f"agreement of raters (Krippendorff's alpha, nominal): {_number(summary.pair_agreement)}"
    if summary.strengths:
        yield "\nBradley-Terry strengths (logarithm; a difference d means odds of exp(d) to win)"
        yield from _columns(
            ["method", "strength"], [[m, f"{round(s, 2) + 0.0:+.2f}"] for m, s in summary.strengths.items()]
        )
    if summary.notes:
        yield ""
        yield from (f"note: {note}" for note in summary.notes)


def _columns(head: list[str], rows: list[list[str]]) -> Iterator[str]:
    """A table: names to the left, numbers to the right."""
    widths = [max(len(row[k]) for row in [head, *rows]) for k in range(len(head))]
    left = {"method", "better", "worse"}
    for row in [head, *rows]:
        cells = (c.ljust(w) if h in left else c.rjust(w) for h, c, w in zip(head, row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _span(low: float | None, high: float | None) -> str:
    return "-" if low is None or high is None else f"{low:.2f} to {high:.2f}"


def _test(test: Paired | None) -> list[str]:
    return ["-", "-"] if test is None else [f"{_number(test.t)} ({test.n})", _p(test.p_holm)]


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
