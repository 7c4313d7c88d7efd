"""Variations through a real engine: seeds, previews, stopping in mid-sampling, memory, and models that draw no lots."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from likeness import nearest
from numpy.typing import NDArray
from PIL import Image
from service_helpers import Caller, Engine, layer, picture, until

from engine.models.checkpoint import load_model
from engine.pipeline import Job, JobSettings, Pipeline
from engine.protocol.messages import Message

Pixels = NDArray[np.uint8]
Sketch = Callable[..., Pixels]
MODEL = "small-stablepaint"
LAYERS = ["flats", "shading", "colour"]
LONG = {"model": MODEL, "steps": 1000, "variations": 8, "size": 512}
"""A job of a minute or more."""


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory, small_weights: Path, small_stablepaint: Path) -> Iterator[Engine]:
    """An engine with a model that samples and one that does not."""
    folder = tmp_path_factory.mktemp("sampler")
    (folder / "weights").mkdir()
    for path in (small_weights, small_stablepaint):
        shutil.copy(path, folder / "weights")
    engine = Engine(folder, folder / "weights")
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def pipeline(small_stablepaint: Path) -> Pipeline:
    return Pipeline(load_model(small_stablepaint))


def pictures(result: Message) -> list[dict[str, Pixels]]:
    """The layers of each variation of a result."""
    assert result.type == "result", result.body
    count = len(result.buffers) // len(result.body["seeds"])
    parts = [result.buffers[i : i + count] for i in range(0, len(result.buffers), count)]
    return [{b.role: layer(replace(result, buffers=part), b.role) for b in part} for part in parts]


def test_variations_are_those_of_the_pipeline_layer_by_layer(
    sampler: Engine, call: Callable[..., Caller], pipeline: Pipeline, sketch: Sketch, strokes: Sketch
) -> None:
    line, hints = sketch(96, 80), strokes(96, 80)
    caller = call(sampler)
    wanted = {"strength": 1, "steps": 3, "guidance": 1.5, "variations": 3, "seed": 2**63 - 2, "size": 80}
    result = caller.until(caller.colorize(line, hints, model=MODEL, layers=LAYERS, **wanted))
    assert [b.role for b in result.buffers] == LAYERS * 3
    assert (result.body["seed"], result.body["seeds"]) == (2**63 - 2, [2**63 - 2, 2**63 - 1, 0])
    expected = pipeline.vary(Job(line.astype(np.float32) / 255, hints, settings=JobSettings.read(wanted)))
    for came, made in zip(pictures(result), expected, strict=True):
        for name in LAYERS:
            np.testing.assert_array_equal(came[name], getattr(made, name))
    assert len({came["colour"].tobytes() for came in pictures(result)}) == 3
    # Packed and trimmed they are the same.
    packed = caller.until(
        caller.colorize(line, hints, model=MODEL, layers=["colour"], compress=True, order="BGRA8", trim=True, **wanted)
    )
    for came, made in zip(pictures(packed), expected, strict=True):
        np.testing.assert_array_equal(came["colour"][..., [2, 1, 0, 3]], made.colour)


def test_a_seed_gives_the_same_bytes_and_each_variation_is_that_of_its_seed(
    sampler: Engine, call: Callable[..., Caller], sketch: Sketch
) -> None:
    caller, line = call(sampler), sketch(96, 80)

    def colour(seed: int, variations: int) -> list[Pixels]:
        wanted = {"model": MODEL, "strength": 1.0, "steps": 3, "size": 80, "seed": seed, "variations": variations}
        return [made["colour"] for made in pictures(caller.until(caller.colorize(line, **wanted)))]

    first = colour(7, 4)
    assert all(np.array_equal(a, b) for a, b in zip(first, colour(7, 4), strict=True))
    # A batch is summed in another order than a single picture.
    assert [nearest(colour(7 + place, 1)[0], first) for place in range(4)] == [0, 1, 2, 3]


def test_a_request_without_the_new_fields_gets_the_models_own(
    sampler: Engine, call: Callable[..., Caller], pipeline: Pipeline, sketch: Sketch
) -> None:
    caller, line = call(sampler), sketch(96, 80)
    result = caller.until(caller.colorize(line, model=MODEL, seed=3, size=80))
    assert (result.body["seed"], result.body["seeds"]) == (3, [3])
    expected = pipeline.run(Job(line.astype(np.float32) / 255, settings=JobSettings(size=80, seed=3)))
    np.testing.assert_array_equal(layer(result), expected.colour)
    nothing = dict.fromkeys(("strength", "steps", "guidance", "variations"))
    again = caller.until(caller.colorize(line, model=MODEL, seed=3, size=80, **nothing))
    np.testing.assert_array_equal(layer(again), expected.colour)


def test_each_variation_is_seen_while_it_is_drawn(sampler: Engine, call: Callable[..., Caller], sketch: Sketch) -> None:
    caller = call(sampler)
    wanted = {"model": MODEL, "size": 96, "steps": 4, "variations": 2, "preview": True}
    job = caller.colorize(sketch(128, 96), **wanted)
    caller.until(job)
    news = [m for m in caller.heard if m.parent == job and m.type in ("progress", "preview")]
    told: list[Any] = []
    for m in news:
        # Where another client has gone, all are told once more how their jobs stand.
        if m.type == "preview" or m.body["step"] not in told:
            told.append(("preview", m.body["variation"]) if m.type == "preview" else m.body["step"])
    seen = [("preview", 0), ("preview", 1)]
    # After the last step of the sampling come the network's own pictures.
    assert told[told.index(2) :] == [2, *seen, 3, *seen, 4, *seen, 5, *seen, 6, 7, 8, 9, 10]
    previews = [m for m in news if m.type == "preview"]
    assert previews[1].body == {"x": 0, "y": 0, "width": 128, "height": 96, "variation": 1}
    sizes = [(m.buffers[0].width, m.buffers[0].height) for m in previews]
    assert sizes[0][0] < sizes[-1][0] <= 128
    assert all(m.buffers[0].size == len(m.buffers[0].pixels()) for m in previews)


@pytest.mark.parametrize("slot", [None, "live"])
def test_a_sampling_stops_at_its_next_step(
    sampler: Engine, call: Callable[..., Caller], sketch: Sketch, slot: str | None
) -> None:
    caller = call(sampler)
    caller.until(caller.colorize(sketch(), model="small", size=64))
    before = caller.status()["counts"]
    named = {} if slot is None else {"slot": slot}
    long = caller.colorize(sketch(), preview=True, **LONG, **named)
    said = caller.until(long, "progress")
    while said.body["stage"] == "waiting":
        said = caller.until(long, "progress")
    assert said.body["total"] == 2 + 1000 + 2 * 8
    until(lambda: caller.next().body.get("stage") == "colours")
    if slot is None:
        caller.ask("cancel", job=long)
    after = caller.colorize(sketch(), model="small", size=64, **named)
    assert caller.until(long).body == {"reason": "cancelled" if slot is None else "superseded"}
    assert caller.until(after).type == "result"
    # Nothing more is said of the one that was stopped, and the device has not drawn it to its end. That it stops at the
    # next step is in tests/unit/service/test_device.py.
    assert caller.lasts(long) == ["cancelled"]
    assert [m.type for m in caller.heard if m.parent == long][-1] == "cancelled"
    counts = caller.status()["counts"]
    assert {k: counts[k] - before[k] for k in ("cancelled", "results", "wasted")} == {
        "cancelled": 1,
        "results": 1,
        "wasted": 0,
    }


def test_a_client_that_vanishes_takes_its_sampling_along(
    sampler: Engine, call: Callable[..., Caller], sketch: Sketch
) -> None:
    caller, other = call(sampler), call(sampler)
    job = caller.colorize(sketch(), **LONG)
    caller.until(job, "progress")
    dropped = other.status()["counts"]["dropped"]
    caller.close()
    until(lambda: not (s := other.status())["busy"] and s["counts"]["dropped"] == dropped + 1)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"variations": 2}, "no variations"),
        ({"strength": 0.5, "steps": 4}, "no strength and no steps"),
        ({"guidance": 1}, "no guidance"),
    ],
)
def test_a_model_that_does_not_sample_says_so(
    sampler: Engine, call: Callable[..., Caller], sketch: Sketch, body: dict[str, Any], words: str
) -> None:
    caller = call(sampler)
    answer = caller.until(caller.colorize(sketch(), model="small", size=64, **body))
    assert (answer.type, answer.body["code"], answer.body["retryable"]) == ("error", "refused", False)
    assert words in answer.body["message"]
    assert "a model that does" in answer.body["hint"]
    result = caller.until(caller.colorize(sketch(), model="small", size=64, variations=1, seed=9))
    assert (result.type, result.body["seeds"]) == ("result", [9])


def test_a_wrong_number_is_refused_by_the_engine_itself(
    sampler: Engine, call: Callable[..., Caller], sketch: Sketch
) -> None:
    caller = call(sampler)
    for body in ({"strength": 2}, {"steps": 0}, {"guidance": "much"}, {"variations": 9}):
        answer = caller.until(caller.colorize(sketch(), model=MODEL, **body))
        assert (answer.type, answer.body["code"]) == ("error", "bad_job")
        assert f"'{next(iter(body))}'" in answer.body["message"]


def test_eight_variations_of_three_layers_come_whole_and_their_memory_is_used_again(
    sampler: Engine, call: Callable[..., Caller], sketch: Sketch
) -> None:
    caller, line = call(sampler), sketch(480, 360)
    lineart = picture("lineart", line)
    body = {"width": 480, "height": 360, "model": MODEL, "size": 64, "steps": 1, "layers": LAYERS, "variations": 8}
    one = 480 * 360 * 4 * 24
    processes = [psutil.Process(sampler.process.pid), *sampler.children()]
    memory, first = [], []
    for number in range(5):
        result = caller.until(caller.send(Message("colorize", {**body, "strength": 1.0}, buffers=[lineart])))
        caller.heard.clear()
        assert sum(b.size for b in result.buffers) == one
        assert [b.role for b in result.buffers] == LAYERS * 8
        colours = [made["colour"] for made in pictures(result)]
        first = first or colours
        # Each lies where it should: none has overwritten another.
        assert len({c.tobytes() for c in colours}) == 8
        assert all(np.array_equal(a, b) for a, b in zip(first, colours, strict=True))
        del result
        if number >= 1:
            memory.append(sum(p.memory_info().rss for p in processes))
    assert max(memory) - memory[0] < one


def test_a_batch_samples_as_it_is_told_and_again_when_that_changes(
    sampler: Engine, sketch: Sketch, save: Callable[..., Path], tmp_path: Path
) -> None:
    line = save("line.png", sketch(96, 80))

    def batch(*options: object, code: int = 0, model: str = MODEL) -> dict[str, Any]:
        done = sampler.run(
            "batch", line, "-o", tmp_path / "out", "--no-sheet", "--model", model, "--size", 80, "--json", *options
        )
        assert done.returncode == code, done.stderr
        told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return told

    told = batch("--strength", 1, "--steps", 3, "--guidance", 1.5)
    assert len(told["done"]) == 1
    assert (told["strength"], told["steps"], told["guidance"]) == (1.0, 3, 1.5)
    free = np.asarray(Image.open(tmp_path / "out" / "line.png"))
    alone = tmp_path / "alone.png"
    weights = sampler.weights / f"{MODEL}.safetensors"
    options = ["--size", 80, "--strength", 1, "--steps", 3, "--guidance", 1.5]
    sampler.run("colorize", line, "--weights", weights, *options, "-o", alone)
    np.testing.assert_array_equal(free, np.asarray(Image.open(alone)))
    assert len(batch("--strength", 1.0, "--steps", 3, "--guidance", 1.5)["skipped"]) == 1
    assert len(batch("--strength", 0, "--steps", 3, "--guidance", 1.5)["done"]) == 1
    assert not np.array_equal(free, np.asarray(Image.open(tmp_path / "out" / "line.png")))
    assert len(batch("--strength", 0, "--steps", 3)["done"]) == 1
    assert "strength" not in batch()
    assert len(batch()["skipped"]) == 1
    refused = batch("--steps", 3, code=2, model="small")
    assert "small does not sample, so it has no steps" in refused["error"]
