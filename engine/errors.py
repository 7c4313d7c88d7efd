"""The one error type a user sees: a cause in one line and a remedy."""

from __future__ import annotations


class ColorizeError(Exception):
    """Something the user can mend.

    Attributes:
        cause: what is wrong, one line, naming the file or value.
        remedy: what to do about it.
        wrong_use: the command itself was wrong (exit code 2) rather than its input or the machine (exit code 1).
    """

    def __init__(self, cause: str, remedy: str, *, wrong_use: bool = False) -> None:
        super().__init__(f"{cause}; {remedy}")
        self.cause, self.remedy, self.wrong_use = cause, remedy, wrong_use


def does_not_sample(model: str, asked: list[str]) -> ColorizeError:
    """What to say where a model that does not sample is asked for what only sampling has."""
    return ColorizeError(
        f"{model} does not sample, so it has no {' and no '.join(asked)}",
        "leave that out, or choose a model that does (see `engine models`)",
        wrong_use=True,
    )


def check_size(size: int | None, model: str, smallest: int, largest: int) -> None:
    """Refuse a working size that a model is not made for, in pixels; None is its own.

    Raises:
        ColorizeError: it is smaller than the model's smallest or larger than its largest.
    """
    if size is not None and not smallest <= size <= largest:
        raise ColorizeError(
            f"a working size of {size} is outside what {model} is made for",
            f"choose one from {smallest} to {largest} (--size)",
            wrong_use=True,
        )
