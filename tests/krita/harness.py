"""Starts the real Krita for a test: isolated home, own X server and window manager, the plugin put by the installer.

Standard library only. By hand, from the repository's root:
    .venv/bin/python tests/krita/harness.py SCENARIO.py [--repeat N] [--args '{"key": 1}'] [--shot out.png] [FILES...]
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from screen import Screen
from watch import Watch

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TOOLS = ("krita", "Xvfb", "openbox", "xdotool")
ENGINE_PYTHON = os.environ.get("COLORIZE_TEST_ENGINE_PYTHON", sys.executable)
"""Python that runs the installer and the engine; another one in a chroot, see newer_krita.sh."""

KRITARC = """useOpenGL=false
AutoSaveInterval=0
FetchNews=false
HideSplashScreen=true
LogUsage=false
logviewer_enabled=false
{more}
[python]
enable_colorize_driver=true
"""
DISPLAYRC = """[General]
canvasState=OPENGL_FAILED
OpenGLRenderer=none
EnableSingleApplication=false
EnableHiDPI=false
LogUsage=false
"""
OTHERS = (
    "XDG_",
    "QT_",
    "KDE_",
    "PYTHON",
    "VIRTUAL_ENV",
    "LD_",
    "DBUS_",
    "DISPLAY",
    "WAYLAND",
    "COLORIZE_",
    "LC_",
    "LANG",
)
"""Beginnings of the variables of this machine's session, which must not reach Krita."""


def missing() -> list[str]:
    """Programs that these tests need and that are not here."""
    return [tool for tool in TOOLS if shutil.which(tool) is None]


@dataclass
class Result:
    """What came of a scenario."""

    outcome: str
    """``passed``, ``failed``, ``uncaught``, ``timeout``, or ``no result`` where Krita ended before it."""
    message: str
    data: dict[str, Any]
    notes: list[str]
    code: int
    """Krita's exit code."""
    log: str
    seconds: float
    left: list[str] = field(default_factory=list)
    """Command lines of the processes that were still there a moment after Krita had quit; they are ended now."""
    late: str = ""
    """Tracebacks of what nobody caught after the scenario, while Krita quit."""
    windows: list[str] = field(default_factory=list)
    """Titles of the windows that came while Krita quit, such as Krita's "Script error"."""
    memory: dict[str, dict[str, int]] = field(default_factory=dict)
    """Most MiB that ``krita`` and the ``engine`` had resident, ``at work`` and when Krita was told to ``quit``."""

    def __str__(self) -> str:
        notes = "\n".join(self.notes)
        tail = "\n".join(self.log.splitlines()[-25:])
        head = f"{self.outcome}, exit code {self.code}: {self.message}\ndata: {self.data}\n{notes}\nleft: {self.left}"
        end = f"windows at the end: {self.windows}\nMiB: {self.memory}\nuncaught at the end: {self.late}"
        return f"{head}\n{end}\nKrita's log:\n{tail}"

    @property
    def good(self) -> bool:
        """Whether the scenario passed and Krita quit well: silently, with exit code 0."""
        return self.outcome == "passed" and self.code == 0 and not self.late and not self.windows

    def passed(self) -> dict[str, Any]:
        """The scenario's data; fails where it did not pass or Krita did not quit well."""
        assert self.good, str(self)
        return self.data


class Home:
    """A user's home of its own, with Krita's first start behind it.

    Args:
        path: the folder.
        new: make it; else it is one that was made before.
        template: begin with a copy of ``template_home``.
    """

    def __init__(self, path: Path, *, new: bool = True, template: bool = True) -> None:
        self.path = path
        self.data = path / ".local" / "share" / "krita"
        """Krita's data folder."""
        if not new:
            return
        if template:
            shutil.copytree(template_home(), path, symlinks=True, dirs_exist_ok=True)
        for folder in (".config", ".local/share/krita/pykrita", ".local/state", ".cache", "run", "tmp"):
            (path / folder).mkdir(parents=True, exist_ok=True)
        (path / "run").chmod(0o700)
        shutil.copytree(HERE / "driver", self.data / "pykrita", dirs_exist_ok=True)
        self.configure()

    def configure(self, more: str = "", display: str = "") -> None:
        """Write Krita's settings.

        Args:
            more: lines for the top of kritarc, such as ``theme=Krita bright``.
            display: lines for kritadisplayrc.
        """
        (self.path / ".config/kritarc").write_text(KRITARC.format(more=more))
        (self.path / ".config/kritadisplayrc").write_text(DISPLAYRC + display)

    def environment(self, display: str = "", **more: str) -> dict[str, str]:
        """The environment of a process of this user."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(OTHERS)}
        at = self.path
        kept |= {
            "HOME": str(at),
            "XDG_CONFIG_HOME": str(at / ".config"),
            "XDG_DATA_HOME": str(at / ".local/share"),
            "XDG_CACHE_HOME": str(at / ".cache"),
            "XDG_STATE_HOME": str(at / ".local/state"),
            "XDG_RUNTIME_DIR": str(at / "run"),
            "TMPDIR": str(at / "tmp"),
            "LC_ALL": "C.UTF-8",
            "LANG": "C.UTF-8",
            "PATH": "/usr/bin:/bin",
            "NO_AT_BRIDGE": "1",
            # A test machine has few cores, and Krita runs beside the engine.
            "OMP_NUM_THREADS": "2",
        }
        if display:
            kept["DISPLAY"] = display
        return kept | more

    def install(self, *options: str) -> str:
        """Put the plugin there as a user does; returns what the installer says."""
        command = [
            ENGINE_PYTHON,
            "-m",
            "installer",
            "--target",
            str(self.data),
            "--engine-python",
            ENGINE_PYTHON,
            "--yes",
        ]
        command += ["--krita-python", krita_python(), *options]
        ran = subprocess.run(command, cwd=ROOT, env=self.pip_environment(), capture_output=True, text=True, check=False)
        assert ran.returncode == 0, f"{' '.join(command)}\n{ran.stdout}{ran.stderr}"
        return ran.stdout

    def small_stablepaint(self) -> None:
        """Put a small StablePaint among this user's weights, which come before the shipped ones."""
        path = self.path / ".local" / "share" / "colorize" / "weights" / "stablepaint.safetensors"
        command = [ENGINE_PYTHON, str(HERE / "small_stablepaint.py"), str(path)]
        ran = subprocess.run(command, env=self.environment(), capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr

    def pip_environment(self) -> dict[str, str]:
        """The environment for the installer: this user, but the machine's own registry of packages."""
        index = {k: v for k, v in os.environ.items() if k.startswith("PIP_")}
        return self.environment() | index | {"PATH": os.environ["PATH"]}

    def processes(self) -> dict[int, str]:
        """Command lines of all processes of this user, by their ids."""
        mine = f"HOME={self.path}".encode()
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mine in (entry / "environ").read_bytes().split(b"\0"):
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        return found

    def close(self) -> list[str]:
        """End what is left; returns the command lines."""
        left = self.processes()
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 5
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.02)
        return list(left.values())


def krita_python() -> str:
    """The version of the Python inside this machine's Krita, such as 3.11."""
    binary = shutil.which("krita") or ""
    linked = subprocess.run(["ldd", str(plugin_library(binary))], capture_output=True, text=True, check=False).stdout
    for word in linked.split():
        if word.startswith("libpython3."):
            return word.removeprefix("libpython").split(".so")[0]
    raise RuntimeError("cannot tell which Python Krita has")


def plugin_library(binary: str) -> Path:
    """Krita's own library that holds Python."""
    near = Path(binary).resolve().parent.parent / "lib"
    found = sorted(near.rglob("kritapykrita.so"))
    if not found:
        raise RuntimeError(f"no kritapykrita.so under {near}; is python3-pyqt5 installed?")
    return found[0]


def template_home() -> Path:
    """A home in which Krita was started once: the first start takes 20 s, every later one 3 s. Kept for later runs."""
    binary = Path(shutil.which("krita") or "").resolve()
    about = binary.stat()
    key = hashlib.sha256(f"{binary} {about.st_size} {about.st_mtime_ns} 1".encode()).hexdigest()[:12]
    cache = Path(os.environ.get("COLORIZE_TEST_CACHE") or Path(tempfile.gettempdir()) / f"colorize-krita-{os.getuid()}")
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    ready = cache / key
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test runs may come here at once
        if not ready.exists():
            new = cache / f"{key}.new"
            shutil.rmtree(new, ignore_errors=True)
            home = Home(new, template=False)
            run(home, HERE / "scenarios" / "nothing.py", timeout=200).passed()
            shutil.rmtree(home.data / "pykrita")
            for gone in (".config", "run", "tmp"):
                shutil.rmtree(new / gone)
            for log in new.rglob("*.log"):
                log.unlink()
            new.rename(ready)
    return ready


@contextlib.contextmanager
def started(
    home: Home,
    scenario: Path,
    files: tuple[str | Path, ...] = (),
    *,
    display: str,
    timeout: float = 90.0,
    environment: dict[str, str] | None = None,
    **args: Any,
) -> Iterator[subprocess.Popen[bytes]]:
    """A Krita that runs a scenario; it is ended with the context."""
    for name in ("result.json", "result.json.late"):
        (home.path / name).unlink(missing_ok=True)
    settings = {
        "KTEST_SCENARIO": str(scenario.resolve()),
        "KTEST_RESULT": str(home.path / "result.json"),
        "KTEST_TIMEOUT": str(timeout),
        "KTEST_ARGS": json.dumps(args, default=str),
        **({"KTEST_FILES": "1"} if files else {}),
    }
    with (home.path / "krita.log").open("wb") as log:
        process = subprocess.Popen(
            ["krita", "--nosplash", *(str(Path(f).resolve()) for f in files)],
            env=home.environment(display, **settings, **(environment or {})),
            cwd=home.path,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def run(
    home: Home,
    scenario: Path,
    files: tuple[str | Path, ...] = (),
    *,
    timeout: float = 90.0,
    grace: float = 3.0,
    size: str = "1600x1000x24",
    managed: bool = True,
    environment: dict[str, str] | None = None,
    meanwhile: Callable[[subprocess.Popen[bytes]], None] | None = None,
    **args: Any,
) -> Result:
    """Run a scenario in Krita until Krita has quit.

    Args:
        home: whose Krita.
        scenario: the file, see ``driver/colorize_driver/runner.py``.
        files: pictures to open at the start.
        timeout: seconds for the scenario; Krita has 20 more to quit.
        grace: seconds that other processes of this home, such as the engine, have to end after Krita.
        size: of the screen.
        managed: whether there is a window manager.
        environment: more variables.
        meanwhile: called once Krita is started.
        args: what the scenario finds in ``t.args``.
    """
    screen = Screen(size, managed)
    begin = time.monotonic()
    try:
        with started(
            home, scenario, files, display=screen.display, timeout=timeout, environment=environment, **args
        ) as process:
            if meanwhile is not None:
                meanwhile(process)
            watch = Watch(screen.display, home.path / "result.json", process, home.processes)
            watch.until_over(timeout + 20)
        deadline = time.monotonic() + grace
        while home.processes() and time.monotonic() < deadline:
            watch.weigh()
            time.sleep(0.05)
        left = home.close()
    finally:
        screen.close()
    path, late = home.path / "result.json", home.path / "result.json.late"
    found = json.loads(path.read_text()) if path.exists() else {"outcome": "no result", "message": "Krita ended before"}
    return Result(
        outcome=found["outcome"],
        message=found["message"],
        data=found.get("data", {}),
        notes=found.get("notes", []),
        code=process.returncode,
        log=(home.path / "krita.log").read_text(errors="replace"),
        seconds=time.monotonic() - begin,
        left=left,
        late=late.read_text(errors="replace") if late.exists() else "",
        windows=watch.windows,
        memory=watch.memory,
    )


def main() -> int:
    """Run one scenario by hand."""
    parser = argparse.ArgumentParser(description="Run a scenario in the real Krita.")
    parser.add_argument("scenario", type=Path)
    parser.add_argument("files", nargs="*", help="pictures to open at the start")
    parser.add_argument("--stablepaint", action="store_true", help="with a small StablePaint of no learning")
    parser.add_argument("--args", type=json.loads, default={}, help="JSON object for t.args")
    parser.add_argument("--shot", default="", help="where the scenario puts its picture: t.args['shot']")
    parser.add_argument("--timeout", type=float, default=90)
    parser.add_argument("--home", type=Path, help="a home to make and keep, or to use again")
    parser.add_argument("--size", default="1600x1000x24")
    parser.add_argument("--bare", action="store_true", help="without a window manager")
    parser.add_argument("--repeat", type=int, default=1, help="run it so many times, and stop at the first failure")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="krita-") as folder:
        path = (options.home or Path(folder) / "home").resolve()
        home = Home(path, new=not (path / ".local").exists())
        home.install()
        if options.stablepaint:
            home.small_stablepaint()
        files = tuple(str(Path(f).resolve()) for f in options.files)
        shot = str(Path(options.shot).resolve()) if options.shot else ""
        for number in range(1, options.repeat + 1):
            result = run(
                home,
                options.scenario,
                files,
                timeout=options.timeout,
                size=options.size,
                managed=not options.bare,
                shot=shot,
                **options.args,
            )
            good = result.good and not result.left
            if options.repeat > 1:
                said = f"{result.outcome}, {result.seconds:.1f} s, MiB {result.memory}"
                sys.stdout.write(f"{number} of {options.repeat}: {said}\n")
                sys.stdout.flush()
            if not good:
                break
        failure = path / "result.json.png"
        if failure.exists() and not shot:
            shot = str(Path(tempfile.gettempdir()) / "krita-failure.png")
        if failure.exists():
            shutil.copy(failure, shot)
            sys.stdout.write(f"the screen when it failed is in {shot}\n")
    sys.stdout.write(f"{json.dumps(result.data, indent=1)}\n{result}\n{result.seconds:.1f} s\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
