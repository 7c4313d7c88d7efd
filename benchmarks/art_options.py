"""What the benchmarks on held-out art share of their command lines."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from engine.errors import ColorizeError


def art_parser(about: str, written: str, hints: str) -> argparse.ArgumentParser:
    """A parser with the options that all of them have.

    Args:
        about: one line on the benchmark.
        written: what it writes.
        hints: numbers of strokes by default, with commas between them.
    """
    parser = argparse.ArgumentParser(description=about)
    art = os.environ.get("COLORIZE_ART")
    parser.add_argument("art", type=Path, nargs="?" if art else None, default=art and Path(art), metavar="ART")
    parser.add_argument("out", type=Path, metavar="OUT", help=f"folder for {written}")
    parser.add_argument("--hints", default=hints, metavar="N,N,...", help="numbers of strokes (%(default)s)")
    parser.add_argument("--limit", type=int, metavar="N", help="only N pictures, spread evenly over the set")
    parser.add_argument("--json", action="store_true", help="print the summary as one last line of JSON, too")
    return parser


def read_options(parser: argparse.ArgumentParser, arguments: list[str] | None) -> argparse.Namespace:
    """Read a command line; ``hints`` becomes a sorted list. Ends the process where it makes no sense."""
    options = parser.parse_args(arguments)
    try:
        options.hints = sorted({int(part) for part in options.hints.split(",")})
    except ValueError:
        parser.error(f"--hints should be numbers with commas between them, not {options.hints}")
    if min(options.hints) < 0 or (options.limit is not None and options.limit < 1):
        parser.error("--hints may not be negative, --limit not under 1")
    return options


def exit_code(work: Callable[[], None]) -> int:
    """Do the work; 0 done, 1 failed, 2 wrong use."""
    try:
        work()
    except ColorizeError as e:
        print(f"error: {e.cause}\n  {e.remedy}", file=sys.stderr)
        return 2 if e.wrong_use else 1
    return 0
