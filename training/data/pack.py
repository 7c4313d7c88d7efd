"""Packs a folder of illustrations into shards (see ``shards``): resized pictures with their flat regions.

Shards stay under a size limit so that they can travel to another machine in parts. A picture that cannot be read is
listed and left out.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.system.files import atomic_write
from training.data.dataset import is_held_out, times_per_epoch
from training.data.flats import Smoothing, simplify

OVERSAMPLE = {"anime_vn": 4.0, "peppercarrot": 2.5, "peppercarrot_pages": 2.0, "revoy_illustrations": 4.0}
"""Weights of folders that are rarer than the art the product is for."""


@dataclass(frozen=True)
class Source:
    """One picture to pack: its path, an optional lineart drawn for it, and where it comes from."""

    key: str
    image: Path
    line: Path | None
    author: str
    licence: str
    origin: str
    weight: float


def read_manifest(root: Path, split: str) -> list[Source]:
    """List the pictures of ``root/manifest.csv`` whose split is ``split``; pairs become one source.

    Raises:
        FileNotFoundError: there is no manifest.
        ValueError: the manifest names a file outside the split's folder, so held-out art could leak in.
    """
    with (root / "manifest.csv").open(newline="", encoding="utf-8") as f:
        rows = [r for r in csv.DictReader(f) if r["split"] == split]
    lines = {(Path(r["file"]).parent.name, r["pair_id"]): r for r in rows if r["kind"] == "pair_line"}
    sources = []
    for r in rows:
        path = Path(r["file"])
        if path.parts[0] != split:
            raise ValueError(f"{path} is marked {split} but lies in {path.parts[0]}/")
        if r["kind"] not in ("illustration", "pair_color"):
            continue
        pair = lines.get((path.parent.name, r["pair_id"])) if r["kind"] == "pair_color" else None
        sources.append(
            Source(
                key=f"{path.parent.name}-{path.stem}".replace(".", "_"),
                image=root / path,
                line=root / pair["file"] if pair else None,
                author=r["author"],
                licence=r["license_spdx"],
                origin=r["source_repo"],
                weight=OVERSAMPLE.get(path.parent.name, 1.0),
            )
        )
    return _with_own_keys(sorted(sources, key=lambda s: s.key), root)


def _with_own_keys(sources: list[Source], root: Path) -> list[Source]:
    """Lengthen the keys of files that differ in their folders or suffixes only: a shard holds one picture per key."""
    seen: set[str] = set()
    own = []
    for s in sources:
        if s.key in seen:
            mark = hashlib.sha256(s.image.relative_to(root).as_posix().encode()).hexdigest()[:8]
            s = replace(s, key=f"{s.key}-{mark}")
        seen.add(s.key)
        own.append(s)
    return own


def sources_table(sources: list[Source]) -> str:
    """A Markdown table of the sources by folder: pictures, authors, licences and repositories, for a model card."""
    lines = ["| Folder | Pictures | Authors | Licences | Repositories |", "|---|---|---|---|---|"]
    for folder in sorted({s.image.parent.name for s in sources}):
        own = [s for s in sources if s.image.parent.name == folder]

        def listed(values: list[str], most: int) -> str:
            distinct = sorted(set(values))
            return "; ".join(distinct[:most]) + (f"; and {len(distinct) - most} more" if len(distinct) > most else "")

        authors, licences = listed([s.author for s in own], 6), listed([s.licence for s in own], 9)
        lines.append(f"| {folder} | {len(own)} | {authors} | {licences} | {listed([s.origin for s in own], 3)} |")
    return "\n".join(lines)


def manifest_digest(sources: list[Source]) -> str:
    """SHA-256 over the keys, licences and file contents of all sources, in order."""
    digest = hashlib.sha256()
    for s in sources:
        digest.update(f"{s.key}\0{s.licence}\0".encode())
        digest.update(hashlib.sha256(s.image.read_bytes()).digest())
    return digest.hexdigest()


def encode_png(array: NDArray[Any]) -> bytes:
    """Write an HxW uint8 or uint16 array as a PNG."""
    ok, data = cv2.imencode(".png", array)
    if not ok:
        raise ValueError("could not encode a PNG")
    return bytes(data.tobytes())


@dataclass(frozen=True)
class Packed:
    """One picture ready for a shard: its members as (name, bytes), or why there are none."""

    source: Source
    members: list[tuple[str, bytes]]
    pixels: int
    fault: str


def try_pack_one(source: Source, short_side: int, smoothing: Smoothing) -> Packed:
    """As ``pack_one``, but a file that cannot be read is told rather than raised."""
    try:
        members, pixels = pack_one(source, short_side, smoothing)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as e:
        return Packed(source, [], 0, f"{type(e).__name__}: {e}")
    return Packed(source, members, pixels, "")


def pack_one(source: Source, short_side: int, smoothing: Smoothing = "opencv") -> tuple[list[tuple[str, bytes]], int]:
    """Resize one picture to ``short_side``, find its flats, and return the shard members as (name, bytes).

    Returns:
        The members and the number of pixels.
    """
    image = Image.open(source.image).convert("RGB")
    scale = short_side / min(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    # Strips much longer than wide (borders, banners) would fill a batch's memory; crop them to 2:1.
    image = image.resize(size, Image.Resampling.LANCZOS)
    box = (0, 0, min(size[0], 2 * short_side), min(size[1], 2 * short_side))
    image = image.crop(box)
    labels, _ = simplify(np.asarray(image), smoothing=smoothing)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=90, method=4)
    members = [(f"{source.key}.image.webp", buffer.getvalue())]
    members.append((f"{source.key}.flats.png", encode_png(labels.astype(np.uint16))))
    if source.line is not None:
        line = Image.open(source.line).convert("L").resize(size, Image.Resampling.LANCZOS).crop(box)
        members.append((f"{source.key}.line.png", encode_png(np.asarray(line))))
    meta = {"author": source.author, "licence": source.licence, "origin": source.origin, "weight": source.weight}
    members.append((f"{source.key}.json", json.dumps(meta, ensure_ascii=False).encode()))
    return members, labels.size


class _Writer:
    """Gathers pictures into shards; each appears under its name when it is whole."""

    def __init__(self, out: Path, limit_mb: float) -> None:
        self.out, self.limit = out, limit_mb * 1e6
        self.waiting: list[Packed] = []
        self.used = 0
        self.index: list[dict[str, Any]] = []

    def add(self, packed: Packed) -> Iterator[str]:
        size = sum(len(data) + 1024 for _, data in packed.members)
        if self.waiting and self.used + size > self.limit:
            yield self.flush()
        self.waiting.append(packed)
        self.used += size

    def flush(self) -> str:
        """Write the waiting pictures; returns a line of progress."""
        path = self.out / f"shard-{len(self.index):03d}.tar"
        with atomic_write(path) as part, tarfile.open(part, "w") as tar:
            for name, data in (m for p in self.waiting for m in p.members):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        trained = [p.source for p in self.waiting if not is_held_out(p.source.key)]
        per_epoch = sum(times_per_epoch(s.weight) for s in trained)
        self.index.append({"file": path.name, "pictures": len(self.waiting), "per_epoch": per_epoch})
        self.waiting, self.used = [], 0
        return f"{path.name}: {path.stat().st_size / 1e6:.1f} MB"


def pack(
    sources: list[Source],
    out: Path,
    short_side: int,
    limit_mb: float = 15.0,
    workers: int = 2,
    smoothing: Smoothing = "opencv",
    tell: Callable[[str, int, int], None] = lambda *_: None,
) -> Iterator[str]:
    """Write shards ``shard-NNN.tar`` and ``index.json`` into ``out``; yields a line per shard and per picture left out.

    Args:
        sources: what to pack, in this order.
        out: folder; shards of an earlier packing are replaced.
        short_side: pixels to which pictures are resized.
        limit_mb: most megabytes of a shard.
        workers: processes.
        smoothing: see ``flats.flatten``.
        tell: told of progress: what is done, how many pictures, of how many.

    Raises:
        OSError: ``out`` cannot be written.
        ValueError: no picture could be read.
    """
    out.mkdir(parents=True, exist_ok=True)
    # Without its index a half-written folder is not taken for a whole one.
    (out / "index.json").unlink(missing_ok=True)
    for old in out.glob("shard-*.tar"):
        old.unlink()
    writer = _Writer(out, limit_mb)
    taken: list[Source] = []
    left_out: list[dict[str, str]] = []
    pixels = 0
    many = len(sources)
    with ProcessPoolExecutor(workers) as pool:
        made = pool.map(try_pack_one, sources, [short_side] * many, [smoothing] * many, chunksize=8)
        for done, packed in enumerate(made, 1):
            tell("packing", done, many)
            if packed.fault:
                left_out.append({"file": str(packed.source.image), "fault": packed.fault})
                yield f"left out {packed.source.image}: {packed.fault}"
                continue
            taken.append(packed.source)
            pixels += packed.pixels
            yield from writer.add(packed)
    if not taken:
        raise ValueError("no picture could be read; check the manifest and its files")
    yield writer.flush()
    index = {
        "pictures": len(taken),
        "short_side": short_side,
        "smoothing": smoothing,
        "pixels": pixels,
        "digest": manifest_digest(taken),
        "shards": writer.index,
        "left_out": left_out,
    }
    with atomic_write(out / "index.json") as part:
        part.write_text(json.dumps(index, indent=1, ensure_ascii=False), encoding="utf-8")
