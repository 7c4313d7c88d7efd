"""Trouble the artist can mend: what is wrong and what to do about it."""

from __future__ import annotations


class Mendable(Exception):  # noqa: N818 (a kind of error, not one)
    """Base of all errors that are shown to the artist.

    Attributes:
        cause: what is wrong, one line.
        remedy: what to do about it, one line.
    """

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(f"{cause}; {remedy}")
        self.cause, self.remedy = cause, remedy
