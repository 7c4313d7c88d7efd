"""How a command's process comes up and goes, and that nothing is lost by it."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.system.process import building


def python(program: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a process of its own."""
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)


def test_leaving_gives_the_code_and_loses_no_word() -> None:
    done = python("""
import atexit, sys
from engine.system.process import leave
atexit.register(print, "too slow")
sys.stdout.write("out")
sys.stderr.write("err")
leave(3)
""")
    assert (done.returncode, done.stdout, done.stderr) == (3, "out", "err")


def test_leaving_needs_no_reader_and_no_streams() -> None:
    program = "import sys; from engine.system.process import leave; sys.stdout = None; sys.stderr.close(); leave(0)"
    assert python(program).returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_leaving_tells_of_words_that_found_no_room() -> None:
    program = "import sys; from engine.system.process import leave; sys.stdout.write('out'); leave(0)"
    buffered = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", program],
            stdout=full,
            stderr=subprocess.PIPE,
            env=buffered,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 1
    assert "could not be written" in done.stderr


@pytest.mark.parametrize("collects", [True, False])
def test_garbage_is_collected_after_building_as_before(collects: bool) -> None:
    def build() -> None:
        with building():
            assert not gc.isenabled()
            raise ValueError("broken")

    before = gc.isenabled()
    try:
        (gc.enable if collects else gc.disable)()
        with pytest.raises(ValueError, match="broken"):
            build()
        assert gc.isenabled() is collects
    finally:
        gc.unfreeze()
        (gc.enable if before else gc.disable)()
