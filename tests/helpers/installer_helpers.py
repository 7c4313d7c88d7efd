"""A user with a Krita, for the tests of the installer: a home folder, and the installer run in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

SETTINGS = (
    b"showTips=false\n\n[colorize]\nmodel=stenciltorch\n\n[python]\nenable_tenbrushes=true\n\n[theme]\nTheme=dark\n"
)
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"


class Artist:
    """A user with a Krita that was started once, and with a name that is not plain ASCII."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "Zoë Müller"
        self.data = self.home / ".local/share/krita"
        self.plugin = self.data / "pykrita/colorize"
        self.setup = self.data / "colorize/setup.json"
        self.settings = self.home / ".config/kritarc"
        self.flatpak = self.home / ".var/app/org.kde.krita"
        for path in (self.data / "pykrita", self.settings.parent, self.home / "bin"):
            path.mkdir(parents=True)
        (self.data / "resourcecache.sqlite").touch()
        (self.data / "actions").mkdir()
        (self.data / "actions/other.action").touch()
        (self.data / "pykrita/other.desktop").touch()
        self.settings.write_bytes(SETTINGS)
        program = self.home / "bin/krita"
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        library = self.home / "lib/kritaplugins/kritapykrita.so"
        library.parent.mkdir(parents=True)
        library.write_bytes(f"libpython{PYTHON}.so.1.0\0".encode())
        # What pip is told stays; what would lead to folders of the one who runs the tests does not.
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "PYTHON", "COLORIZE_", "COV"))}
        own = [Path.home() / p for p in (".config/pip/pip.conf", ".pip/pip.conf")]
        path = f"{self.home / 'bin'}{os.pathsep}{os.environ['PATH']}"
        self.env = {**kept, "HOME": str(self.home), "PATH": path}
        for config in own:
            if config.is_file():
                self.env.setdefault("PIP_CONFIG_FILE", str(config))

    def run(self, *arguments: str | Path, code: int = 0, **env: str) -> subprocess.CompletedProcess[str]:
        """Run the installer from some other folder."""
        command = [sys.executable, "-m", "installer", *map(str, arguments)]
        done = subprocess.run(
            command, capture_output=True, text=True, env={**self.env, **env}, cwd=self.home, timeout=120, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    def fail(self, *arguments: str | Path, code: int = 1, **env: str) -> str:
        """Run it, expecting that it refuses; returns what it says, in one line."""
        lines = self.run(*arguments, code=code, **env).stderr.splitlines()
        said = [line for line in lines if line.startswith("error: ")]
        assert len(said) == 1, lines
        return said[0]

    def report(self, *arguments: str | Path, code: int = 0) -> dict[str, Any]:
        """What it says in JSON."""
        found: dict[str, Any] = json.loads(self.run(*arguments, "--json", code=code).stdout.splitlines()[-1])
        assert found["ok"] is (code == 0)
        return found

    def wrong(self) -> dict[str, str]:
        """What ``--check`` finds wrong, by name; each with a remedy."""
        (report,) = self.report("--check", code=1)["kritas"]
        found = [c for c in report["checks"] if c["status"] == "fail"]
        assert all(c["remedy"] for c in found)
        return {c["name"]: c["finding"] for c in found}

    def tree(self) -> dict[str, bytes]:
        """Every file in the home folder but what pip, Rust and the engine's own check leave there."""
        found = {str(p.relative_to(self.home)): p for p in sorted(self.home.rglob("*")) if not p.is_dir()}
        others = (".cache", ".rustup", ".local/share/colorize")
        return {n: p.read_bytes() for n, p in found.items() if not n.startswith(others)}
