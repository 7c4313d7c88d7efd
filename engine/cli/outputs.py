"""Where ``engine colorize`` writes: names for every picture and layer, checked before any work."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import ColorizeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.pipeline import Layers

LAYERS = ("flats", "shading", "colour")
LIT_LAYERS = ("shadow", "light")
"""Further ones of a job with a light."""


@dataclass(frozen=True)
class Targets:
    """Files of one job.

    Attributes:
        pictures: a ready picture per variation.
        folders: a folder for the layers per variation; none when nobody wants them.
        names: of the layers.
    """

    pictures: tuple[Path, ...]
    folders: tuple[Path, ...] = ()
    names: tuple[str, ...] = LAYERS

    @classmethod
    def of(cls, output: Path, layers: Path | None, variations: int, *, lit: bool = False) -> Targets:
        """Name the files: ``output`` itself and ``layers`` itself for one picture, numbered ones for several."""
        names = (*LAYERS, *LIT_LAYERS) if lit else LAYERS
        if variations == 1:
            return cls((output,), (layers,) if layers else (), names)
        numbers = [str(i + 1) for i in range(variations)]
        return cls(
            tuple(output.with_stem(f"{output.stem}-{n}") for n in numbers),
            tuple(layers / n for n in numbers) if layers else (),
            names,
        )

    @property
    def layers(self) -> list[Path]:
        """Files of all layers, those of the first variation first, each in the order of ``names``."""
        return [folder / f"{name}.png" for folder in self.folders for name in self.names]

    def check(self, inputs: Sequence[Path]) -> None:
        """Refuse before any work what could not or must not be written.

        Args:
            inputs: files that are read.

        Raises:
            ColorizeError: a file would overwrite an input or another, or cannot be written.
        """
        from engine.imaging.files.writing import check_target

        taken = {os.path.realpath(path): path for path in inputs}
        for target in (*self.pictures, *self.layers):
            place = os.path.realpath(target)
            if place in taken or any(_same_file(target, path) for path in taken.values()):
                raise ColorizeError(
                    f"{target} would overwrite {taken.get(place, 'another file of this job')}",
                    "choose another name with -o or another folder with --layers",
                    wrong_use=True,
                )
            taken[place] = target
        for folder in self.folders:
            if os.path.realpath(folder) in taken or (folder.exists() and not folder.is_dir()):
                raise ColorizeError(f"{folder} is not a folder", "name a folder with --layers", wrong_use=True)
        for picture in self.pictures:
            check_target(picture)
        for layer in self.layers:
            check_target(layer, new_folder=True)

    def write(self, pictures: Sequence[Any], results: Sequence[Layers]) -> None:
        """Write all files or none; folders created for it do not stay behind empty.

        Args:
            pictures: a ready picture per variation.
            results: their layers.
        """
        from engine.imaging.files.writing import make_folder, write_all

        # ``shading`` costs time, so it is only asked for when somebody wants it.
        wanted = [getattr(r, name) for r in results for name in self.names] if self.folders else []
        created: list[Path] = []
        try:
            for folder in self.folders:
                created = [*make_folder(folder), *created]
            write_all([*zip(self.pictures, pictures, strict=True), *zip(self.layers, wanted, strict=True)])
        except BaseException:
            with contextlib.suppress(OSError):  # somebody else has put something in it
                for folder in created:
                    folder.rmdir()
            raise


def _same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
