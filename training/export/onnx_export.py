"""Writes a model as ONNX: any batch, height and width, checked against torch in onnxruntime before it gets its name."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import torch
from torch.onnx.errors import OnnxExporterError

from engine.errors import ColorizeError
from engine.models.checkpoint import LoadedModel
from engine.system.files import atomic_write
from training.export.onnx_interface import FLOOD_RECIPE, Interface, Positional, interface_of, random_inputs, tensors_of

OPSET = 17
"""The first with LayerNormalization; runtimes of the last years know it."""
TRACED = (2, 2, 3)
"""Batch, height and width in strides of the batch that is traced."""
CHECKED = ((1, 1, 1), (2, 3, 2), (3, 2, 5), (1, 4, 4), (1, 9, 7))
"""The same of those that are checked; another batch or size than the traced one each."""
TOLERANCE = 1e-4
"""Largest difference to torch that is let through: 1/80 of one step of 8-bit colour."""

_errors = onnxruntime.capi.onnxruntime_pybind11_state
REFUSALS = (_errors.Fail, _errors.InvalidArgument, _errors.InvalidGraph, _errors.NotImplemented)
"""What onnxruntime raises of a graph it cannot run; the classes have no base of their own."""


@dataclass(frozen=True)
class Checked:
    """One batch that torch and onnxruntime both coloured: its shape, and the largest absolute difference."""

    batch: int
    height: int
    width: int
    difference: float

    def __str__(self) -> str:
        """A line for the terminal."""
        return f"{self.batch} x {self.height} x {self.width} px: differs from torch by at most {self.difference:.1e}"


def write_onnx(
    out: Path, model: LoadedModel, metadata: Mapping[str, str], tolerance: float = TOLERANCE, seed: int = 0
) -> list[Checked]:
    """Write a model, check it, and only then give the file its name.

    Args:
        out: the file.
        model: loaded on the CPU.
        metadata: goes into the file's ``metadata_props`` beside what is said of its inputs and outputs.
        tolerance: largest absolute difference to torch.
        seed: of the batches.

    Returns:
        What was checked.

    Raises:
        ColorizeError: the network cannot be written, the file cannot be run, or gives other pictures than torch.
        OSError: it cannot be written.
    """
    interface = interface_of(model.network, model.descriptor)
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(out) as temporary:
        _trace(temporary, model, interface)
        _describe(temporary, interface, {**metadata, **_about(model, interface)})
        checked = check(temporary, model, interface, seed)
        worst = max(c.difference for c in checked)
        # NaN is no number under the tolerance.
        if not worst <= tolerance:
            raise ColorizeError(
                f"the ONNX file differs from torch by {worst:.2g}, more than {tolerance:g}; it was not kept",
                "report this with the versions of torch and onnxruntime, or allow more with --tolerance",
            )
    return checked


def _trace(path: Path, model: LoadedModel, interface: Interface) -> None:
    names = [p.name for p in interface.inputs]
    batch, rows, columns = TRACED
    inputs = random_inputs(batch, rows * interface.stride, columns * interface.stride, 0)
    tensors = tensors_of(interface, inputs)
    ports = (*interface.inputs, *interface.outputs)
    # The newer exporter needs onnxscript; this one, by tracing, writes all that our networks are made of.
    older = {"dynamo": False} if "dynamo" in inspect.signature(torch.onnx.export).parameters else {}
    with torch.no_grad(), warnings.catch_warnings():
        # The trace takes the branch of a picture with known surroundings, which is right without them as well.
        warnings.filterwarnings("ignore", "Converting a tensor to a Python boolean")
        warnings.simplefilter("ignore", DeprecationWarning)
        options: dict[str, Any] = {
            "input_names": names,
            "output_names": [p.name for p in interface.outputs],
            "dynamic_axes": {p.name: p.axes() for p in ports},
            "opset_version": OPSET,
            **older,
        }
        try:
            torch.onnx.export(Positional(model.network, names).eval(), tuple(tensors.values()), str(path), **options)
        except OnnxExporterError as e:
            why = str(e).splitlines()[0]
            raise ColorizeError(f"torch cannot write this network as ONNX ({why})", "try another torch") from e


def _about(model: LoadedModel, interface: Interface) -> dict[str, str]:
    """What a user of the file must know of it."""
    stride = interface.stride
    return {
        "source_sha256": hashlib.sha256(model.path.read_bytes()).hexdigest(),
        "descriptor": json.dumps(dataclasses.asdict(model.descriptor)),
        "interface": json.dumps(interface.about()),
        "sizes": f"height and width of the lineart must be multiples of {stride}; any batch",
        "stride": str(stride),
        "opset": str(OPSET),
        "exporter": f"torch {torch.__version__}, traced",
        **({"flood_recipe": FLOOD_RECIPE} if any(p.name == "flood" for p in interface.inputs) else {}),
    }


def _describe(path: Path, interface: Interface, metadata: Mapping[str, str]) -> None:
    """Put metadata and descriptions into the file and check its form."""
    proto = onnx.load(str(path))
    onnx.helper.set_model_props(proto, dict(sorted(metadata.items())))
    proto.producer_name = "colorize"
    for value, port in zip(
        [*proto.graph.input, *proto.graph.output], [*interface.inputs, *interface.outputs], strict=True
    ):
        value.doc_string = port.about
    onnx.checker.check_model(proto, full_check=True)
    onnx.save(proto, str(path))


def check(path: Path, model: LoadedModel, interface: Interface, seed: int = 0) -> list[Checked]:
    """Colour batches of several shapes with torch and with the file.

    Raises:
        ColorizeError: onnxruntime cannot run the file.
    """
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        return [_check_one(session, model, interface, shape, seed + i) for i, shape in enumerate(CHECKED)]
    except REFUSALS as e:
        why = str(e).splitlines()[0]
        raise ColorizeError(f"onnxruntime cannot run the file ({why})", "try a newer onnxruntime") from e


def _check_one(
    session: Any, model: LoadedModel, interface: Interface, shape: tuple[int, int, int], seed: int
) -> Checked:
    batch, height, width = shape[0], shape[1] * interface.stride, shape[2] * interface.stride
    inputs = random_inputs(batch, height, width, seed)
    features = None
    for port in interface.inputs:
        if port.name == "features":
            gen = torch.Generator().manual_seed(seed)
            features = torch.rand(batch, port.channels, height // port.part, width // port.part, generator=gen)
    tensors = tensors_of(interface, inputs, features)
    with torch.inference_mode():
        # As the engine calls it, so that the flood that is an input here is the one made there.
        expected = model.network(inputs) if features is None else model.network(inputs, features)
    got = session.run(None, {name: t.numpy() for name, t in tensors.items()})
    gaps = [
        (torch.from_numpy(one) - other).abs().max()
        for one, other in zip(got, (expected.flat, expected.shaded), strict=True)
    ]
    return Checked(batch, height, width, float(torch.stack(gaps).max()))
