"""A client of the engine in 40 lines, with pyzmq and msgpack alone; docs/protocol.md explains it.

python examples/client.py OUTPUT.png    (while `engine serve` runs; on macOS and Windows set COLORIZE_RUNTIME for both)
"""

import json
import os
import sys
import uuid
from pathlib import Path

import msgpack
import zmq
from PIL import Image, ImageChops

here, env = Path(__file__).resolve().parent / "chameleon", os.environ.get
share = Path(env("XDG_DATA_HOME") or Path.home() / ".local/share") / "colorize/run"
default = Path(env("XDG_RUNTIME_DIR", "")) / "colorize" if env("XDG_RUNTIME_DIR") else share
engine = json.loads((Path(env("COLORIZE_RUNTIME") or default) / "engine.json").read_text())

jobs = zmq.Context().socket(zmq.DEALER)
jobs.linger = 0
if engine["server_key"]:  # a tcp address: nothing goes without the keys
    keys = [engine[name].encode() for name in ("server_key", "client_public", "client_secret")]
    jobs.curve_serverkey, jobs.curve_publickey, jobs.curve_secretkey = keys
jobs.connect(engine["jobs"])

modes = {"lineart": ("L", "L8"), "hints": ("RGBA", "RGBA8"), "mask": ("L", "L8")}
pictures = {role: Image.open(here / f"{role}.png").convert(mode) for role, (mode, _) in modes.items()}
width, height = pictures["lineart"].size
buffers = [{"role": role, "width": width, "height": height, "order": order} for role, (_, order) in modes.items()]
body = {"width": width, "height": height, "layers": ["colour"]}
header = {"v": 1, "id": uuid.uuid4().hex, "type": "colorize", "session": "example", "body": body, "buffers": buffers}
jobs.send_multipart([msgpack.packb(header), *(picture.tobytes() for picture in pictures.values())])

while jobs.poll(120_000):
    answer, *pixels = jobs.recv_multipart()
    answer = msgpack.unpackb(answer)
    sys.stdout.write(f"{answer['type']} {answer['body']}\n")
    if answer["type"] in ("error", "cancelled"):
        sys.exit(str(answer["body"].get("message", "cancelled")))
    if answer["type"] == "result":
        colour = Image.frombytes("RGBA", (width, height), pixels[0])
        picture = Image.alpha_composite(Image.new("RGBA", colour.size, "white"), colour).convert("RGB")
        ImageChops.multiply(picture, pictures["lineart"].convert("RGB")).save(sys.argv[1])
        sys.exit(0)
sys.exit("the engine does not answer")
