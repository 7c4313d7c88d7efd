"""The command ``training curate``: from folders of pictures to a training set."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.errors import ColorizeError
from engine.system.process import on_signals
from engine.system.progress import ProgressBar, in_time
from training.curate.options import REASONS, Options

if TYPE_CHECKING:
    from training.curate.curation import Result

STOPPED = 130
FOLDER = click.Path(path_type=Path)
LIST = click.Path(exists=True, dir_okay=False, path_type=Path)
DEFAULT = Options()


@click.command(context_settings={"show_default": True})
@click.argument("sources", type=FOLDER, nargs=-1, required=True, metavar="SRC...")
@click.argument("target", type=FOLDER, metavar="DST")
@click.option("--dry-run", is_flag=True, help="Write nothing but --report; tell what would become of each picture.")
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), help="Report; DST/report.html without.")
@click.option("--report-thumbs", type=click.IntRange(0), default=48, help="Pictures shown for each reason.")
@click.option("--allow", type=LIST, multiple=True, help="List of files that are good whatever they look like.")
@click.option("--deny", type=LIST, multiple=True, help="List of files, authors or licences to leave out.")
@click.option("--require-licence", is_flag=True, help="Leave out what states no licence.")
@click.option("--min-side", type=click.IntRange(8), default=DEFAULT.min_side, help="Least short side in pixels.")
@click.option("--short-side", type=click.IntRange(64), default=DEFAULT.short_side, help="Larger ones are made smaller.")
@click.option(
    "--coloured", type=click.FloatRange(0, 1), default=DEFAULT.coloured, help="Least share of coloured pixels."
)
@click.option("--tint", type=click.FloatRange(0), default=DEFAULT.tint, help="Least spread of colours around one tint.")
@click.option(
    "--photo", type=float, default=DEFAULT.photo, help="Score from which a picture is a photo; more keeps more."
)
@click.option("--panels", type=click.IntRange(1), default=DEFAULT.panels, help="Panels that make a comic page.")
@click.option("--sharpness", type=click.FloatRange(0, 1), default=DEFAULT.sharpness, help="Least sharpness.")
@click.option(
    "--duplicate-bits", type=click.IntRange(0, 11), default=DEFAULT.duplicate_bits, help="Of 64 that may differ."
)
@click.option(
    "--duplicate-colour", type=click.FloatRange(0), default=DEFAULT.duplicate_colour, help="Mean difference, CIELAB."
)
@click.option("--split-by", type=click.Choice(["artist", "work"]), default=DEFAULT.split_by)
@click.option(
    "--test-share", type=click.FloatRange(0, 1), default=DEFAULT.test_share, help="Share of artists or works."
)
@click.option("--split-seed", default=DEFAULT.split_seed, help="Another text draws another split.")
@click.option("--redraw-split", is_flag=True, help="Draw also where a manifest states training or test.")
@click.option("--workers", type=click.IntRange(1), help="Processes; one for each core without.")
@click.option("--quiet", is_flag=True, help="No progress.")
def curate(
    sources: tuple[Path, ...],
    target: Path,
    dry_run: bool,
    report: Path | None,
    report_thumbs: int,
    allow: tuple[Path, ...],
    deny: tuple[Path, ...],
    workers: int | None,
    quiet: bool,
    **thresholds: Any,
) -> None:
    """Make a training set in DST from the pictures in the folders SRC.

    Left out, with one reason each, is what is grey, a photo, a comic page, blurry, small, animated, broken, or nearly
    the same as another. The rest is split by artist or work into DST/train and DST/test, with manifest.csv,
    manifest.parquet, rejected.csv, dataset.json and report.html. The same command goes on where it was stopped, and
    does only what is new when pictures were added.

    Authors and licences come from NAME.json or NAME.txt beside a picture, from a manifest.csv in its folder or above,
    and from LICENSE files. Lists have a name, glob, SHA-256, author:GLOB or licence:GLOB a line.
    """
    options = Options(**{f.name: thresholds[f.name] for f in fields(Options)})
    progress = ProgressBar(silent=quiet)
    started = time.monotonic()
    try:
        with on_signals(_stop, ["SIGTERM"]):
            result = _run(sources, target, options, (allow, deny), dry_run, report, report_thumbs, workers, progress)
    except KeyboardInterrupt:
        progress.say("stopped; the same command goes on from here", always=True)
        click.get_current_context().exit(STOPPED)
    except OSError as e:
        raise click.ClickException(f"{e}; free some space or mend the permissions") from e
    finally:
        progress.close()
    _tell(result, target, dry_run, time.monotonic() - started)


def _run(
    sources: tuple[Path, ...],
    target: Path,
    options: Options,
    lists: tuple[tuple[Path, ...], tuple[Path, ...]],
    dry: bool,
    report: Path | None,
    thumbs: int,
    workers: int | None,
    progress: ProgressBar,
) -> Result:
    from training.curate.curation import Curation
    from training.curate.judge import Judge
    from training.curate.lists import read_lists
    from training.curate.pool import Pool
    from training.curate.report import write_report
    from training.curate.store import open_store

    _check(sources, target, report)
    judge = Judge(options, *(read_lists(files) for files in lists))
    if report is None and not dry:
        report = target / "report.html"
    with contextlib.closing(open_store(target, dry=dry)) as db, Pool(workers or _cores()) as pool:
        curation = Curation(db, list(sources), target, judge, pool, progress)
        result = curation.run(dry=dry)
        if report is not None:
            about = {
                "title": f"What went into {target.absolute().name}",
                "files": result.files,
                "dry": dry,
                "digest": result.about.get("digest"),
                "warnings": result.warnings,
                "options": list(asdict(options).items()),
            }
            write_report(db, curation.roots, report, about, thumbs, pool, progress)
    return result


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _check(sources: tuple[Path, ...], target: Path, report: Path | None) -> None:
    """Refuse before any work what makes no sense."""
    goal = Path(os.path.realpath(target))
    if goal.exists() and not goal.is_dir():
        raise ColorizeError(f"{target} is not a folder", "name a folder for the set", wrong_use=True)
    for source in sources:
        root = Path(os.path.realpath(source))
        if not root.is_dir():
            raise ColorizeError(f"there is no folder {source}", "check the path", wrong_use=True)
        if root == goal or goal in root.parents:
            raise ColorizeError(f"{source} lies in {target}", "let the set be made in another folder", wrong_use=True)
    if report is not None and not report.absolute().parent.is_dir():
        raise ColorizeError(f"there is no folder {report.parent}", "create it or name another", wrong_use=True)
    foreign = goal.is_dir() and any(goal.iterdir()) and not (goal / ".curate").is_dir()
    if foreign:
        raise ColorizeError(f"{target} holds other things", "name a new or empty folder for the set", wrong_use=True)


def _stop(*_: object) -> None:
    """Let a polite end from outside do what Ctrl-C does."""
    raise KeyboardInterrupt


def _tell(result: Result, target: Path, dry: bool, seconds: float) -> None:
    kept, units = result.kept, result.units
    parts = [f"{kept.get(s, 0):,} in {s} ({units.get(s, 0):,} artists or works)" for s in ("train", "test")]
    click.echo(f"{result.files:,} pictures: {', '.join(parts)}, {sum(result.rejected.values()):,} left out")
    for reason, title in REASONS.items():
        if result.rejected.get(reason):
            click.echo(f"  {result.rejected[reason]:>9,}  {title}")
    if result.troubles:
        click.echo(f"  {result.troubles:>9,}  sidecars or manifests that could not be read; see the report")
    work = f"{result.measured:,} measured, {result.written:,} written, {result.removed:,} taken out, {in_time(seconds)}"
    click.echo(f"{'dry run, nothing written' if dry else target}: {work}")
