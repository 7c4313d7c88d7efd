"""An X server without a screen, with a window manager or without, for one run of Krita."""

from __future__ import annotations

import os
import subprocess
import time


class Screen:
    """An X server without a screen.

    Args:
        size: width, height and depth.
        managed: with a window manager, as artists have one; the order in which Krita ends differs without.
    """

    def __init__(self, size: str = "1600x1000x24", managed: bool = True) -> None:
        read, write = os.pipe()
        self.process = subprocess.Popen(
            ["Xvfb", "-displayfd", str(write), "-screen", "0", size, "-nolisten", "tcp", "-noreset"],
            pass_fds=(write,),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(write)
        with os.fdopen(read) as pipe:
            number = pipe.readline().strip()
        if not number:
            raise RuntimeError("Xvfb did not start")
        self.display = ":" + number
        self.manager = self._manager() if managed else None

    def _manager(self) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "DISPLAY": self.display}
        manager = subprocess.Popen(
            ["openbox", "--sm-disable"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 20
        # Only a window manager tells how many desktops there are.
        asks = ["xdotool", "get_num_desktops"]
        while subprocess.run(asks, env=environment, capture_output=True, check=False).returncode:
            if manager.poll() is not None or time.monotonic() > deadline:
                end(manager)
                end(self.process)
                raise RuntimeError("openbox did not start")
            time.sleep(0.05)
        return manager

    def close(self) -> None:
        """Stop it."""
        if self.manager is not None:
            end(self.manager)
        end(self.process)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process, by force where it has to be."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
