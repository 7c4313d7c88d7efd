"""Runs jobs on one loaded model: frame, regions, network, flats, shading."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from engine.errors import check_size, does_not_sample
from engine.imaging.canvas import Frame, choose_frame, resize_labels
from engine.imaging.layers.flats import Flats, Moments, Prediction, Segments, find_segments, make_flats
from engine.imaging.layers.light import LightSettings
from engine.imaging.layers.painting import paint_layers
from engine.imaging.layers.shading import shading_field
from engine.imaging.strokes import collect_strokes, flood_strokes
from engine.models.base import ModelOutputs, Sampling, SamplingModel
from engine.models.checkpoint import LoadedModel
from engine.pipeline.drawing import Drawing, find_drawing
from engine.pipeline.inputs import model_inputs
from engine.pipeline.job import Job, Layers, check_job
from engine.pipeline.lighting import Known, Lighting, light_settings
from engine.pipeline.progress import Progress, Track
from engine.pipeline.views import View, cut, preview_of, unit
from engine.protocol.limits import MAX_SEED
from engine.protocol.messages import digest
from engine.protocol.settings import SAMPLING

Look = Callable[[int, NDArray[np.uint8], Frame], None]
"""Told (variation from 0, the model's own picture of the frame so far as small RGBA, the frame)."""
UNHINTED_SHADING = 0.5
MOST_LOOKS = 16
"""Times a variation is looked at while it is drawn, at most."""
DRAWINGS_KEPT = 3
"""Linearts whose regions are kept for the next job on them; 20 MB each at most."""


class Pipeline:
    """Runs jobs on one loaded model."""

    def __init__(self, model: LoadedModel, device: str = "cpu") -> None:
        self.model = model
        self.device = torch.device(device)
        self._drawings: OrderedDict[tuple[object, ...], Known] = OrderedDict()
        self._coloured: tuple[tuple[object, ...] | None, list[tuple[Flats, NDArray[np.uint8]]]] = None, []
        """What the last job with a light was, but for the light, and its flats: another light needs no network."""

    def run(
        self,
        job: Job,
        progress: Progress | None = None,
        cancelled: Callable[[], bool] | None = None,
        look: Look | None = None,
    ) -> Layers:
        """Colour one job; of several variations the first. See ``vary``."""
        return self.vary(job.with_settings(variations=1), progress, cancelled, look)[0]

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
            ColorizeError: the inputs do not fit together, or something is asked that is not for this model.
            Cancelled: ``cancelled`` answered yes.
        """
        check_job(job)
        sampling = self.sampling(job)
        steps = 0 if sampling is None or sampling.strength == 0 else sampling.steps
        track = Track(progress, cancelled, job.settings.variations, steps)
        track("regions", 0)
        frame = self.frame(job)
        light = light_settings(job.settings)
        known = None if light is None else _without_light(job)
        if light is not None and known is not None and known == self._coloured[0]:
            return self._light(job, frame, light, self._coloured[1], track)
        # The segments do not need the network, and keep one core busy for about as long.
        with ThreadPoolExecutor(1) as aside:
            prepared = aside.submit(self._prepare, job, frame, lit=light is not None)
            track("colours", 1)
            views, paper = self.predict(job, frame, sampling, track, look)
            coloured: list[tuple[Flats, NDArray[np.uint8]]] = []
            moments, results, split = self._moments(job), [], self.model.descriptor.splits_regions
            # What is drawn freely is not to be drawn back to what is likeliest.
            lean = 1.0 if sampling is None else 1.0 - sampling.strength / 2
            for place, view in enumerate(views):
                track("flats", track.drawn + 2 + 2 * place)
                segments, lighting = prepared.result()
                flats = make_flats(segments, view.prediction, moments, split=split, lean=lean)
                track("shading", track.drawn + 3 + 2 * place)
                if light is not None and lighting is not None:
                    results.append(_lit(job, lighting, light, flats, track))
                    coloured.append((flats, results[-1].flats))
                    continue
                field = self.shading(flats, view.change, paper, job.settings.shading)
                smooth = job.lineart[frame.window] if job.settings.edges == "smooth" else None
                painted = paint_layers(frame, flats, field, job.lineart.shape, job.mask, track.check, smooth)
                results.append(Layers(*painted, job.settings.clipped))
        if known is not None:
            self._coloured = known, coloured
        track("done", track.total)
        return results

    def _light(
        self,
        job: Job,
        frame: Frame,
        light: LightSettings,
        coloured: list[tuple[Flats, NDArray[np.uint8]]],
        track: Track,
    ) -> list[Layers]:
        """Light flats that are known from the last job: no network runs."""
        lighting, results = self._known(job, frame).lighting, []
        for place, (flats, painted) in enumerate(coloured):
            track("shading", track.drawn + 3 + 2 * place)
            results.append(_lit(job, lighting, light, flats, track, painted))
        track("done", track.total)
        return results

    def sampling(self, job: Job) -> Sampling | None:
        """How the model is to sample; None for one that does not.

        Raises:
            ColorizeError: something is asked that is not for this model.
        """
        descriptor, asked = self.model.descriptor, job.settings
        if descriptor.stochastic:
            seeds = tuple((asked.seed + i) % (MAX_SEED + 1) for i in range(asked.variations))
            return descriptor.sampling(seeds, asked.strength, asked.steps, asked.guidance)
        if asked.changed(SAMPLING):
            raise does_not_sample(descriptor.name, list(asked.changed(SAMPLING)))
        return None

    def frame(self, job: Job) -> Frame:
        """Where on the canvas and at what size the model works.

        Raises:
            ColorizeError: the wanted size is outside what the model is made for.
        """
        descriptor = self.model.descriptor
        size = job.settings.size
        check_size(size, descriptor.name, descriptor.min_size, descriptor.max_size)
        return choose_frame(job.lineart.shape, job.mask, size or descriptor.size, descriptor.stride)

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
                    look(place, preview_of(cut(picture, frame, factor), job.mask, frame), frame)

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
            prediction = Prediction(unit(cut(flat, frame, factor)), paper > 0.6, context, known)
            views.append(View(cut((shaded - flat) / 2, frame, factor), prediction))
        return views, paper

    def _prepare(self, job: Job, frame: Frame, *, lit: bool) -> tuple[Segments, Lighting | None]:
        known = self._known(job, frame)
        return self._segments(job, frame, known.drawing), known.lighting if lit else None

    def _known(self, job: Job, frame: Frame) -> Known:
        """What is known of the lineart before any hint."""
        key = (job.lineart_digest, frame, job.settings.gap)
        known = self._drawings.pop(key, None)
        if known is None:
            known = Known(find_drawing(job.lineart[frame.window], job.settings.gap), frame)
        if job.lineart_digest is not None:
            self._drawings[key] = known
            if len(self._drawings) > DRAWINGS_KEPT:
                self._drawings.popitem(last=False)
        return known

    def segments(self, job: Job, frame: Frame) -> Segments:
        """What will get one colour each, at the size regions are found at."""
        return self._segments(job, frame, self._known(job, frame).drawing)

    def _segments(self, job: Job, frame: Frame, drawing: Drawing) -> Segments:
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


def _lit(
    job: Job,
    lighting: Lighting,
    light: LightSettings,
    flats: Flats,
    track: Track,
    flat_layer: NDArray[np.uint8] | None = None,
) -> Layers:
    clipped = job.settings.clipped
    shape, mask = job.lineart.shape, job.mask
    made = lighting.paint(flats, light, shape, mask, track.check, clipped=clipped, flat_layer=flat_layer)
    return Layers(made.flats, made.colour, clipped, made.shadow, made.light)


def _without_light(job: Job) -> tuple[object, ...] | None:
    """What tells one coloured drawing from another, whatever its light; None where nothing is to be kept of it."""
    if job.lineart_digest is None:
        return None
    unlit = {name: value for name, value in asdict(job.settings).items() if not name.startswith("light")}
    height, width = job.lineart.shape
    parts = ((job.hints, "RGBA8"), (job.mask, "L8"), (job.context, "RGBA8"))
    pixels = (None if part is None else digest(width, height, order, part.data) for part, order in parts)
    return (job.lineart_digest, *unlit.values(), *pixels)


def _has_hints(job: Job) -> bool:
    return job.hints is not None and bool(job.hints[..., 3].any())
