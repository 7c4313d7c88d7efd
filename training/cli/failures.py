"""How the commands of ``training`` say that they failed."""

from __future__ import annotations

from typing import Any

import click

from engine.errors import ColorizeError


class Group(click.Group):
    """Says what a user can mend in a line instead of a traceback: exit code 2 for wrong use, else 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except ColorizeError as e:
            raise (click.UsageError if e.wrong_use else click.ClickException)(str(e)) from e
        except (OSError, ValueError) as e:
            raise click.ClickException(str(e)) from e
