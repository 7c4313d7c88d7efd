"""The command ``colorize-install`` as an artist meets it, in a home of its own; the wheels come from the registry."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from installer_helpers import PYTHON, SETTINGS, Artist

from installer import places
from installer.__main__ import main
from installer.places import Machine

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="makes a Krita for Linux")]

IMPORTER = Path("/usr/share/krita/pykrita/plugin_importer/plugin_importer.py")


@pytest.fixture
def artist(tmp_path: Path) -> Artist:
    """A user with a Krita of the same Python as runs the tests, so that the wheels can be tried."""
    return Artist(tmp_path)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheels for every system, from the registry."""
    folder = tmp_path_factory.mktemp("bundle")
    out = folder / "wheels.zip"
    assert json.loads(Artist(folder).run("bundle", out, "--os", "all", "--json").stdout)["wheels"] > 20
    return out


@pytest.fixture(scope="module")
def installed(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an artist who has the plugin; tests copy it."""
    folder = tmp_path_factory.mktemp("installed")
    Artist(folder).run("--bundle", bundle)
    return folder


@pytest.fixture
def owner(installed: Path, tmp_path: Path) -> Artist:
    """A user who has the plugin."""
    artist = Artist(tmp_path / "owner")
    shutil.rmtree(artist.home)
    shutil.copytree(installed / artist.home.name, artist.home, symlinks=True)
    return artist


def test_from_nothing_to_a_healthy_plugin_and_back_without_a_trace(artist: Artist) -> None:
    before = artist.tree()
    said = artist.run().stdout
    assert "downloading" in said
    assert "note:" not in said
    assert b"[python]\nenable_colorize=true\nenable_tenbrushes=true\n" in artist.settings.read_bytes()
    setup = json.loads(artist.setup.read_text(encoding="utf-8"))
    assert setup == {
        "format": 1,
        "version": setup["version"],
        "command": [sys.executable, "-s", "-m", "engine.cli"],
        "runtime": "",
    }
    names = {p.name for p in (artist.plugin / "vendor/linux").iterdir()}
    assert {"zmq", "msgpack", "pyzmq.libs"} <= names

    (report,) = artist.report("--check")["kritas"]
    found = {c["name"]: c["finding"] for c in report["checks"]}
    assert f"loads in Python {PYTHON}" in found["libraries"]
    assert "can be loaded" in found["weights"]

    (artist.setup.parent / "engine-start.log").write_text("a note of the plugin")
    artist.run("--remove")
    assert artist.tree() == before


def test_showing_what_would_be_done_does_nothing(artist: Artist, bundle: Path, owner: Artist) -> None:
    for someone, arguments in ((artist, ()), (owner, ("--update",)), (owner, ("--remove",))):
        before = someone.tree()
        (told,) = someone.report("--dry-run", *arguments, "--bundle", bundle)["dry_run"]
        assert any(str(someone.plugin) in action for action in told["actions"])
        assert str(someone.plugin) in someone.run("--dry-run", *arguments).stdout
        assert someone.tree() == before


def test_an_update_needs_no_network_and_keeps_what_the_artist_chose(owner: Artist, tmp_path: Path) -> None:
    other = tmp_path / "own python"
    other.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    other.chmod(0o755)
    setup = json.loads(owner.setup.read_text(encoding="utf-8"))
    owner.setup.write_text(json.dumps({**setup, "command": [str(other), *setup["command"][1:]]}), encoding="utf-8")
    owner.settings.write_bytes(owner.settings.read_bytes().replace(b"enable_colorize=true", b"enable_colorize=false"))
    settings = owner.settings.read_bytes()
    whole = (owner.plugin / "qt.py").read_bytes()
    (owner.plugin / "qt.py").write_text("broken")
    (owner.plugin / "left by an older version.py").touch()

    said = owner.run("--update", PIP_INDEX_URL="http://127.0.0.1:9/simple", PIP_CONFIG_FILE=os.devnull).stdout
    assert "switched off" in said
    assert (owner.plugin / "qt.py").read_bytes() == whole
    assert not (owner.plugin / "left by an older version.py").exists()
    assert json.loads(owner.setup.read_text(encoding="utf-8"))["command"][0] == str(other)
    assert owner.settings.read_bytes() == settings


def test_an_update_replaces_an_interpreter_that_is_gone_and_broken_wheels(owner: Artist, bundle: Path) -> None:
    setup = owner.setup.read_bytes()
    owner.setup.write_bytes(setup.replace(sys.executable.encode(), b"/gone/python"))
    for library in owner.plugin.rglob("_zmq.*.so"):
        library.write_bytes(b"broken")
    owner.run("--update", "--bundle", bundle)
    assert owner.setup.read_bytes() == setup
    assert {c["name"]: c["status"] for c in owner.report("--check")["kritas"][0]["checks"]}["libraries"] == "ok"


def test_the_check_names_everything_that_is_wrong(owner: Artist) -> None:
    for library in owner.plugin.rglob("_zmq.*.so"):
        library.write_bytes(b"broken")
    owner.setup.write_bytes(owner.setup.read_bytes().replace(sys.executable.encode(), b"/gone/python"))
    owner.settings.write_bytes(SETTINGS)
    wrong = owner.wrong()
    assert set(wrong) == {"plugin", "libraries", "engine", "enabled"}
    assert "_zmq" in wrong["plugin"]
    assert PYTHON in wrong["libraries"]
    assert "/gone/python" in wrong["engine"]
    assert "switched off" in wrong["enabled"]


def test_the_check_tells_another_version_and_a_plugin_that_is_half_there(owner: Artist) -> None:
    manifest = owner.plugin / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "version": "0.0.1"}))
    owner.setup.unlink()
    assert "version 0.0.1" in owner.wrong()["plugin"]
    (owner.data / "pykrita/colorize.desktop").unlink()
    wrong = owner.wrong()
    assert "colorize.desktop is missing" in wrong["plugin"]
    assert "setup.json is missing" in wrong["engine"]


def test_an_installation_that_was_cut_off_is_told_and_mended(owner: Artist) -> None:
    staging = owner.data / "pykrita/.colorize-install"
    (staging / "new").mkdir(parents=True)
    (staging / "old").mkdir()
    owner.plugin.rename(staging / "old/colorize")
    owner.setup.write_bytes(owner.setup.read_bytes().replace(sys.executable.encode(), b"/gone/python"))
    assert "plugin" in owner.wrong()
    owner.run("--remove")
    assert not staging.exists()
    assert not owner.plugin.exists()


def test_what_is_not_installed_can_be_neither_updated_nor_removed_nor_checked(artist: Artist) -> None:
    for action in ("--update", "--remove", "--check"):
        assert "in no Krita" in artist.fail(action)


@pytest.fixture
def running(owner: Artist) -> Iterator[subprocess.Popen[bytes]]:
    """A process that looks like this artist's Krita."""
    program = shutil.copy(shutil.which("sleep") or "", owner.home / "bin/krita")
    with subprocess.Popen([program, "60"], env=owner.env) as child:
        yield child
        child.kill()


def test_nothing_is_changed_under_a_running_krita(owner: Artist, running: subprocess.Popen[bytes]) -> None:
    before = owner.tree()
    for arguments in ((), ("--update",), ("--remove",)):
        said = owner.fail(*arguments)
        assert f"Krita is running (process {running.pid}); close it" in said
    assert owner.tree() == before
    owner.run("--update", "--dry-run")


@pytest.fixture
def both(artist: Artist) -> Artist:
    """A user who also has the Flatpak."""
    (artist.flatpak / "data/krita/pykrita").mkdir(parents=True)
    return artist


def test_of_several_kritas_one_must_be_chosen(both: Artist) -> None:
    done = both.run(code=2)
    assert "there are 2 Kritas; choose one with --target DIR, or use --all" in done.stderr
    assert str(both.data) in done.stderr
    assert str(both.flatpak) in done.stderr


def test_a_user_at_a_terminal_is_asked_which(both: Artist, bundle: Path) -> None:
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "installer", "--bundle", str(bundle)]
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=both.env, cwd=both.home) as child:
        os.close(slave)
        said = b""
        while b"Which one" not in said:
            assert select.select([master], [], [], 60)[0]
            said += os.read(master, 4096)
        os.write(master, b"2\n")
        with contextlib.suppress(OSError):  # Linux' way of saying that the other end is closed
            while select.select([master], [], [], 60)[0]:
                said += os.read(master, 4096)
        os.close(master)
        assert child.wait(30) == 0, said
    assert (both.flatpak / "data/krita/pykrita/colorize").is_dir()
    assert not both.plugin.exists()


def test_flatpak_starts_the_engine_outside_of_its_sandbox(both: Artist, bundle: Path) -> None:
    before = both.tree()
    said = both.run("--all", "--bundle", bundle).stdout
    assert "flatpak override --user --talk-name=org.freedesktop.Flatpak org.kde.krita" in said
    setup = json.loads((both.flatpak / "data/krita/colorize/setup.json").read_text(encoding="utf-8"))
    run = both.flatpak / "data/colorize/run"
    assert setup["runtime"] == str(run)
    assert setup["command"][:4] == ["flatpak-spawn", "--host", f"--env=COLORIZE_RUNTIME={run}", sys.executable]
    assert (both.flatpak / "config/kritarc").read_bytes() == b"[python]\nenable_colorize=true\n"

    overrides = both.home / ".local/share/flatpak/overrides"
    overrides.mkdir(parents=True)
    (overrides / "org.kde.krita").write_text("[Session Bus Policy]\norg.freedesktop.Flatpak=talk\n")
    (report,) = both.report("--check", "--target", both.flatpak / "data/krita")["kritas"]
    assert "ok" in {c["status"] for c in report["checks"] if c["name"] == "sandbox"}
    assert "ok" in {c["status"] for c in report["checks"] if c["name"] == "weights"}

    both.run("--remove", "--all", "--yes")
    (overrides / "org.kde.krita").unlink()
    assert both.tree() == before
    assert not (both.flatpak / "data/colorize").exists()


def test_without_network_the_way_out_is_named(artist: Artist) -> None:
    before = artist.tree()
    away = {"PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": "", "PIP_EXTRA_INDEX_URL": ""}
    said = artist.fail(**away, PIP_INDEX_URL="http://127.0.0.1:9/simple")
    assert "registry cannot be reached" in said
    assert "--bundle FILE" in said
    assert artist.tree() == before


def test_a_registry_without_the_wheels_is_told_apart(artist: Artist, tmp_path: Path) -> None:
    away = {"PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": "", "PIP_EXTRA_INDEX_URL": ""}
    said = artist.fail(**away, PIP_INDEX_URL=(tmp_path / "empty").as_uri())
    assert "no matching wheel" in said
    assert "msgpack" in said


def test_wheels_for_one_python_only(artist: Artist, bundle: Path) -> None:
    artist.run("--krita-python", "3.12", "--bundle", bundle)
    assert [p.name for p in artist.plugin.rglob("_zmq.*.so")] == ["_zmq.abi3.so"]
    assert "no pyzmq wheel for Python 3.9" in artist.fail("--krita-python", "3.9", "--bundle", bundle)
    assert "no version such as" in artist.fail("--krita-python", "new", "--bundle", bundle, code=2)


def test_a_krita_whose_python_no_wheel_serves_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artist = Artist(tmp_path)
    (artist.home / "lib/kritaplugins/kritapykrita.so").write_bytes(b"libpython3.9.so.1.0\0")
    machine = Machine("linux", "x86_64", artist.home, {"PATH": str(artist.home / "bin")}, tmp_path / "nothing else")
    monkeypatch.setattr(places, "this_machine", lambda: machine)
    done = CliRunner().invoke(main, ["--dry-run"])
    assert done.exit_code == 1
    assert "there is no pyzmq wheel for Python 3.9 on linux x86_64; use a Krita with one of Python 3.8" in done.output


def test_a_bundle_that_was_spoilt_changes_nothing(artist: Artist, bundle: Path, tmp_path: Path) -> None:
    spoilt = tmp_path / "spoilt.zip"
    with zipfile.ZipFile(bundle) as old, zipfile.ZipFile(spoilt, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name)[:-1] + b"x")
    before = artist.tree()
    assert "damaged" in artist.fail("--bundle", spoilt)
    assert artist.tree() == before


@pytest.mark.parametrize("options", [(), ("--update",)])
def test_a_folder_that_cannot_be_written_is_named_and_the_old_plugin_stays(owner: Artist, options: tuple[str]) -> None:
    owner.settings.parent.rename(owner.home / "kept")
    owner.settings.parent.touch()  # a file where the settings' folder should be: the last step fails
    (owner.plugin / "mine.py").touch()
    before = owner.tree()
    said = owner.fail(*options)
    assert "cannot be changed" in said
    assert owner.tree() == before


def test_a_read_only_folder_is_named(artist: Artist, bundle: Path) -> None:
    said = artist.fail("--bundle", bundle, XDG_DATA_HOME="/sys/kernel")
    assert "/sys/kernel" in said
    assert "cannot be changed" in said


@pytest.mark.parametrize(
    ("script", "cause"),
    [
        ("echo \"ModuleNotFoundError: No module named 'engine'\" >&2; exit 1", "No module named"),
        ("echo 9.9", "engine 9.9"),
    ],
)
def test_a_python_without_this_engine_is_refused(artist: Artist, tmp_path: Path, script: str, cause: str) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    assert cause in artist.fail("--engine-python", python)
    assert "cannot be run" in artist.fail("--engine-python", tmp_path / "missing", code=2)


def test_a_folder_that_is_not_kritas_is_refused(artist: Artist, tmp_path: Path) -> None:
    said = artist.fail("--target", tmp_path, code=2)
    assert f"{tmp_path} is not a folder of Krita's resources" in said
    assert str(artist.data) in said


def test_a_machine_without_krita_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "this_machine", lambda: Machine("linux", "x86_64", tmp_path, {}, tmp_path))
    done = CliRunner().invoke(main, ["--yes"])
    assert done.exit_code == 1
    assert "no Krita was found; install Krita and start it once" in done.output


def test_sudo_is_refused(artist: Artist, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**artist.env, "SUDO_USER": "zoe"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    done = CliRunner().invoke(main, ["--bundle", str(bundle)])
    assert done.exit_code == 2
    assert "without sudo" in done.output
    assert not artist.plugin.exists()


@pytest.mark.skipif(not IMPORTER.is_file(), reason="Krita is not installed here")
def test_kritas_own_importer_takes_the_pack(artist: Artist, bundle: Path, tmp_path: Path) -> None:
    out, again = tmp_path / "colorize.zip", tmp_path / "again.zip"
    for target in (out, again):
        artist.run("pack", target, "--os", "all", "--bundle", bundle)
    assert out.read_bytes() == again.read_bytes()
    # The importer as it is, with the one name that Krita gives it.
    code = "import builtins, runpy, sys; builtins.i18n = str; runpy.run_path(sys.argv.pop(1), run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", code, IMPORTER, out, artist.data], capture_output=True, text=True, check=True
    )
    assert done.stdout == "Imported plugin: Colorize\n"
    assert (artist.data / "actions/colorize.action").is_file()
    assert {p.name for p in (artist.plugin / "vendor").iterdir()} == {"linux", "windows", "macos"}
    assert set(artist.wrong()) == {"enabled", "engine"}, "whole, but nobody has set it up"
    artist.run("--update", "--bundle", bundle)
    artist.report("--check")


def test_a_file_that_cannot_be_written_is_named(artist: Artist) -> None:
    for command in ("bundle", "pack"):
        assert "the folder of /nowhere/x.zip is not there" in artist.fail(command, "/nowhere/x.zip", code=2)
        assert "/sys/kernel" in artist.fail(command, "/sys/kernel/x.zip")
