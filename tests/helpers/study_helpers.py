"""A study of made-up pictures, its server as a process of its own, and a rater who speaks plain HTTP to it."""

from __future__ import annotations

import http.client
import re
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

COMMAND = [sys.executable, "-c", "from training.study.command import study; study()"]
SECRETS = {"zhangish": (200, 60, 60), "painterly": (60, 160, 60), "stencilish": (60, 60, 200)}
"""Names of methods that must not reach a rater, and the colour of their pictures."""
DRAWINGS = ["witchhat", "lighthouse", "foxglove"]


def write_art(folder: Path, methods: dict[str, tuple[int, int, int]] = SECRETS) -> list[str]:
    """Write pictures for each method, their names also inside the files; METHOD=DIR of each."""
    rng = np.random.default_rng(0)
    for name in DRAWINGS:
        grain = rng.integers(0, 40, (40, 60, 1))
        for method, colour in methods.items():
            info = PngInfo()
            info.add_text("Software", method)
            (folder / method).mkdir(parents=True, exist_ok=True)
            pixels = (grain + np.array(colour)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / method / f"{name}.png", pnginfo=info)
    return [f"{method}={folder / method}" for method in methods]


class Server:
    """``training study serve`` in a process of its own."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        command = [*COMMAND, "serve", str(folder), "--port", str(port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], 30)
        line = self.process.stdout.readline() if ready else ""
        found = re.search(r"http://\S+/", line)
        if found is None:
            self.process.kill()
            raise AssertionError(self.process.communicate()[1])
        self.address = found[0]
        self.port = urlsplit(self.address).port or 0

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.communicate()

    def stop(self) -> tuple[int, str]:
        """Ask it to end; exit code and what it said on stderr."""
        self.process.terminate()
        _, told = self.process.communicate(timeout=60)
        return self.process.returncode, told


@contextmanager
def serving(folder: Path, port: int = 0) -> Iterator[Server]:
    server = Server(folder, port)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.kill()


class Rater:
    """Answers a study by HTTP, and keeps all that it was sent."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        assert parts.hostname is not None
        self.host, self.port, self.root = parts.hostname, parts.port, parts.path
        self.seen: list[bytes] = []
        self.place = ""

    def ask(self, method: str, path: str, body: str | None = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Send one request; status, headers and body of the answer."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        given = {"Content-Type": "application/x-www-form-urlencoded"} if body is not None else {}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, given)
        response = connection.getresponse()
        data = response.read()
        connection.close()
        fields = dict(response.getheaders())
        self.seen += [path.encode(), repr(fields).encode(), data]
        return response.status, fields, data

    def post(self, path: str, **form: str) -> str:
        """Send a form; the place it leads to."""
        status, fields, _ = self.ask("POST", path, urlencode(form))
        assert status == 303, status
        return fields["Location"]

    def begin(self, language: str = "en") -> str:
        """Start; the code."""
        self.place = self.post(f"{self.root}{language}/begin")
        return self.place.split("/")[-2]

    def page(self) -> str:
        """The page where the rater stands."""
        for _ in range(3):
            status, fields, data = self.ask("GET", self.place)
            if status != 303:
                return data.decode()
            self.place = fields["Location"]
        raise AssertionError(self.place)

    def answer(self, value: int) -> None:
        """Answer what is shown."""
        self.page()
        self.place = self.post(self.place, value=str(value))
