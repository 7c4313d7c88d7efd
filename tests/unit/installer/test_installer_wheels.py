"""Which wheels a Krita gets, and that only whole and harmless ones are unpacked."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path

import pytest

from engine.errors import ColorizeError
from installer import layout, wheels
from installer.places import Machine, System
from installer.wheels import Wheel, wheels_for

HERE = Machine("linux", "x86_64", Path("/nowhere"))
SYSTEMS: tuple[System, ...] = ("linux", "windows", "macos")


def archive(**files: bytes) -> bytes:
    """A zip file."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as zipped:
        for name, content in files.items():
            zipped.writestr(name, content)
    return whole.getvalue()


def stored(folder: Path, name: str, content: bytes) -> Wheel:
    """A wheel that lies in a folder."""
    (folder / name).write_bytes(content)
    return Wheel(name, hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("python", [p for p in wheels.PYTHONS if p != "3.8"])
def test_every_krita_that_is_supported_gets_one_pyzmq_and_one_msgpack(system: System, python: str) -> None:
    chosen = wheels_for(system, HERE, [python])
    assert sorted(w.project for w in chosen) == ["msgpack", "pyzmq"]
    assert next(w for w in chosen if w.project == "pyzmq").serves(python)


def test_windows_and_linux_also_serve_the_python_of_krita_5_1() -> None:
    for system in ("linux", "windows"):
        assert all(w.serves("3.8") for w in wheels_for(system, HERE, ["3.8"]))


@pytest.mark.parametrize("system", SYSTEMS)
def test_all_wheels_of_a_system_are_of_one_release_so_that_they_can_share_a_folder(system: System) -> None:
    chosen = wheels_for(system, HERE)
    assert len({(w.project, w.version) for w in chosen}) == 2
    assert len({w.name for w in chosen}) == len(chosen)


def test_a_python_without_a_wheel_is_named() -> None:
    with pytest.raises(ColorizeError, match=r"no pyzmq wheel for Python 3\.9 on linux"):
        wheels_for("linux", HERE, ["3.9"])


def test_a_processor_without_a_wheel_is_named() -> None:
    with pytest.raises(ColorizeError, match="linux on riscv64"):
        wheels_for("linux", Machine("linux", "riscv64", Path("/nowhere")))


def test_an_arm_linux_gets_wheels_of_its_own_but_packs_windows_as_everybody() -> None:
    arm = Machine("linux", "aarch64", Path("/nowhere"))
    assert all("aarch64" in w.name for w in wheels_for("linux", arm))
    assert all("win_amd64" in w.name for w in wheels_for("windows", arm))


def test_shared_python_files_are_unpacked_once_beside_the_compiled_ones(tmp_path: Path) -> None:
    files = {"zmq/__init__.py": b"same", "pyzmq-1.dist-info/METADATA": b"m", "pyzmq-1.dist-info/licenses/L": b"l"}
    first = stored(tmp_path, "a.whl", archive(**files, **{"zmq/_z.311.so": b"1", "pyzmq-1.dist-info/RECORD": b"1"}))
    second = stored(tmp_path, "b.whl", archive(**files, **{"zmq/_z.312.so": b"2", "pyzmq-1.dist-info/RECORD": b"2"}))
    wheels.unpack([first, second], tmp_path, tmp_path / "vendor")
    found = {p.relative_to(tmp_path / "vendor").as_posix() for p in (tmp_path / "vendor").rglob("*") if p.is_file()}
    assert found == {*files, "zmq/_z.311.so", "zmq/_z.312.so"}


def test_wheels_that_differ_in_a_shared_file_are_refused(tmp_path: Path) -> None:
    first = stored(tmp_path, "a.whl", archive(**{"zmq/__init__.py": b"one"}))
    second = stored(tmp_path, "b.whl", archive(**{"zmq/__init__.py": b"two"}))
    with pytest.raises(ColorizeError, match="not the same in every wheel"):
        wheels.unpack([first, second], tmp_path, tmp_path / "vendor")


@pytest.mark.parametrize("name", ["../outside", "zmq/../../outside", "/outside", "zmq\\..\\outside"])
def test_a_wheel_cannot_write_outside_its_folder(tmp_path: Path, name: str) -> None:
    wheel = stored(tmp_path, "a.whl", archive(**{name: b"evil"}))
    with pytest.raises(ColorizeError, match="outside its folder"):
        wheels.unpack([wheel], tmp_path, tmp_path / "vendor")
    assert not (tmp_path / "outside").exists()


def test_a_bundle_that_lacks_a_wheel_or_holds_another_is_refused(tmp_path: Path) -> None:
    wheel = Wheel("pyzmq-1-cp311-cp311-any.whl", hashlib.sha256(b"right").hexdigest())
    bundle = tmp_path / "bundle.zip"
    for content, cause in (
        (archive(), "has no pyzmq"),
        (archive(**{wheel.name: b"wrong"}), "damaged"),
        (b"?", "bundle"),
    ):
        bundle.write_bytes(content)
        with pytest.raises(ColorizeError, match=cause) as caught:
            wheels.take_from_bundle([wheel], bundle, tmp_path)
        assert "colorize-install bundle" in caught.value.remedy


def test_the_manifest_tells_what_is_missing_or_changed(tmp_path: Path) -> None:
    layout.assemble(tmp_path)
    plugin = tmp_path / layout.PLUGIN
    layout.write_manifest(plugin, {})
    manifest = layout.read_manifest(plugin)
    assert manifest is not None
    assert layout.damaged(plugin, manifest) == []
    (plugin / "protocol/client.py").unlink()
    (plugin / "qt.py").write_text("changed")
    (plugin / "own note.txt").write_text("an extra file is nobody's business")
    assert sorted(layout.damaged(plugin, manifest)) == ["protocol/client.py", "qt.py"]
    (plugin / layout.MANIFEST).write_text(json.dumps({"format": 2}))
    assert layout.read_manifest(plugin) is None


def test_the_assembled_plugin_has_no_leftovers_of_building(tmp_path: Path) -> None:
    layout.assemble(tmp_path)
    layout.assemble(tmp_path)  # over the one before
    names = {p.name for p in tmp_path.rglob("*")}
    assert {"colorize.desktop", "protocol", "qt.py"} <= names
    assert not any(n == "__pycache__" or n.endswith((".pyc", ".ts")) for n in names)
