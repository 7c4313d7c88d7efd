"""Words for a terminal or a log, without characters that either obeys: titles and file names are others' texts."""

from __future__ import annotations

import re

import click

_OBEYED = "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
"""Control characters (C0 but tab and line feed, DEL, C1), line separators, marks of writing direction, surrogates."""
_CONTROL = re.compile(f"[{_OBEYED}]")
_CONTROL_OR_LINE = re.compile(f"[{_OBEYED}\n]")


def harmless(text: str, *, one_line: bool = False) -> str:
    r"""A text with each control character written out, an escape as ``\x1b``.

    Args:
        text: any.
        one_line: write line feeds out as well, so that no text can look like two.
    """
    return (_CONTROL_OR_LINE if one_line else _CONTROL).sub(lambda found: _written_out(found[0]), text)


def _written_out(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def echo(text: str, *, err: bool = False) -> None:
    """Print lines on stdout or stderr, made ``harmless``; not for JSON, which has its own rules for such characters."""
    click.echo(harmless(text), err=err)
