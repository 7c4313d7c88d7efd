"""The version stands in one place, and everything that tells it has it from there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from engine import __version__
from installer import layout

ROOT = Path(__file__).resolve().parents[3]
SHIPPED = ("engine", "training", "installer", "krita_plugin")
ASK = "import sys; sys.path.insert(0, sys.argv[1]); from colorize.engine.report import plugin_version as p; print(p())"


def told_by_the_plugin_in(folder: Path) -> str:
    env = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    ran = subprocess.run(
        [sys.executable, "-c", ASK, str(folder)], cwd=folder, env=env, capture_output=True, text=True, check=True
    )
    return ran.stdout.strip()


def test_the_version_is_written_down_once() -> None:
    files = [ROOT / "pyproject.toml", *(p for f in SHIPPED for p in (ROOT / f).rglob("*.py"))]
    word = re.compile(rf"(?<![\w.]){re.escape(__version__)}(?![\w.])")
    assert [p.relative_to(ROOT).as_posix() for p in files if word.search(p.read_text(encoding="utf-8"))] == [
        "engine/__init__.py"
    ]


def test_an_installed_plugin_tells_the_release_it_came_with(tmp_path: Path) -> None:
    layout.assemble(tmp_path)
    assert told_by_the_plugin_in(tmp_path) == "unknown"
    layout.write_manifest(tmp_path / layout.PLUGIN, {})
    assert told_by_the_plugin_in(tmp_path) == __version__


def test_the_changelog_begins_with_this_version() -> None:
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == __version__
