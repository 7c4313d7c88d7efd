"""A fresh home with the plugin in it, and the real Krita, for the tests of what an artist sees."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import harness
import pytest

SCENARIOS = harness.HERE / "scenarios"
PACKAGES = "krita python3-pyqt5 xvfb openbox xdotool"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests in this folder need Krita; where it is missing they are skipped, but not in CI, which installs it."""
    missing = harness.missing()
    for item in items:
        if harness.HERE in item.path.parents:
            item.add_marker(pytest.mark.krita)
            if missing and not os.environ.get("CI"):
                item.add_marker(pytest.mark.skip(reason=f"not installed: {', '.join(missing)} (Debian: {PACKAGES})"))


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh home in which the installer has put the plugin; to be copied."""
    home = harness.Home(tmp_path_factory.mktemp("krita") / "home")
    home.install()
    return home.path


@pytest.fixture
def home(installed: Path, tmp_path: Path) -> Iterator[harness.Home]:
    """A home with the plugin."""
    shutil.copytree(installed, tmp_path / "home", symlinks=True)
    home = harness.Home(tmp_path / "home", new=False)
    yield home
    home.close()
    if not (home.path / "result.json.png").exists():
        shutil.rmtree(home.path)  # each is 90 MB


@pytest.fixture
def krita(home: harness.Home) -> Callable[..., harness.Result]:
    """Runs a scenario by its name in Krita, see ``harness.run``."""

    def run(scenario: str, *files: str | Path, **options: Any) -> harness.Result:
        return harness.run(home, SCENARIOS / f"{scenario}.py", files, **options)

    return run
