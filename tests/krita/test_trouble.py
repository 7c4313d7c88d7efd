"""What goes wrong is said with a remedy, changes no document, and leaves nothing behind."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import harness


def test_a_dead_or_missing_engine_is_reported_with_a_remedy(
    krita: Callable[..., harness.Result], tmp_path: Path
) -> None:
    shutil.copytree(harness.ROOT / "engine", tmp_path / "engine", ignore=shutil.ignore_patterns("*.safetensors"))
    result = krita("trouble", broken=tmp_path, python=harness.ENGINE_PYTHON, timeout=120.0)
    data = result.passed()
    assert "SIGKILL" in data["killed"]
    assert "started again by itself" in data["killed"]
    assert "then start it again" in data["killed again"]
    assert "/nowhere/bin/python" in data["no interpreter"]
    assert "colorize-install" in data["no interpreter"]
    assert "finds no weights" in data["no weights"]
    assert "colorize-install" in data["no weights"]
    assert result.left == []


def test_missing_libraries_are_reported_in_the_docker(krita: Callable[..., harness.Result], home: harness.Home) -> None:
    shutil.rmtree(home.data / "pykrita/colorize/vendor")
    data = krita("no_wheel").passed()
    assert data["cause"]
    assert "colorize-install" in data["remedy"]


def test_libraries_for_another_system_are_reported_in_the_docker(
    krita: Callable[..., harness.Result], home: harness.Home
) -> None:
    compiled = list((home.data / "pykrita/colorize/vendor").rglob("*.so*"))
    assert compiled
    for path in compiled:
        path.write_bytes(b"MZ this is for another system")
    data = krita("no_wheel").passed()
    assert data["cause"]
    assert "colorize-install" in data["remedy"]


def test_closed_documents_deleted_layers_and_a_quitting_krita_end_cleanly(
    krita: Callable[..., harness.Result],
) -> None:
    result = krita("endings")
    data = result.passed()
    assert data["deleted"].startswith("The lineart layer was deleted.")
    assert data["closed"].startswith("The document was closed.")
    assert data["engine"], "there was one"
    assert result.left == [], "no engine is left behind"
