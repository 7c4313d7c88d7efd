"""Small runs for the tests of training at scale."""

from __future__ import annotations

import json
import time
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine.models.base import ModelOutputs
from training.data.pack import pack, read_manifest
from training.data.synthesis import TrainingBatch
from training.features.run import PRESETS as ENCODER_PRESETS
from training.features.run import EncoderRun
from training.features.views import Looks
from training.recipes.paintstorch import PRESETS as PAINTS_PRESETS
from training.recipes.paintstorch import PaintsTorchRun
from training.recipes.stenciltorch import PRESETS, StencilTorchRun
from training.runs.config import Phase
from training.runs.run import Run

ART = Path(__file__).parent.parent / "data" / "art"
TINY = {
    "model": {"widths": (8, 8, 8, 16), "encoder_blocks": (0, 1, 0), "decoder_blocks": (1, 0, 1), "heads": 4},
    "phases": (Phase(0.4, 64, 4, 1.0, 1.5), Phase(1.0, 32, 4, 1.0, 1.2)),
    "steps": 20,
    "workers": 0,
    "warmup": 2,
    "adversarial_from": 0.3,
}
STENCIL = replace(PRESETS["cpu"], **TINY)
PAINTS = replace(PAINTS_PRESETS["cpu"], **TINY)
ENCODER = replace(
    ENCODER_PRESETS["cpu"],
    model={"widths": (8, 12, 16, 24)},
    phases=(Phase(1.0, 32, 8, 1.25, 5.0),),
    steps=20,
    workers=0,
    warmup=2,
)
THESIS = replace(
    PAINTS_PRESETS["thesis"],
    content="none",
    features="none",
    model={"width": 8, "cardinality": 4},
    phases=(Phase(1.0, 32, 4, 1.0, 1.0),),
    steps=2,
    workers=0,
)


def pack_few(out: Path) -> Path:
    """Pack the test pictures for training, as several shards; returns the folder."""
    list(pack(read_manifest(ART, "train"), out, 80, limit_mb=0.03, workers=1))
    return out


class Sheetless:
    """Draws no sheets, which take longer than the steps of a tiny network."""

    def sheets(self, *, last: bool) -> None:
        """Nothing."""


class QuickStencil(Sheetless, StencilTorchRun):
    """StencilTorch without sheets."""


class QuickPaints(Sheetless, PaintsTorchRun):
    """PaintsTorch without sheets."""


def train(run: Run[Any], minutes: float = 10.0) -> list[str]:
    return list(run.train(minutes))


def everything(run: Run[Any]) -> dict[str, Tensor]:
    """All that a run has learnt: weights of all networks, averages and the states of the optimisers."""
    found = {f"average {width}.{k}": t for width, average in run.averages.tensors.items() for k, t in average.items()}
    for name, network in run.networks.items():
        found |= {f"{name}.{k}": t for k, t in network.state_dict().items()}
    for name, optimiser in run.optimisers.items():
        for number, values in optimiser.state_dict()["state"].items():
            found |= {f"{name}.{number}.{k}": torch.as_tensor(v) for k, v in values.items()}
    return found


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(t, b[k]) for k, t in a.items())


def steps_logged(folder: Path) -> list[int]:
    return [line["step"] for line in log_lines(folder)]


def log_lines(folder: Path) -> list[dict[str, Any]]:
    """The lines of the log about steps."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if "samples" in line]


def _doubled(value: Any) -> Any:
    """Tensors of floats in float64, also those of a dataclass."""
    if isinstance(value, Tensor):
        return value.double() if value.is_floating_point() else value
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: _doubled(getattr(value, f.name)) for f in fields(value)})
    return value


class InDouble(Sheetless):
    """Computes in float64: a young network with BatchNorm makes large differences of float32's rounding."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        for network in self.networks.values():  # type: ignore[attr-defined]
            network.double()
        self.averages.restart()  # type: ignore[attr-defined]

    def finish(self, raw: dict[str, Tensor], chance: Any) -> TrainingBatch:
        """In float64."""
        batch: TrainingBatch = _doubled(super().finish(raw, chance))  # type: ignore[misc]
        return batch

    def predict(self, batch: TrainingBatch, network: nn.Module | None = None) -> ModelOutputs:
        """In float64."""
        out: ModelOutputs = (network or self.shared("net"))(batch.inputs)  # type: ignore[attr-defined]
        return out


class StencilTorchInDouble(InDouble, StencilTorchRun):
    """StencilTorch in float64."""


class PaintsTorchInDouble(InDouble, PaintsTorchRun):
    """PaintsTorch in float64."""


class EncoderInDouble(EncoderRun):
    """An encoder in float64."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.net.double()
        self.averages.restart()

    def parts(self, raw: dict[str, Tensor], count: int) -> list[Looks]:
        """In float64."""
        return [_doubled(looks) for looks in super().parts(raw, count)]

    def held_out(self) -> dict[str, float]:
        """Nothing."""
        return {}


def wait_for(found: Any, process: Any = None, seconds: float = 90.0) -> None:
    """Wait until something is there and the process that makes it still runs."""
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end
        assert process is None or process.poll() is None, process.communicate()[0]
        time.sleep(0.02)
