"""Takes the pictures of the docker for the documentation and the manual in the real Krita: `make screenshots`."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import harness
from PIL import Image

EXAMPLE = harness.ROOT / "examples" / "three_friends"
DOCS = harness.ROOT / "docs" / "images"
MANUAL = harness.ROOT / "krita_plugin" / "colorize" / "images"
"""The manual needs its pictures inside the plugin; docs/docker.md points at them there."""


def keep(source: Path, target: Path, width: int = 0) -> None:
    """Store a picture, made smaller to a width where one is given."""
    with Image.open(source) as image:
        picture = image.convert("RGB")
    if width and picture.width > width:
        picture = picture.resize((width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS)
    target.parent.mkdir(parents=True, exist_ok=True)
    picture.save(target, optimize=True)


def main() -> None:
    """Run Krita once for the states, and once for each other look."""
    scenario = harness.HERE / "scenarios" / "pictures.py"
    with tempfile.TemporaryDirectory(prefix="krita-pictures-") as folder:
        out = Path(folder)
        looks = [
            ("states", "", {}),
            ("light", "[theme]\nTheme=Krita bright", {}),
            ("french", "", {"LC_ALL": "fr_FR.UTF-8", "LANG": "fr_FR.UTF-8", "LANGUAGE": "fr"}),
            ("variations", "", {}),
        ]
        for name, settings, environment in looks:
            home = harness.Home(out / f"home-{name}")
            home.configure(settings)
            home.install()
            harness.run(
                home,
                scenario,
                (EXAMPLE / "lineart.png",),
                environment=environment,
                timeout=150,
                folder=str(out),
                strokes=str(EXAMPLE / "strokes.txt"),
                hints=str(EXAMPLE / "hints.png"),
                only=name if name in ("states", "variations") else "look",
                name=name,
            ).passed()
            shutil.rmtree(home.path)
        for name in ("idle", "narrow", "busy", "error", "light", "french"):
            keep(out / f"{name}.png", DOCS / "docker" / f"{name}.png")
        keep(out / "variations.png", MANUAL / "variations.png")
        keep(out / "strokes.png", MANUAL / "docker.png", 1000)
        keep(out / "result.png", MANUAL / "result.png", 1000)


if __name__ == "__main__":
    main()
