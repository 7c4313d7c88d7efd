"""One job from lineart, hints, mask and context to layers: the code path of the command line, the server and the tests.

Frame, run, refine, layers (design section 3). It reads a model's descriptor and knows no model by name.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from engine.errors import ColorizeError
from engine.imaging.canvas import Frame, choose_frame, pad_to, resize_coverage, resize_labels, resize_picture
from engine.imaging.flats import Flats, Moments, Segments, Sight, find_segments, make_flats
from engine.imaging.flood import landscape
from engine.imaging.regions import at_segmentation_size, distance_to_ink, find_regions
from engine.imaging.shading import STRIP, enlarge_strip, shading_field, shading_layer
from engine.imaging.strokes import collect_strokes, flood_strokes, hint_map
from engine.models.base import ModelInputs, ModelOutputs
from engine.models.checkpoint import LoadedModel

Progress = Callable[[str, int, int], None]
UNHINTED_SHADING = 0.5
PAINTERS = 4
"""Strips painted at the same time at most; each needs some 100 MB on the largest canvases."""
DRAWINGS_KEPT = 3
"""Linearts whose regions are kept for the next job on them; 20 MB each at most."""
STAGES = ("regions", "colours", "flats", "shading")


class Cancelled(Exception):  # noqa: N818 (not an error: somebody asked for it)
    """The caller asked for the job to stop."""


@dataclass(frozen=True)
class Job:
    """What to colour.

    Attributes:
        lineart: float32 HxW in [0, 1], 1 = paper.
        hints: uint8 HxWx4 straight alpha, or None.
        mask: uint8 HxW, 255 = colour here; None = everywhere.
        context: uint8 HxWx4, what is painted already; None = nothing.
        size: working short side in pixels; None = the model's own.
        seed: for models that draw lots.
        lineart_digest: content address of the lineart; with one, what depends on it alone is kept for the next job.
    """

    lineart: NDArray[np.float32]
    hints: NDArray[np.uint8] | None = None
    mask: NDArray[np.uint8] | None = None
    context: NDArray[np.uint8] | None = None
    size: int | None = None
    seed: int = 0
    lineart_digest: str | None = None


@dataclass(frozen=True)
class Layers:
    """The result: uint8 HxWx4 RGBA, alpha 0 and colour 0 where the mask is 0.

    Attributes:
        flats: one colour per region.
        colour: flats and shading together.
    """

    flats: NDArray[np.uint8]
    colour: NDArray[np.uint8]

    @cached_property
    def shading(self) -> NDArray[np.uint8]:
        """The layer that turns ``flats`` into ``colour`` when laid over it."""
        return shading_layer(self.flats, self.colour)


def check_job(job: Job) -> None:
    """Reject inputs that do not fit together.

    Raises:
        ColorizeError: naming both sizes, or what is wrong with an array.
    """
    if job.lineart.ndim != 2 or job.lineart.size == 0:
        raise ColorizeError(f"the lineart has the shape {job.lineart.shape}", "give a picture with one channel of ink")
    h, w = job.lineart.shape
    for name, array, channels in (("hints", job.hints, 4), ("mask", job.mask, 0), ("context", job.context, 4)):
        if array is None:
            continue
        if array.shape[:2] != (h, w):
            size = f"{array.shape[1]}x{array.shape[0]}"
            raise ColorizeError(f"the {name} are {size} but the lineart is {w}x{h}", "make them the same size")
        if array.ndim != (3 if channels else 2) or (channels and array.shape[2] != channels):
            raise ColorizeError(f"the {name} have the shape {array.shape}", "give RGBA, or one channel for a mask")
    if job.mask is not None and not job.mask.any():
        raise ColorizeError("the mask is empty", "paint white where to colour, or leave the mask out")


class Pipeline:
    """Runs jobs on one loaded model."""

    def __init__(self, model: LoadedModel, device: str = "cpu") -> None:
        self.model = model
        self.device = torch.device(device)
        self._drawings: OrderedDict[tuple[object, ...], Drawing] = OrderedDict()

    def run(self, job: Job, progress: Progress | None = None, cancelled: Callable[[], bool] | None = None) -> Layers:
        """Colour one job. Same inputs, weights, seed and device give the same bytes.

        Raises:
            ColorizeError: the inputs do not fit together or the size is out of range.
            Cancelled: ``cancelled`` answered yes between two stages.
        """
        check_job(job)

        def stage(number: int) -> None:
            if cancelled is not None and cancelled():
                raise Cancelled
            if progress is not None:
                progress(STAGES[number], number, len(STAGES))

        stage(0)
        frame = self.frame(job)
        # The segments do not need the network, and keep one core busy for about as long.
        with ThreadPoolExecutor(1) as aside:
            segments = aside.submit(self.segments, job, frame)
            stage(1)
            change, sight, paper = self.predict(job, frame)
            stage(2)
            flats = make_flats(segments.result(), sight, self._moments(job))
        stage(3)
        field = self.shading(flats, change, paper)
        layers = _layers(job, frame, flats, field, cancelled)
        if progress is not None:
            progress("done", len(STAGES), len(STAGES))
        return layers

    def frame(self, job: Job) -> Frame:
        """Where on the canvas and at what size the model works.

        Raises:
            ColorizeError: the wanted size is outside what the model is made for.
        """
        descriptor = self.model.descriptor
        size = descriptor.size if job.size is None else job.size
        if not descriptor.min_size <= size <= descriptor.max_size:
            raise ColorizeError(
                f"a working size of {size} is outside {descriptor.min_size} to {descriptor.max_size}",
                "choose one in that range with --size",
                wrong_use=True,
            )
        return choose_frame(job.lineart.shape, job.mask, size, descriptor.stride)

    def predict(self, job: Job, frame: Frame) -> tuple[NDArray[np.float32], Sight, NDArray[np.float32]]:
        """Run the network.

        Returns:
            At the size it answers in: what it adds to its flat picture, hxwx3 change of sRGB in [-1, 1]; what the flats
            need of its view; and the paper, hxw, 1 = no ink.
        """
        inputs = model_inputs(job, frame)
        with torch.inference_mode():
            outputs: ModelOutputs = self.model.network(inputs.to(self.device))
        h = outputs.shaded.shape[-2]
        factor = frame.padded_height // h
        # The padding is cut off; a last row or column that is partly padding stays.
        keep = (-(-frame.work_height // factor), -(-frame.work_width // factor))
        # The darkest ink under each of the model's pixels.
        darkest = (1 - F.max_pool2d(-inputs.lineart, factor)[0, 0]) / 2
        paper: NDArray[np.float32] = darkest.numpy()[: keep[0], : keep[1]]

        def rows(x: Tensor) -> NDArray[np.float32]:
            return np.asarray(x[0, :, : keep[0], : keep[1]].float().cpu().permute(1, 2, 0).numpy(), np.float32)

        def picture(x: Tensor) -> NDArray[np.float32]:
            return np.clip((rows(x) + 1) / 2, 0, 1)

        context, known = None, None
        if job.context is not None:
            context = picture(F.avg_pool2d(inputs.context, factor))
            known = (-F.max_pool2d(-inputs.known, factor))[0, 0].numpy()[: keep[0], : keep[1]] > 0
        change = rows((outputs.shaded - outputs.flat) / 2)
        return change, Sight(picture(outputs.flat), paper > 0.6, context, known), paper

    def segments(self, job: Job, frame: Frame) -> Segments:
        """What will get one colour each, at the size regions are found at."""
        key = (job.lineart_digest, frame)
        drawing = self._drawings.pop(key, None) or find_drawing(job.lineart[frame.window])
        if job.lineart_digest is not None:
            self._drawings[key] = drawing
            if len(self._drawings) > DRAWINGS_KEPT:
                self._drawings.popitem(last=False)
        flooded = None
        if job.hints is not None:
            strokes = collect_strokes(job.hints[frame.window])
            flooded = flood_strokes(drawing.levels, drawing.regions, strokes, (frame.height, frame.width))
        return find_segments(drawing.regions, flooded)

    def _moments(self, job: Job) -> Moments | None:
        """The contrast to give to a picture for which there is nothing to go by."""
        descriptor = self.model.descriptor
        if _has_hints(job) or job.context is not None:
            return None
        if descriptor.palette_mean is None or descriptor.palette_spread is None:
            return None
        return Moments(descriptor.palette_mean, descriptor.palette_spread)

    def shading(
        self, flats: Flats, change: NDArray[np.float32], paper: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Shading field and segments at the model's size."""
        labels = resize_labels(flats.labels, *change.shape[:2])
        # Where nobody gave a colour the model is unsure, and its light and shade are as unsure as its hue.
        gain = self.model.descriptor.shading_gain * np.where(flats.hinted, 1.0, UNHINTED_SHADING).astype(np.float32)
        field = shading_field(change, labels, flats.palette, gain, paper)
        return field, labels


def _has_hints(job: Job) -> bool:
    return job.hints is not None and bool(job.hints[..., 3].any())


@dataclass(frozen=True)
class Drawing:
    """What is known of a lineart before any hint, at the size regions are found at.

    Attributes:
        regions: HxW int32 from 0.
        levels: HxW uint8 ``flood.landscape``.
    """

    regions: NDArray[np.int32]
    levels: NDArray[np.uint8]


def find_drawing(lineart: NDArray[np.float32]) -> Drawing:
    """Find regions and landscape of HxW lineart in [0, 1]; a large one is made smaller."""
    lineart = at_segmentation_size(lineart)
    distance = distance_to_ink(lineart)
    return Drawing(find_regions(lineart, distance), landscape(lineart, min(lineart.shape) / 512, distance))


def model_inputs(job: Job, frame: Frame) -> ModelInputs:
    """Bring a job to the working size, padded, as a batch of one (the same ranges and resizing as in training)."""
    h, w = frame.work_height, frame.work_width
    window = frame.window

    def tensor(array: NDArray[np.float32]) -> Tensor:
        padded = pad_to(array, frame.padded_height, frame.padded_width)
        return torch.from_numpy(np.ascontiguousarray(np.atleast_3d(padded).transpose(2, 0, 1)))[None]

    line = np.clip(resize_picture(job.lineart[window], h, w), 0, 1)
    if frame.scale < 1:
        # Thin lines pale when a canvas shrinks; training lines are as dark at every scale.
        line = 1 - np.clip((1 - line) * np.float32(0.7 + 0.3 / frame.scale), 0, 1)
    height, width = frame.padded_height, frame.padded_width
    hints, mask = torch.zeros(1, 4, height, width), torch.ones(1, 1, height, width)
    context, known = torch.zeros(1, 3, height, width), torch.zeros(1, 1, height, width)
    if job.hints is not None:
        hints = tensor(hint_map(job.hints[window], h, w))
    if job.mask is not None:
        covered = np.divide(resize_coverage(job.mask[window], h, w), 255, dtype=np.float32)
        mask = tensor(covered)
        if job.context is not None:
            painted = np.divide(resize_picture(job.context[window], h, w), 255, dtype=np.float32)
            context = tensor(painted[..., :3] * 2 - 1)
            known = tensor(((covered < 0.5) & (painted[..., 3] > 0.5)).astype(np.float32))
    return ModelInputs(tensor(line * 2 - 1), hints, mask, context, known)


def _layers(
    job: Job,
    frame: Frame,
    flats: Flats,
    shading: tuple[NDArray[np.float32], NDArray[np.int32]],
    cancelled: Callable[[], bool] | None,
) -> Layers:
    """Paint the layers strip by strip, so that memory beyond the layers themselves stays bounded."""
    h, w = job.lineart.shape
    flat_layer, colour_layer = np.zeros((h, w, 4), np.uint8), np.zeros((h, w, 4), np.uint8)
    field, small = shading
    sh, sw = flats.labels.shape
    columns = (np.arange(frame.width) * 2 + 1) * sw // (2 * frame.width)
    palette = flats.palette.astype(np.float32)
    # Four bytes at a time are copied much faster than three.
    packed = np.pad(flats.palette, ((0, 0), (0, 1)), constant_values=255).view(np.uint32)[:, 0]

    def paint(start: int) -> None:
        if cancelled is not None and cancelled():
            raise Cancelled
        end = min(start + STRIP, frame.height)
        rows = (np.arange(start, end) * 2 + 1) * sh // (2 * frame.height)
        segments = flats.labels[rows]
        if sw != frame.width:
            segments = segments.take(columns, axis=1)
        shaded = enlarge_strip(field, small, segments, (start, end), frame.height)
        shaded += palette.take(segments, axis=0)
        # OpenCV rounds and saturates, but takes the absolute value first.
        colour = cv2.cvtColor(cv2.convertScaleAbs(np.maximum(shaded, 0, out=shaded)), cv2.COLOR_RGB2RGBA)
        there = (slice(frame.y + start, frame.y + end), slice(frame.x, frame.x + frame.width))
        flat_layer[there] = packed.take(segments).view(np.uint8).reshape(colour.shape)
        colour_layer[there] = colour
        if job.mask is not None:
            for layer in (flat_layer[there], colour_layer[there]):
                layer[..., 3] = job.mask[there]
                layer[job.mask[there] == 0] = 0

    with ThreadPoolExecutor(min(PAINTERS, os.cpu_count() or 1)) as pool:
        list(pool.map(paint, range(0, frame.height, STRIP)))
    return Layers(flat_layer, colour_layer)
