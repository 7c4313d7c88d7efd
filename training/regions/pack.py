"""Packs what the region colour model learns from: linearts of every picture, their regions and the regions' colours.

A picture is drawn several times (see ``extractors``), and the engine's own region finding looks at each drawing, so
that regions in training are like those an artist's drawing gives. Files are tars named ``regions-NUMBER-DIGEST.tar``,
whose digest is of what went in: a packing that was interrupted goes on where it stopped, and one of changed art packs
anew only what changed.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from engine.imaging.canvas import resize_picture
from engine.imaging.color import srgb_to_oklab
from engine.imaging.layers.flats import segment_medians
from engine.imaging.regions.graph import shrink_labels, working_size
from engine.imaging.regions.segmentation import find_regions
from training.data.chance import SampleChance
from training.data.extractors import EXTRACTORS, LIFT_REACH, LineSource, dilate, lifted_ink, to_grey
from training.data.flats import simplify
from training.data.pack import Source, encode_png
from training.data.shards import scan
from training.runs.threads import one_thread

VERSION = 1
"""Of what is packed; another one makes other digests."""
PER_FILE = 50
"""Pictures in a tar."""
DRAWN = ("xdog-soft", "borders", "default")
DRAWN_WITH_LINE = ("line", "borders", "default")
"""Extractors of the drawings of a picture; ``line`` is the artist's own, ``default`` too has it where there is one."""
LEAST_SHARE = 0.1
"""Part of a region's pixels that must be clear of ink, or all of them tell its colour."""
FURTHEST = 0.3
"""OKLab distance from which a pixel counts as no further from its region's colour."""


@dataclass(frozen=True)
class Drawing:
    """One drawing of a picture at working size.

    Attributes:
        line: hxw uint8, 255 = paper.
        labels: hxw uint16 region numbers from 0.
        colours: Nx3 float32, OKLab medians of the picture in each region.
        spread: N float32, mean OKLab distance of the region's pixels to it, at most ``FURTHEST``.
    """

    line: NDArray[np.uint8]
    labels: NDArray[np.uint16]
    colours: NDArray[np.float32]
    spread: NDArray[np.float32]


def read_scaled(path: Path, mode: str, short_side: int) -> NDArray[np.uint8]:
    """Read a picture at a short side, or at a smaller one where its long side would be over twice as long."""
    image = Image.open(path).convert(mode)
    scale = min(short_side / min(image.size), 2 * short_side / max(image.size))
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS))


def draw(source: Source, short_side: int) -> list[Drawing]:
    """Draw a picture in several ways and find the regions of each.

    Args:
        source: the picture, with the artist's own lineart where there is one.
        short_side: size in pixels at which regions are looked for.

    Raises:
        OSError: a file cannot be read.
        ValueError: it is no picture.
    """
    rgb = read_scaled(source.image, "RGB", short_side)
    picture = torch.from_numpy(rgb.copy()).permute(2, 0, 1)[None].float() / 255
    grey = to_grey(picture)
    line = torch.ones_like(grey)
    if source.line is not None:
        own = resize_picture(read_scaled(source.line, "L", short_side), *rgb.shape[:2])
        line = torch.from_numpy(own.copy())[None, None].float() / 255
    labels, _ = simplify(rgb, smoothing="bilateral")
    lines = LineSource(
        grey,
        lifted_ink(grey, LIFT_REACH),
        torch.from_numpy(labels)[None],
        line,
        torch.tensor([source.line is not None]),
    )
    lab = srgb_to_oklab(np.divide(rgb, 255, dtype=np.float32))
    drawings = []
    for number, name in enumerate(DRAWN if source.line is None else DRAWN_WITH_LINE):
        seed = int.from_bytes(hashlib.sha256(f"{source.key} {number}".encode()).digest()[:7], "big")
        chance = SampleChance(torch.tensor([seed]))
        lineart = line if name == "line" else EXTRACTORS[name](lines, chance)
        drawings.append(measure(lineart, lines.lifted, lab))
    return drawings


def measure(lineart: torch.Tensor, lifted: torch.Tensor, lab: NDArray[np.float32]) -> Drawing:
    """Find the regions of a 1x1xHxW drawing in [0, 1] and their colours in a picture.

    Args:
        lineart: 1 = paper.
        lifted: 1x1xHxW ink of the picture itself, which is no region's colour.
        lab: HxWx3 OKLab.
    """
    paper = lineart[0, 0].numpy()
    labels = find_regions(paper)
    count = int(labels.max()) + 1
    clear = dilate(torch.maximum(1 - lineart, lifted), 1)[0, 0].numpy() < 0.3
    area = np.bincount(labels.ravel(), minlength=count)
    seen = np.bincount(labels.ravel(), clear.ravel(), count)
    keep = clear | (seen < np.maximum(3, LEAST_SHARE * area)).take(labels)
    colours, _ = segment_medians(lab, labels, keep, count)
    away = np.minimum(np.sqrt(((lab - colours.take(labels, axis=0)) ** 2).sum(-1)), FURTHEST)
    kept = np.bincount(labels.ravel(), keep.ravel(), count)
    spread = np.bincount(labels.ravel(), (away * keep).ravel(), count) / np.maximum(kept, 1)
    h, w = working_size(*labels.shape)
    small = np.rint(np.clip(resize_picture(paper, h, w), 0, 1) * 255).astype(np.uint8)
    return Drawing(small, shrink_labels(labels, h, w).astype(np.uint16), colours, spread.astype(np.float32))


def members_of(source: Source, drawings: list[Drawing]) -> list[tuple[str, bytes]]:
    """The members of a picture in a tar as (name, bytes)."""
    meta = {
        "author": source.author,
        "licence": source.licence,
        "origin": source.origin,
        "weight": source.weight,
        "drawings": len(drawings),
    }
    members = [(f"{source.key}.json", json.dumps(meta, ensure_ascii=False).encode())]
    for number, drawing in enumerate(drawings):
        members.append((f"{source.key}.{number}.line.png", encode_png(drawing.line)))
        members.append((f"{source.key}.{number}.labels.png", encode_png(drawing.labels)))
        buffer = io.BytesIO()
        np.save(buffer, np.concatenate([drawing.colours, drawing.spread[:, None]], 1).astype(np.float16))
        members.append((f"{source.key}.{number}.colours.npy", buffer.getvalue()))
    return members


@dataclass(frozen=True)
class _Packed:
    """What came of one picture: its members, or why there are none."""

    source: Source
    members: list[tuple[str, bytes]]
    fault: str


def _try_pack(source: Source, short_side: int) -> _Packed:
    try:
        return _Packed(source, members_of(source, draw(source, short_side)), "")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as e:
        return _Packed(source, [], f"{type(e).__name__}: {e}")


def digest_of(sources: list[Source], short_side: int) -> str:
    """SHA-256 of what the drawings of some pictures are made from."""
    digest = hashlib.sha256(f"{VERSION} {short_side}".encode())
    for s in sources:
        digest.update(f"{s.key}\0{s.licence}\0{s.origin}\0{s.weight}\0".encode())
        for path in (s.image, s.line):
            digest.update(hashlib.sha256(path.read_bytes()).digest() if path is not None and path.is_file() else b"-")
    return digest.hexdigest()


@dataclass(frozen=True)
class Progress:
    """How far a packing is: pictures done of all, and what there is to say."""

    done: int
    total: int
    said: str = ""


def pack_regions(sources: list[Source], out: Path, short_side: int, workers: int = 2) -> Iterator[Progress]:
    """Write ``regions-*.tar`` and, when all is there, ``index.json`` into ``out``; goes on where it was interrupted.

    Args:
        sources: what to pack.
        out: folder.
        short_side: pixels at which regions are looked for.
        workers: processes.

    Raises:
        OSError: ``out`` cannot be written.
        ValueError: no picture could be read.
    """
    out.mkdir(parents=True, exist_ok=True)
    (out / "index.json").unlink(missing_ok=True)
    # Mixed, so that a part of the files is a sample of all art.
    mixed = sorted(sources, key=lambda s: hashlib.sha256(s.key.encode()).digest())
    chunks = [mixed[i : i + PER_FILE] for i in range(0, len(mixed), PER_FILE)]
    done, files, left_out, pictures = 0, [], [], 0
    total = hashlib.sha256()
    with one_thread(), ProcessPoolExecutor(workers) as pool:
        for number, chunk in enumerate(chunks):
            digest = digest_of(chunk, short_side)
            total.update(digest.encode())
            path = out / f"regions-{number:04d}-{digest[:16]}.tar"
            if not path.is_file():
                writing = path.with_suffix(".part")
                with tarfile.open(writing, "w") as tar:
                    for packed in pool.map(partial(_try_pack, short_side=short_side), chunk):
                        done += 1
                        for name, data in packed.members:
                            info = tarfile.TarInfo(name)
                            info.size = len(data)
                            tar.addfile(info, io.BytesIO(data))
                        said = f"left out {packed.source.image}: {packed.fault}" if packed.fault else ""
                        yield Progress(done, len(mixed), said)
                writing.replace(path)
            else:
                done += len(chunk)
                yield Progress(done, len(mixed))
            found = {entry.key for entry in scan(path)}
            pictures += len(found)
            left_out += [str(s.image) for s in chunk if s.key not in found]
            files.append(path.name)
    if not pictures:
        raise ValueError("no picture could be read; check the manifest and its files")
    for old in {*out.glob("regions-*.tar"), *out.glob("regions-*.part")} - {out / name for name in files}:
        old.unlink()
    index = {
        "pictures": pictures,
        "short_side": short_side,
        "digest": total.hexdigest(),
        "files": files,
        "left_out": left_out,
    }
    part = out / "index.json.part"
    part.write_text(json.dumps(index, indent=1, ensure_ascii=False), encoding="utf-8")
    part.replace(out / "index.json")
