"""Packs a folder of illustrations into shards: resized pictures with their flat regions, ready to train from.

A shard is a plain tar of ``KEY.image.webp``, ``KEY.flats.png`` (16-bit region labels), for real pairs
``KEY.line.png``, and ``KEY.json`` (source, author, licence, weight). Shards stay under a size limit so that they can
travel to another machine in parts.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.data.flats import simplify

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
    return sorted(sources, key=lambda s: s.key)


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


def _png(array: NDArray[Any]) -> bytes:
    ok, data = cv2.imencode(".png", array)
    if not ok:
        raise ValueError("could not encode a PNG")
    return bytes(data.tobytes())


def pack_one(source: Source, short_side: int) -> list[tuple[str, bytes]]:
    """Resize one picture to ``short_side``, find its flats, and return the shard members as (name, bytes)."""
    image = Image.open(source.image).convert("RGB")
    scale = short_side / min(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    # Strips much longer than wide (borders, banners) would fill a batch's memory; crop them to 2:1.
    image = image.resize(size, Image.Resampling.LANCZOS)
    box = (0, 0, min(size[0], 2 * short_side), min(size[1], 2 * short_side))
    image = image.crop(box)
    labels, _ = simplify(np.asarray(image))
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=90, method=4)
    members = [(f"{source.key}.image.webp", buffer.getvalue())]
    members.append((f"{source.key}.flats.png", _png(labels.astype(np.uint16))))
    if source.line is not None:
        line = Image.open(source.line).convert("L").resize(size, Image.Resampling.LANCZOS).crop(box)
        members.append((f"{source.key}.line.png", _png(np.asarray(line))))
    meta = {"author": source.author, "licence": source.licence, "origin": source.origin, "weight": source.weight}
    members.append((f"{source.key}.json", json.dumps(meta, ensure_ascii=False).encode()))
    return members


def _write_shard(path: Path, members: list[tuple[str, bytes]]) -> str:
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return f"{path.name}: {path.stat().st_size / 1e6:.1f} MB"


def pack(sources: list[Source], out: Path, short_side: int, limit_mb: float = 15.0, workers: int = 2) -> Iterator[str]:
    """Write shards ``shard-NNN.tar`` and ``index.json`` into ``out``; yields a line of progress per shard.

    Raises:
        OSError: ``out`` cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    waiting: list[tuple[str, bytes]] = []
    number, used = 0, 0.0
    with ProcessPoolExecutor(workers) as pool:
        for members in pool.map(pack_one, sources, [short_side] * len(sources), chunksize=8):
            size = sum(len(data) + 1024 for _, data in members)
            if waiting and used + size > limit_mb * 1e6:
                yield _write_shard(out / f"shard-{number:03d}.tar", waiting)
                number, waiting, used = number + 1, [], 0.0
            waiting += members
            used += size
    if waiting:
        yield _write_shard(out / f"shard-{number:03d}.tar", waiting)
    index = {"pictures": len(sources), "short_side": short_side, "digest": manifest_digest(sources)}
    (out / "index.json").write_text(json.dumps(index, indent=1))
