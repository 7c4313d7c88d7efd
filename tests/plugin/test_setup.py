"""How the plugin finds its engine and its own libraries, and what it says when they are not there."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

posix = pytest.mark.skipif(sys.platform == "win32", reason="modes of POSIX")
GOOD = {"format": 1, "version": "0.1.0", "command": [sys.executable, "-s", "-m", "engine.cli"], "runtime": ""}


@pytest.fixture
def stored(app: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:  # noqa: ARG001
    """Writer of the installer's file."""
    monkeypatch.delenv("COLORIZE_PYTHON", raising=False)

    def write(**values: Any) -> Path:
        path = tmp_path / "setup.json"
        path.write_text(json.dumps({**GOOD, **values}))
        return path

    return write


def refused(path: Path, chosen: str = "") -> Any:
    from colorize.engine.setup import SetupError, read_setup

    with pytest.raises(SetupError) as caught:
        read_setup(chosen, path)
    assert caught.value.cause
    assert caught.value.remedy
    assert "\n" not in str(caught.value)
    return caught.value


def test_what_the_installer_has_stored_is_used(stored: Callable[..., Path]) -> None:
    from colorize.engine.setup import data_folder, read_setup

    setup = read_setup("", stored(unknown={"rm": "-rf"}))
    assert (setup.command, setup.runtime, setup.version) == (GOOD["command"], "", "0.1.0")
    assert read_setup("", stored(runtime="/somewhere/rün")).runtime == "/somewhere/rün"
    assert data_folder().parent == Path(importlib.util.find_spec("colorize").origin).parents[2]  # type: ignore[union-attr,arg-type]


def test_the_artists_choice_comes_first_and_the_variable_before_it(
    stored: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from colorize.engine.setup import read_setup

    chosen = tmp_path / "my python"
    shutil.copyfile(sys.executable, chosen)
    chosen.chmod(0o755)
    path = stored(command=["/nowhere/python"], runtime="/somewhere")
    assert read_setup(f" {chosen} ", path).command == [str(chosen), "-s", "-m", "engine.cli"]
    assert read_setup(str(chosen), path).runtime == "/somewhere"
    assert read_setup(str(chosen), tmp_path / "missing").runtime == ""
    monkeypatch.setenv("COLORIZE_PYTHON", sys.executable)
    assert read_setup(str(chosen), path).command[0] == sys.executable
    monkeypatch.setenv("COLORIZE_PYTHON", "/nowhere/at/all")
    error = refused(path, str(chosen))
    assert "/nowhere/at/all" in error.cause
    assert "COLORIZE_PYTHON" in error.remedy


def test_in_a_flatpak_the_choice_lies_outside(stored: Callable[..., Path]) -> None:
    from colorize.engine.setup import read_setup

    way = ["flatpak-spawn", "--host", "--env=COLORIZE_RUNTIME=/run"]
    path = stored(command=[*way, "/venv/bin/python", "-s", "-m", "engine.cli"], runtime="/run")
    assert read_setup("", path).command[3] == "/venv/bin/python"
    assert read_setup("/other/python", path).command == [*way, "/other/python", "-s", "-m", "engine.cli"]


@pytest.mark.parametrize(
    "values",
    [
        {"format": 2},
        {"command": []},
        {"command": "python"},
        {"command": [1]},
        {"command": ["python", "-m", "engine.cli"]},
        {"command": [""]},
        {"command": ["/bin/sh\0"]},
        {"runtime": 3},
        {"runtime": "run"},
        {"version": None},
    ],
)
def test_a_file_that_is_no_good_is_refused(stored: Callable[..., Path], values: dict[str, Any]) -> None:
    error = refused(stored(**values))
    assert "setup.json" in error.cause
    assert "colorize-install" in error.remedy


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 60000, b"null"])
def test_a_broken_file_is_refused(stored: Callable[..., Path], content: bytes) -> None:
    path = stored()
    path.write_bytes(content)
    refused(path)


@posix
def test_a_python_that_is_none_is_refused(stored: Callable[..., Path], tmp_path: Path) -> None:
    assert "/nowhere/python" in refused(stored(command=["/nowhere/python", "-m", "engine.cli"])).cause
    (tmp_path / "text").touch(0o644)
    assert "no program" in refused(stored(command=[str(tmp_path / "text")])).cause
    assert "menu" in refused(stored(), str(tmp_path)).remedy
    assert "full path" in refused(stored(), "python3").cause
    assert "missing" in refused(tmp_path / "no" / "setup.json").cause
    shut = stored()
    shut.unlink()
    shut.mkdir()
    refused(shut)


LOAD = """
import sys
before = list(sys.path)
from colorize.engine import bundled
try:
    protocol = bundled.load()
    assert protocol is bundled.load()
    import zmq
    print("loaded", protocol.PROTOCOL, zmq.__file__)
except bundled.BundleError as e:
    print(e.cause, "|", e.remedy)
    assert not [m for m in sys.modules if m.split(".")[0] in ("zmq", "msgpack") or m.startswith("colorize.protocol")]
assert sys.path == before, sys.path
"""


@pytest.fixture
def krita(pykrita: Path, tmp_path: Path) -> Callable[..., str]:
    """Runner of ``bundled.load`` in a Python that, as Krita's, has PyQt and nothing else."""
    plugins, site = tmp_path / "pykrita", tmp_path / "site"
    shutil.copytree(pykrita, plugins)
    site.mkdir()
    (site / "PyQt5").symlink_to(package("PyQt5"))

    def load(*more: Path) -> str:
        done = subprocess.run(
            [sys.executable, "-S", "-B", "-c", LOAD],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(map(str, (plugins, site, *more)))},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return load


def package(name: str) -> Path:
    found = importlib.util.find_spec(name)
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent


@pytest.fixture
def vendor(tmp_path: Path, krita: Callable[..., str]) -> Path:  # noqa: ARG001 (it makes the folder)
    """The plugin's own copies of the libraries, as the installer unpacks them."""
    from colorize.engine.bundled import system_name

    folder = tmp_path / "pykrita" / "colorize" / "vendor" / system_name()
    for name in ("zmq", "msgpack"):
        shutil.copytree(package(name), folder / name, ignore=shutil.ignore_patterns("__pycache__", "tests"))
    libraries = package("zmq").parent / "pyzmq.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, folder / "pyzmq.libs")
    return folder


def compiled(vendor: Path) -> Path:
    return next(p for p in (vendor / "zmq" / "backend" / "cython").glob("_zmq.*") if p.suffix in (".so", ".pyd"))


def test_the_bundled_libraries_are_loaded(krita: Callable[..., str], vendor: Path) -> None:
    said = krita()
    assert said.startswith("loaded 1 ")
    assert str(vendor) in said


def test_a_copy_that_is_there_already_wins_if_it_works(krita: Callable[..., str], vendor: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for name in ("zmq", "msgpack", "pyzmq.libs"):
        if (vendor / name).exists():
            shutil.copytree(vendor / name, other / name)
    assert str(other) in krita(other)
    compiled(other).write_bytes(b"broken")
    assert str(vendor) in krita(other)
    shutil.rmtree(other / "zmq")
    (other / "zmq.py").write_text("__version__ = '13.1.0'")
    assert str(vendor) in krita(other)


def test_no_wheel_for_this_python_names_those_that_are_there(krita: Callable[..., str], vendor: Path) -> None:
    file = compiled(vendor)
    for tag in ("cpython-38", "cpython-310"):
        shutil.copyfile(file, file.with_name(f"_zmq.{tag}-x86_64-linux-gnu.so"))
    file.unlink()
    cause, remedy = krita().split(" | ")
    assert f"{sys.version_info[0]}.{sys.version_info[1]}" in cause
    assert "only for Python 3.8, 3.10" in cause
    assert "colorize-install" in remedy


def test_a_broken_library_is_named(krita: Callable[..., str], vendor: Path) -> None:
    file = compiled(vendor)
    file.write_bytes(b"\x7fELF nonsense")
    cause, remedy = krita().split(" | ")
    assert file.name in cause
    assert "colorize-install" in remedy


def test_a_plugin_without_libraries_says_so(krita: Callable[..., str], tmp_path: Path) -> None:
    assert "none at all" in krita()
    (tmp_path / "pykrita" / "colorize" / "vendor" / "windows").mkdir(parents=True)
    assert "windows" in krita()


def test_a_plugin_without_its_protocol_says_so(krita: Callable[..., str], vendor: Path, tmp_path: Path) -> None:
    assert vendor.is_dir()
    shutil.rmtree(tmp_path / "pykrita" / "colorize" / "protocol")
    assert "protocol" in krita()
