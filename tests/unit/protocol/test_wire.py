"""Messages: what goes in comes out, and what should not get in does not."""

from __future__ import annotations

import contextlib
import dataclasses
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.protocol import PROTOCOL, Buffer, Message, ProtocolError, decode, digest, encode, sparse
from engine.protocol.events import Event, Mailbox
from engine.protocol.messages import CHANNELS, MAX_BUFFERS, MAX_HEADER, MAX_NAME
from engine.protocol.payload import prepare
from engine.protocol.sparse import BLOCK

ROOT = Path(__file__).resolve().parents[3]

names = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=1, max_size=MAX_NAME)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=50),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


@st.composite
def buffers(draw: st.DrawFn) -> Buffer:
    width, height, order = draw(st.integers(1, 9)), draw(st.integers(1, 9)), draw(st.sampled_from(sorted(CHANNELS)))
    size = width * height * CHANNELS[order]
    pixels = draw(st.binary(min_size=size, max_size=size))
    codec = draw(st.sampled_from(["raw", "zlib", "sparse", "none"]))
    ways = {"raw": pixels, "zlib": zlib.compress(pixels), "sparse": sparse.pack(memoryview(pixels)), "none": None}
    data = ways[codec]
    known = digest(width, height, order, pixels)
    x, y = draw(st.integers(-30000, 30000)), draw(st.integers(-30000, 30000))
    return Buffer(draw(names), width, height, order, x, y, known, codec, data)


messages = st.builds(
    Message, names, st.dictionaries(st.text(max_size=20), plain, max_size=6), names, names | st.just(""),
    names | st.just(""), st.lists(buffers(), max_size=MAX_BUFFERS),
)  # fmt: skip


@given(messages)
def test_a_message_survives_the_wire(message: Message) -> None:
    frames = [bytes(f) for f in encode(message)]
    assert decode(frames) == message
    for b in decode(frames).buffers:
        if b.codec != "none":
            assert digest(b.width, b.height, b.order, b.pixels()) == b.digest


def header(**changes: Any) -> bytes:
    values = {"v": PROTOCOL, "id": "1", "type": "colorize", "body": {}, "buffers": [], **changes}
    return bytes(msgpack.packb({k: v for k, v in values.items() if v != "absent"}))


def described(**changes: Any) -> dict[str, Any]:
    values = {"role": "lineart", "width": 4, "height": 3, "order": "L8", **changes}
    return {k: v for k, v in values.items() if v != "absent"}


def test_the_least_and_the_unknown_are_taken() -> None:
    assert decode([header(parent="absent", session="absent", body="absent", buffers="absent")]).body == {}
    message = decode([header(future={"a": 1}, buffers=[described(dtype="u8", more=1)]), bytes(12)])
    assert message.buffers == [Buffer("lineart", 4, 3, "L8", data=bytes(12))]


NESTED = b"\x91" * 5000 + b"\xc0"
TOO_DEEP = b"\x82\xa2id\xa11\xa1v" + b"\x91" * 900 + b"\xc0"
REFUSED: list[tuple[str, list[bytes], str]] = [
    ("nothing", [], "bad_frames"),
    ("too many frames", [header()] + [b""] * (MAX_BUFFERS + 1), "bad_frames"),
    ("an empty header", [b""], "bad_header"),
    ("no msgpack", [b"\xc1"], "bad_header"),
    ("cut short", [header()[:-3]], "bad_header"),
    ("followed by more", [header() + b"\x01"], "bad_header"),
    ("too long", [header(body={"a": "x" * MAX_HEADER})], "bad_header"),
    ("no map", [msgpack.packb([1])], "bad_header"),
    ("keys that are no text", [msgpack.packb({1: 2})], "bad_header"),
    ("text that is none", [b"\x81\xa2id\xa1\xff"], "bad_header"),
    ("four billion values declared", [b"\xdd\xff\xff\xff\xff"], "bad_header"),
    ("four billion bytes declared", [b"\xc6\xff\xff\xff\xff"], "bad_header"),
    ("nested", [NESTED], "bad_header"),
    ("HTTP", [b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"], "bad_header"),
    ("a pickle", [b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94."], "bad_header"),
    ("no id", [header(id="absent")], "bad_header"),
    ("an empty id", [header(id="")], "bad_header"),
    ("an id of bytes", [header(id=b"1")], "bad_header"),
    ("a long id", [header(id="x" * (MAX_NAME + 1))], "bad_header"),
    ("an id that moves the cursor", [header(id="a\nb\x1b[2J")], "bad_header"),
    ("an old version", [header(v=0)], "bad_version"),
    ("a future version", [header(v=PROTOCOL + 1)], "bad_version"),
    ("no version", [header(v="absent")], "bad_version"),
    ("a version that is true", [header(v=True)], "bad_version"),
    ("a version of text", [header(v="1")], "bad_version"),
    ("a version with a point", [header(v=1.0)], "bad_version"),
    ("a version too deep to print", [TOO_DEEP], "bad_version"),
    ("no type", [header(type="absent")], "bad_header"),
    ("a type that is none", [header(type=7)], "bad_header"),
    ("a parent that is none", [header(parent=[])], "bad_header"),
    ("a session that is none", [header(session={})], "bad_header"),
    ("a body that is none", [header(body=[])], "bad_header"),
    ("buffers that are none", [header(buffers={})], "bad_header"),
    ("too many buffers", [header(buffers=[described()] * (MAX_BUFFERS + 1))], "bad_header"),
    ("a buffer that is none", [header(buffers=[1]), b""], "bad_buffer"),
    ("a missing frame", [header(buffers=[described()])], "bad_frames"),
    ("a frame too many", [header(), b"x"], "bad_frames"),
    ("pixels for a digest", [header(buffers=[described(codec="none", digest="d")]), bytes(12)], "bad_frames"),
    ("neither pixels nor digest", [header(buffers=[described(codec="none")])], "bad_buffer"),
    ("no role", [header(buffers=[described(role="absent")]), bytes(12)], "bad_header"),
    ("a role that is none", [header(buffers=[described(role=3)]), bytes(12)], "bad_header"),
    ("an unknown order", [header(buffers=[described(order="CMYK8")]), bytes(48)], "bad_buffer"),
    ("an unknown codec", [header(buffers=[described(codec="pickle")]), bytes(12)], "bad_buffer"),
    ("too few pixels", [header(buffers=[described()]), bytes(11)], "bad_pixels"),
    ("too many pixels", [header(buffers=[described()]), bytes(13)], "bad_pixels"),
    ("no width", [header(buffers=[described(width="absent")]), b""], "bad_buffer"),
    ("no height left", [header(buffers=[described(height=0)]), b""], "bad_buffer"),
    ("a negative width", [header(buffers=[described(width=-4)]), bytes(12)], "bad_buffer"),
    ("a width of text", [header(buffers=[described(width="4")]), bytes(12)], "bad_buffer"),
    ("a width that is true", [header(buffers=[described(width=True)]), bytes(3)], "bad_buffer"),
    ("a width with a point", [header(buffers=[described(width=4.0)]), bytes(12)], "bad_buffer"),
    ("a width beyond all", [header(buffers=[described(width=2**63)]), b""], "bad_buffer"),
    ("an area beyond all", [header(buffers=[described(width=30000, height=30000)]), b""], "too_large"),
    ("a place beyond all", [header(buffers=[described(x=2**40)]), bytes(12)], "bad_buffer"),
    ("zlib longer than it can be", [header(buffers=[described(codec="zlib")]), bytes(200)], "bad_pixels"),
]


@pytest.mark.parametrize(("frames", "code"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_what_is_no_message_is_refused_by_name(frames: list[bytes], code: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode(frames)
    assert caught.value.code == code
    assert caught.value.message
    assert "\n" not in caught.value.message


def test_a_refusal_names_the_message_and_the_remedy() -> None:
    with pytest.raises(ProtocolError) as caught:
        decode([header(v=2)])
    assert caught.value.parent == "1"
    assert "same release" in caught.value.hint


def only_refused(frames: list[bytes]) -> None:
    """Decode, and unpack all pixels: a message or a refusal, nothing else."""
    try:
        for b in decode(frames).buffers:
            if b.codec != "none":
                assert len(b.pixels()) == b.size
    except ProtocolError as e:
        assert len(e.message) < 500  # noqa: PT017


@given(st.lists(st.binary(max_size=200), max_size=MAX_BUFFERS + 3))
@settings(max_examples=1500)
def test_raw_bytes_do_no_harm(frames: list[bytes]) -> None:
    only_refused(frames)


@given(messages, st.data())
@settings(max_examples=500)
def test_damaged_messages_do_no_harm(message: Message, data: st.DataObject) -> None:
    frames = [bytearray(f) for f in encode(message)]
    for _ in range(data.draw(st.integers(1, 4))):
        frame = data.draw(st.sampled_from(frames))
        at = data.draw(st.integers(0, max(0, len(frame) - 1)))
        what = data.draw(st.sampled_from(["flip", "cut", "drop", "grow", "swap"]))
        if what == "flip" and frame:
            frame[at] ^= data.draw(st.integers(1, 255))
        elif what == "cut":
            del frame[at:]
        elif what == "grow":
            frame[at:at] = data.draw(st.binary(max_size=9))
        elif what == "drop" and len(frames) > 1:
            frames.pop()
        else:
            frames.reverse()
    only_refused([bytes(f) for f in frames])


values = plain | st.sampled_from(
    [0, 1, -1, 2**31, 2**63, True, "raw", "zlib", "sparse", "none", "L8", "RGBA8", "x" * 99, b"b"]
)
fields = st.sampled_from(["v", "id", "parent", "type", "session", "body", "buffers"])
parts = st.sampled_from(["role", "width", "height", "order", "x", "y", "digest", "codec"])


@given(
    st.dictionaries(fields, values),
    st.lists(st.dictionaries(parts, values), max_size=4),
    st.lists(st.binary(max_size=64)),
)
@settings(max_examples=800)
def test_wrong_values_do_no_harm(top: dict[str, Any], parts: list[dict[str, Any]], rest: list[bytes]) -> None:
    only_refused([header(**{"buffers": [{**described(), **p} for p in parts], **top}), *rest])


@pytest.mark.parametrize("declared", [(4, 3), (1000, 1000)])
def test_a_zlib_bomb_unpacks_to_no_more_than_was_declared(declared: tuple[int, int]) -> None:
    bomb = zlib.compress(bytes(200_000_000), 9)
    width, height = declared
    buffer = Buffer("hints", width, height, "RGBA8", codec="zlib", data=bomb)
    tracemalloc.start()
    with pytest.raises(ProtocolError, match="unpacks to another size"):
        buffer.pixels()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * buffer.size + 1_000_000


def test_a_huge_declared_size_costs_nothing() -> None:
    tracemalloc.start()
    described_buffers = [described(width=10000, height=12000, order="RGBA8", codec="zlib")] * MAX_BUFFERS
    message = decode([header(buffers=described_buffers), *[zlib.compress(b"few")] * MAX_BUFFERS])
    for b in message.buffers:
        with pytest.raises(ProtocolError):
            b.pixels()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


@pytest.mark.parametrize(
    "data", [zlib.compress(bytes(12))[:-1], zlib.compress(bytes(12)) + b"x", zlib.compress(bytes(11)), b"", b"junk"]
)
def test_damaged_zlib_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        Buffer("mask", 4, 3, "L8", codec="zlib", data=data).pixels()
    assert caught.value.code == "bad_pixels"


def test_all_layers_of_eight_variations_fit_into_a_message() -> None:
    layers = [
        Buffer(name, 2, 1, "RGBA8", data=bytes([n] * 8)) for n in range(8) for name in ("flats", "shading", "colour")
    ]
    came = decode(encode(Message("result", {"seeds": [2**63 - 1 - n for n in range(8)]}, buffers=layers)))
    assert [(b.role, bytes(b.pixels())) for b in came.buffers] == [(b.role, b.data) for b in layers]


def test_of_previews_that_wait_the_newest_of_each_variation_is_kept() -> None:
    mailbox = Mailbox()

    def preview(variation: Any, step: int, job: str = "job") -> None:
        seen = Buffer("colour", 1, 1, "L8", data=b"0")
        mailbox.put(Event("preview", job, Message("preview", {"variation": variation, "step": step}, buffers=[seen])))

    for step in range(3):
        for variation in range(8):
            preview(variation, step)
    assert [e.message.body for e in mailbox.take()] == [{"variation": v, "step": 2} for v in range(8)]
    # What makes no sense counts as the first.
    for number, wrong in enumerate((None, -1, 8, "1", [1], {})):
        preview(wrong, number)
    assert [e.message.body["step"] for e in mailbox.take()] == [5]
    preview(0, 0)
    preview(7, 0)
    preview(7, 0, "another")
    mailbox.discard("job")
    assert [e.id for e in mailbox.take()] == ["another"]
    mailbox.close()


@pytest.mark.parametrize(
    "message",
    [
        Message("m", {"a": object()}),
        Message("m", {"a": 2**70}),
        Message("m", {"a": "x" * MAX_HEADER}),
        Message("m", buffers=[Buffer("lineart", 1, 1, "L8")]),
        Message("m", buffers=[Buffer("lineart", 1, 1, "L8", data=b"0")] * (MAX_BUFFERS + 1)),
    ],
)
def test_what_the_other_side_would_refuse_is_not_sent(message: Message) -> None:
    with pytest.raises(ProtocolError):
        encode(message)


@given(
    st.integers(0, 40 * BLOCK),
    st.lists(st.tuples(st.integers(0, 40 * BLOCK), st.binary(min_size=1, max_size=2000)), max_size=6),
)
def test_sparse_pixels_come_back_as_they_were(length: int, strokes: list[tuple[int, bytes]]) -> None:
    pixels = bytearray(length)
    for at, stroke in strokes:
        pixels[at : at + len(stroke)] = stroke
    del pixels[length:]
    packed = sparse.pack(memoryview(bytes(pixels)))
    assert sparse.unpack(packed, length) == pixels
    assert len(packed) <= sparse.longest(length)


@given(st.binary(max_size=200), st.integers(1, 20 * BLOCK))
def test_no_sparse_stream_breaks_the_unpacker(raw: bytes, size: int) -> None:
    for packed in (raw, zlib.compress(raw)):
        with contextlib.suppress(ValueError):
            assert len(sparse.unpack(packed, size)) == size


def test_damaged_sparse_pixels_are_refused() -> None:
    pixels = bytes(2 * BLOCK) + b"x" * BLOCK + bytes(BLOCK)
    good = sparse.pack(memoryview(pixels))
    more = zlib.compress(b"\x04" + b"x" * 2 * BLOCK)
    fewer = zlib.compress(b"\x0c" + b"x" * BLOCK)
    bomb = zlib.compress(b"\x0f" + bytes(10_000_000))
    for data in (good[:-1], good + b"x", b"", b"junk", more, fewer, bomb):
        with pytest.raises(ProtocolError) as caught:
            Buffer("mask", 512, 4, "L8", codec="sparse", data=data).pixels()
        assert caught.value.code == "bad_pixels"
    assert Buffer("mask", 512, 4, "L8", codec="sparse", data=good).pixels() == pixels


def test_preparing_leaves_the_original_and_keeps_the_content() -> None:
    pixels = bytes(16384) + bytes(range(256)) * 16 + bytes(3 * 16384 - 4096)
    hints = Buffer("hints", 128, 128, "RGBA8", data=pixels)
    ready = prepare(hints)
    assert hints.codec == "raw"
    assert ready.codec == "sparse"
    assert ready.pixels() == pixels
    assert ready.digest == digest(128, 128, "RGBA8", pixels)
    assert prepare(ready) == ready
    assert prepare(dataclasses.replace(ready, digest="")).digest == ready.digest
    assert prepare(Buffer("lineart", 128, 128, "RGBA8", data=pixels)).codec == "raw"
    # As numpy gives it: several dimensions, one piece.
    assert prepare(Buffer("lineart", 128, 128, "RGBA8", data=memoryview(pixels).cast("B", [128, 128, 4]))).size == 65536
    with pytest.raises(ProtocolError):
        prepare(Buffer("lineart", 64, 128, "RGBA8", data=memoryview(pixels)[::2]))


def test_the_package_stands_alone(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "protocol").symlink_to(ROOT / "engine" / "protocol")
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import protocol; protocol.Client(sys.argv[1] + '/none').close();"
        "print(sorted({m.split('.')[0] for m in sys.modules} & {'engine', 'torch', 'numpy', 'asyncio', 'cv2'}))"
    )
    command = [sys.executable, "-I", "-c", script, str(tmp_path / "bundle")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "[]", "")
