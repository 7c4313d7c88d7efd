"""The engine with a second model, `lots`, that draws lots: a stand-in for the tests until a shipped model does.

Used as the command in setup.json instead of `-m engine.cli`. `lots` is the shipped weights under another name; what is
else about it is in site/sitecustomize.py.
"""

import os
from pathlib import Path

from engine.cli import main
from engine.folders import user_data_folder
from engine.models.checkpoint import PACKAGE_WEIGHTS

weights = user_data_folder() / "weights" / "lots.safetensors"
weights.parent.mkdir(parents=True, exist_ok=True)
if not weights.exists():
    weights.symlink_to(PACKAGE_WEIGHTS / "stenciltorch.safetensors")
# The device process is a Python of its own, and the one that must know.
os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parent / "site")
main()
