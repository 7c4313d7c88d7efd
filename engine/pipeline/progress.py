"""How far a job has come, told to whoever asks, and the one place where it stops when it was cancelled."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
STAGES = ("regions", "colours", "flats", "shading")
"""In order; a sampling makes ``colours`` several steps, and each variation has flats and shading of its own."""


class Cancelled(Exception):  # noqa: N818 (not an error: somebody asked for it)
    """The caller asked for the job to stop."""


class Track:
    """How far a job has come.

    Args:
        progress: told.
        cancelled: asked.
        variations: pictures to make.
        drawn: steps of the sampling, as far as one knows before it begins.
    """

    def __init__(
        self, progress: Progress | None, cancelled: Callable[[], bool] | None, variations: int, drawn: int
    ) -> None:
        self._progress, self._cancelled, self._variations = progress, cancelled, variations
        self.drawn = drawn

    @property
    def total(self) -> int:
        """Steps of the job."""
        return 2 + self.drawn + 2 * self._variations

    def check(self) -> None:
        """Stop here if the job was cancelled.

        Raises:
            Cancelled: it was.
        """
        if self._cancelled is not None and self._cancelled():
            raise Cancelled

    def __call__(self, stage: str, done: int) -> None:
        """So many steps are done, and ``stage`` comes next; see ``check``."""
        if stage != "done":
            self.check()
        if self._progress is not None:
            self._progress(stage, done, self.total)

    def draw(self, done: int, of: int) -> None:
        """So many steps of a sampling are done."""
        self.drawn = of
        self("colours", 1 + done)
