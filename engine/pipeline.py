"""One job from lineart, hints, mask and context to layers: the code path of the command line, the server and the tests.

Frame, run, refine, layers (design section 3). It reads a model's descriptor and knows no model by name.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from engine.errors import ColorizeError, draws_no_lots
from engine.imaging.canvas import Frame, choose_frame, padded_planes, resize_coverage, resize_labels, resize_picture
from engine.imaging.flats import Flats, Moments, Segments, Sight, find_segments, make_flats
from engine.imaging.flood import landscape
from engine.imaging.painting import paint_layers
from engine.imaging.regions import at_segmentation_size, distance_to_ink, find_regions, scaled_gap
from engine.imaging.shading import shading_field, shading_layer
from engine.imaging.strokes import collect_strokes, flood_strokes, hint_map
from engine.models.base import ModelInputs, ModelOutputs, Sampling, SamplingModel
from engine.models.checkpoint import LoadedModel
from engine.views import View, cut, glimpse, unit

Progress = Callable[[str, int, int], None]
Look = Callable[[int, NDArray[np.uint8], Frame], None]
"""Told (variation from 0, the model's own picture of the frame so far as small RGBA, the frame)."""
UNHINTED_SHADING = 0.5
MOST_VARIATIONS = 8
MOST_SHADING, MOST_GAP = 2.0, 1000
MOST_LOOKS = 16
"""Times a variation is looked at while it is drawn, at most."""
DRAWINGS_KEPT = 3
"""Linearts whose regions are kept for the next job on them; 20 MB each at most."""
STAGES = ("regions", "colours", "flats", "shading")
"""In order; a sampling makes ``colours`` several steps, and each variation has flats and shading of its own."""


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
        seed: for models that draw lots; each further variation has the next number.
        lineart_digest: content address of the lineart; with one, what depends on it alone is kept for the next job.
        strength: 0 = the model's best guess, 1 = free of it; this, ``steps`` and ``guidance`` are for models that draw
            lots, and None = the model's own.
        steps: of the sampling.
        guidance: how much more it listens to the hints; 1 = as it learnt.
        variations: how many pictures to draw.
        shading: how strong light and shade are; 0 = flats alone, 1 = as was measured to fit best, at most 2.
        gap: the widest gap in a line that is closed, in pixels of the canvas, 0 = none; None = judged by the drawing.
        clipped: the shading layer is for laying with the alpha below it kept, see ``shading_layer``.
    """

    lineart: NDArray[np.float32]
    hints: NDArray[np.uint8] | None = None
    mask: NDArray[np.uint8] | None = None
    context: NDArray[np.uint8] | None = None
    size: int | None = None
    seed: int = 0
    lineart_digest: str | None = None
    strength: float | None = None
    steps: int | None = None
    guidance: float | None = None
    variations: int = 1
    shading: float = 1.0
    gap: int | None = None
    clipped: bool = False


@dataclass(frozen=True)
class Layers:
    """The result: uint8 HxWx4 RGBA, alpha 0 and colour 0 where the mask is 0.

    Attributes:
        flats: one colour per region.
        colour: flats and shading together.
        clipped: how ``shading`` will be laid over the flats, see ``shading_layer``.
    """

    flats: NDArray[np.uint8]
    colour: NDArray[np.uint8]
    clipped: bool = False

    @cached_property
    def shading(self) -> NDArray[np.uint8]:
        """The layer that turns ``flats`` into ``colour`` when laid over it."""
        return shading_layer(self.flats, self.colour, clipped=self.clipped)


def check_job(job: Job) -> None:
    """Reject inputs that do not fit together.

    Raises:
        ColorizeError: naming both sizes, or what is wrong with an array or a number.
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
    if not 0 <= job.shading <= MOST_SHADING:
        raise ColorizeError(
            f"a shading of {job.shading:g} cannot be made", f"choose 0 to {MOST_SHADING:g}", wrong_use=True
        )
    if job.gap is not None and not 0 <= job.gap <= MOST_GAP:
        raise ColorizeError(f"gaps of {job.gap} px cannot be closed", f"choose 0 to {MOST_GAP}", wrong_use=True)


class Pipeline:
    """Runs jobs on one loaded model."""

    def __init__(self, model: LoadedModel, device: str = "cpu") -> None:
        self.model = model
        self.device = torch.device(device)
        self._drawings: OrderedDict[tuple[object, ...], Drawing] = OrderedDict()

    def run(
        self,
        job: Job,
        progress: Progress | None = None,
        cancelled: Callable[[], bool] | None = None,
        look: Look | None = None,
    ) -> Layers:
        """Colour one job; of several variations the first. See ``vary``."""
        return self.vary(replace(job, variations=min(job.variations, 1)), progress, cancelled, look)[0]

    def vary(
        self,
        job: Job,
        progress: Progress | None = None,
        cancelled: Callable[[], bool] | None = None,
        look: Look | None = None,
    ) -> list[Layers]:
        """Colour one job, once per variation. Same inputs, weights, seed and device give the same bytes.

        Args:
            job: what to colour.
            progress: told the stage that comes next, how many steps are done, and of how many.
            cancelled: asked between the stages, between the steps of a sampling and between strips of the canvas.
            look: shown the model's own pictures.

        Raises:
            ColorizeError: the inputs do not fit together, or a number is out of range or not for this model.
            Cancelled: ``cancelled`` answered yes.
        """
        check_job(job)
        sampling = self.sampling(job)
        steps = 0 if sampling is None or sampling.strength == 0 else sampling.steps
        track = Track(progress, cancelled, job.variations, steps)
        track("regions", 0)
        frame = self.frame(job)
        # The segments do not need the network, and keep one core busy for about as long.
        with ThreadPoolExecutor(1) as aside:
            segments = aside.submit(self.segments, job, frame)
            track("colours", 1)
            views, paper = self.predict(job, frame, sampling, track, look)
            moments, results, split = self._moments(job), [], self.model.descriptor.splits_regions
            # What is drawn freely is not to be drawn back to what is likeliest.
            lean = 1.0 if sampling is None else 1.0 - sampling.strength / 2
            for place, view in enumerate(views):
                track("flats", track.drawn + 2 + 2 * place)
                flats = make_flats(segments.result(), view.sight, moments, split=split, lean=lean)
                track("shading", track.drawn + 3 + 2 * place)
                field = self.shading(flats, view.change, paper, job.shading)
                painted = paint_layers(frame, flats, field, job.lineart.shape, job.mask, track.check)
                results.append(Layers(*painted, job.clipped))
        track("done", track.total)
        return results

    def sampling(self, job: Job) -> Sampling | None:
        """How the model is to draw lots; None for one that does not.

        Raises:
            ColorizeError: a number is out of range, or not for this model.
        """
        descriptor = self.model.descriptor
        if not 1 <= job.variations <= MOST_VARIATIONS:
            raise ColorizeError(
                f"{job.variations} variations cannot be made at once",
                f"choose 1 to {MOST_VARIATIONS}",
                wrong_use=True,
            )
        if descriptor.stochastic:
            seeds = tuple((job.seed + i) % 2**63 for i in range(job.variations))
            return descriptor.sampling(seeds, job.strength, job.steps, job.guidance)
        asked = {"strength": job.strength, "steps": job.steps, "guidance": job.guidance}
        named = [name for name, value in asked.items() if value is not None]
        named += ["variations"] if job.variations > 1 else []
        if named:
            raise draws_no_lots(descriptor.name, named)
        return None

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

    def predict(
        self,
        job: Job,
        frame: Frame,
        sampling: Sampling | None = None,
        track: Track | None = None,
        look: Look | None = None,
    ) -> tuple[list[View], NDArray[np.float32]]:
        """Run the network.

        Args:
            job: what to colour.
            frame: see ``frame``.
            sampling: see ``sampling``.
            track: told of the steps of a sampling.
            look: shown the model's own pictures, also while they are being drawn.

        Returns:
            What it sees, per variation, and the paper, hxw, 1 = no ink, both at the size it answers in.
        """
        inputs = model_inputs(job, frame)

        def watch(done: int, of: int, preview: Callable[[], Tensor]) -> None:
            if track is not None:
                track.draw(done, of)
            if look is not None and 0 < done < of and done % -(-of // MOST_LOOKS) == 0:
                show(preview())

        def show(pictures: Tensor) -> None:
            if look is not None:
                factor = frame.padded_height // pictures.shape[-2]
                for place, picture in enumerate(pictures):
                    look(place, glimpse(cut(picture, frame, factor), job.mask, frame), frame)

        network = self.model.network
        with torch.inference_mode():
            if sampling is None:
                outputs: ModelOutputs = network(inputs.to(self.device))
            else:
                outputs = cast(SamplingModel, network).sample(inputs.to(self.device), replace(sampling, watch=watch))
        show(outputs.shaded)
        factor = frame.padded_height // outputs.shaded.shape[-2]
        # The darkest ink under each of the model's pixels.
        paper = cut((1 - F.max_pool2d(-inputs.lineart, factor)[0]) / 2, frame, factor)[..., 0]
        context, known = None, None
        if job.context is not None:
            context = unit(cut(F.avg_pool2d(inputs.context, factor)[0], frame, factor))
            known = cut(-F.max_pool2d(-inputs.known, factor)[0], frame, factor)[..., 0] > 0
        views = []
        for flat, shaded in zip(outputs.flat, outputs.shaded, strict=True):
            sight = Sight(unit(cut(flat, frame, factor)), paper > 0.6, context, known)
            views.append(View(cut((shaded - flat) / 2, frame, factor), sight))
        return views, paper

    def segments(self, job: Job, frame: Frame) -> Segments:
        """What will get one colour each, at the size regions are found at."""
        key = (job.lineart_digest, frame, job.gap)
        drawing = self._drawings.pop(key, None) or find_drawing(job.lineart[frame.window], job.gap)
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
        self, flats: Flats, change: NDArray[np.float32], paper: NDArray[np.float32], strength: float = 1.0
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Shading field and segments at the model's size; of strength 0 nothing is added to any pixel."""
        labels = resize_labels(flats.labels, *change.shape[:2])
        if strength == 0:
            return np.zeros_like(change), labels
        # Where nobody gave a colour the model is unsure, and its light and shade are as unsure as its hue.
        gain = self.model.descriptor.shading_gain * np.where(flats.hinted, 1.0, UNHINTED_SHADING).astype(np.float32)
        field = shading_field(change, labels, flats.palette, gain * np.float32(strength), paper)
        return field, labels


def _has_hints(job: Job) -> bool:
    return job.hints is not None and bool(job.hints[..., 3].any())


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


@dataclass(frozen=True)
class Drawing:
    """What is known of a lineart before any hint, at the size regions are found at.

    Attributes:
        regions: HxW int32 from 0.
        levels: HxW uint8 ``flood.landscape``.
    """

    regions: NDArray[np.int32]
    levels: NDArray[np.uint8]


def find_drawing(lineart: NDArray[np.float32], gap: int | None = None) -> Drawing:
    """Find regions and landscape of HxW lineart in [0, 1]; a large one is made smaller.

    Args:
        lineart: 1 = paper.
        gap: see ``find_regions``.
    """
    small = at_segmentation_size(lineart)
    distance = distance_to_ink(small)
    regions = find_regions(small, distance, scaled_gap(gap, lineart, small))
    return Drawing(regions, landscape(small, min(small.shape) / 512, distance))


def model_inputs(job: Job, frame: Frame) -> ModelInputs:
    """Bring a job to the working size, padded, as a batch of one (the same ranges and resizing as in training)."""
    h, w = frame.work_height, frame.work_width
    window = frame.window

    def tensor(array: NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(padded_planes(array, frame.padded_height, frame.padded_width))[None]

    def blank(channels: int, value: float = 0.0) -> Tensor:
        return torch.full((1, 1, 1, 1), value).expand(1, channels, frame.padded_height, frame.padded_width)

    line = np.clip(resize_picture(job.lineart[window], h, w), 0, 1)
    if frame.scale < 1:
        # Thin lines pale when a canvas shrinks; training lines are as dark at every scale.
        line = 1 - np.clip((1 - line) * np.float32(0.7 + 0.3 / frame.scale), 0, 1)
    hints = blank(4) if job.hints is None else tensor(hint_map(job.hints[window], h, w))
    mask, context, known = blank(1, 1.0), blank(3), blank(1)
    if job.mask is not None:
        covered = np.divide(resize_coverage(job.mask[window], h, w), 255, dtype=np.float32)
        mask = tensor(covered)
        if job.context is not None:
            painted = np.divide(resize_picture(job.context[window], h, w), 255, dtype=np.float32)
            context = tensor(painted[..., :3] * 2 - 1)
            known = tensor(((covered < 0.5) & (painted[..., 3] > 0.5)).astype(np.float32))
    return ModelInputs(tensor(line * 2 - 1), hints, mask, context, known)
