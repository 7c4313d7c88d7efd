"""The lock under which engines start."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.errors import ColorizeError
from engine.service.lifecycle import starting

NOBODY = 65534


@pytest.fixture
def unwritable(tmp_path: Path) -> Iterator[Path]:
    """A folder that this process may not write to."""
    with starting(tmp_path):  # brings in what others than root might not be able to read
        pass
    (tmp_path / "engine.lock").unlink(missing_ok=True)
    tmp_path.chmod(0o500)
    root = os.geteuid() == 0
    if root:  # it may write everywhere
        os.seteuid(NOBODY)
    yield tmp_path
    if root:
        os.seteuid(0)
    tmp_path.chmod(0o700)


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")
def test_a_folder_that_cannot_be_written_is_an_error_with_a_remedy(unwritable: Path) -> None:
    with pytest.raises(ColorizeError, match=r"engine\.lock cannot be written.*COLORIZE_RUNTIME"), starting(unwritable):
        pass


def test_what_fails_under_the_lock_is_not_blamed_on_the_lock(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="of its own"), starting(tmp_path):
        raise OSError("of its own")
    with starting(tmp_path):
        pass
