"""The file format of packed art: tars in WebDataset's naming and an index beside them.

A shard is a plain tar of ``KEY.image.webp``, ``KEY.flats.png`` (16-bit region labels), for real pairs ``KEY.line.png``,
and ``KEY.json`` (source, author, licence, weight), the members of a picture together. The index says what the tars hold
and how much of it there is.
"""

from __future__ import annotations

import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

BYTES_PER_PIXEL = 6
"""Of a picture in memory: sRGB, 16-bit labels and, for pairs, a lineart."""


@dataclass(frozen=True)
class Shard:
    """One tar: its path, its pictures, and how many samples of training an epoch makes of it, None = not known."""

    path: Path
    pictures: int | None
    per_epoch: int | None


@dataclass(frozen=True)
class Index:
    """What a folder of shards holds: its tars, the data's digest, and the pixels of all pictures, None = not known."""

    shards: list[Shard]
    digest: str
    pixels: int | None

    @property
    def megabytes(self) -> float:
        """Memory the decoded pictures take; of an index that does not tell, about 20 times the size of the tars."""
        if self.pixels is None:
            return sum(s.path.stat().st_size for s in self.shards) * 20 / 1e6
        return self.pixels * BYTES_PER_PIXEL / 1e6


@dataclass(frozen=True)
class Entry:
    """One picture in a shard: its key, and by part of the name where its members lie as (offset, size)."""

    key: str
    parts: dict[str, tuple[int, int]]

    def weight(self, file: BinaryIO) -> float:
        """How often the picture is to be seen, from the open shard."""
        offset, size = self.parts["json"]
        file.seek(offset)
        return float(json.loads(file.read(size))["weight"])

    def read(self, file: BinaryIO) -> dict[str, bytes]:
        """Read the members from the open shard."""
        found = {}
        for part, (offset, size) in self.parts.items():
            file.seek(offset)
            found[part] = file.read(size)
        return found


def read_index(folder: Path) -> Index:
    """Read the index of a folder of shards.

    Raises:
        FileNotFoundError: the folder holds no shards.
        ValueError: a shard that the index names is missing.
    """
    path = folder / "index.json"
    stored = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if "shards" in stored:
        shards = [Shard(folder / s["file"], s["pictures"], s["per_epoch"]) for s in stored["shards"]]
    else:
        shards = [Shard(p, None, None) for p in sorted(folder.glob("shard-*.tar"))]
    if not stored or not shards:
        raise FileNotFoundError(f"no shards in {folder}; make them with `training pack ART {folder}`")
    missing = [s.path.name for s in shards if not s.path.is_file()]
    if missing:
        raise ValueError(f"{folder} lacks {missing[0]}, which its index names; copy it or pack the data again")
    return Index(shards, stored["digest"], stored.get("pixels"))


def scan(shard: Path) -> list[Entry]:
    """List the pictures of a shard from its headers alone.

    Raises:
        ValueError: the tar is damaged.
    """
    members: dict[str, dict[str, tuple[int, int]]] = {}
    try:
        with tarfile.open(shard, "r:") as tar:
            for info in tar:
                if info.isfile():
                    key, _, part = info.name.partition(".")
                    members.setdefault(key, {})[part] = (info.offset_data, info.size)
    except tarfile.TarError as e:
        raise ValueError(f"{shard} is damaged; copy it or pack the data again") from e
    return [Entry(key, parts) for key, parts in members.items()]
