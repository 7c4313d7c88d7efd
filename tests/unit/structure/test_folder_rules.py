"""Which folder may import what: the corridors of the architecture, held against the code."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LIGHT = ("engine", "engine.protocol", "engine.service", "engine.batch", "engine.cli", "engine.system")
"""Packages whose modules load neither torch nor OpenCV when they are imported."""
DEVICE = {"engine.service.device", "engine.service.worker", "engine.service.buffers", "engine.batch.contact_sheet"}
"""Modules of those packages that only the device process, or work with pixels, imports."""
PLUGIN_MAY = {"krita", "PyQt5", "PyQt6", "zmq", "msgpack"}
"""What Krita has, and what the installer puts beside the plugin."""
STANDARD = set(sys.stdlib_module_names)


def modules(folder: str) -> Iterator[tuple[str, Path]]:
    """Name and file of every module under a folder of the repository."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        yield name.removesuffix(".__init__"), path


def imported(name: str, path: Path) -> set[str]:
    """Absolute names of all modules that a file imports, also inside functions."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            found.add(".".join([*base, *([node.module] if node.module else [])]))
    return found


@pytest.mark.parametrize("package", LIGHT)
def test_what_answers_at_once_loads_neither_torch_nor_opencv(package: str) -> None:
    inside = package.replace(".", "/")
    names = [n for n, p in modules(inside) if p.parent == ROOT / inside and n not in DEVICE and "__main__" not in n]
    program = f"import sys, {', '.join(names)}; print(sorted({{'torch', 'cv2'}} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize("folder", ["engine", "installer", "krita_plugin"])
def test_nothing_that_is_shipped_imports_training(folder: str) -> None:
    for name, path in modules(folder):
        assert not {m for m in imported(name, path) if m.split(".")[0] in ("training", "benchmarks", "tests")}, name


def test_the_engine_knows_neither_plugin_nor_installer() -> None:
    for name, path in modules("engine"):
        assert not {m for m in imported(name, path) if m.split(".")[0] in ("krita_plugin", "installer")}, name


def test_the_protocol_needs_pyzmq_and_msgpack_alone() -> None:
    for name, path in modules("engine/protocol"):
        foreign = {m for m in imported(name, path) if m.split(".")[0] not in STANDARD}
        assert {m for m in foreign if not m.startswith("engine.protocol")} <= {"zmq", "zmq.utils.monitor", "msgpack"}, (
            name
        )


def test_the_plugin_needs_nothing_but_its_bundle() -> None:
    for name, path in modules("krita_plugin/colorize"):
        foreign = {m.split(".")[0] for m in imported(name, path)} - STANDARD
        assert foreign <= PLUGIN_MAY | {"krita_plugin"}, name
        assert all(m.startswith("krita_plugin.colorize") for m in imported(name, path) if m.startswith("krita_plugin"))


@pytest.mark.parametrize("folder", ["widgets", "engine"])
def test_widgets_and_the_engine_side_of_the_plugin_do_not_know_krita(folder: str) -> None:
    for name, path in modules(f"krita_plugin/colorize/{folder}"):
        assert "krita" not in imported(name, path), name


def test_widgets_know_of_engine_and_document_only_the_record_of_how_things_stand() -> None:
    others = tuple(f"krita_plugin.colorize.{folder}" for folder in ("engine", "document", "colouring"))
    for name, path in modules("krita_plugin/colorize/widgets"):
        foreign = {m for m in imported(name, path) if m.startswith(others)}
        assert foreign <= {"krita_plugin.colorize.engine.outcome"}, name
