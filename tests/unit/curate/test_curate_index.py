"""Finding near hashes among many, drawing the split, reading lists and licences."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import ColorizeError
from training.curate.credit import fields, read_note, spdx
from training.curate.duplicates import HashIndex, distance
from training.curate.lists import FileList, read_lists
from training.curate.options import Options
from training.curate.split import slug, split_of, stem_of, unit_of


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.integers(0, 11), st.lists(st.integers(1, 90), min_size=1, max_size=5))
def test_the_index_finds_exactly_what_comparing_all_pairs_finds(seed: int, bits: int, parts: list[int]) -> None:
    rng = np.random.default_rng(seed)
    # Few bits differ between these, so that many are near one another.
    base = rng.integers(0, 2**63, 8, dtype=np.uint64)
    flips = np.bitwise_or.reduce(np.uint64(1) << rng.integers(0, 64, (sum(parts), 6), dtype=np.uint64), axis=1)
    hashes = base[rng.integers(0, 8, sum(parts))] ^ flips
    index, start = HashIndex(), 0
    for n in parts:
        index.add(hashes[start : start + n], np.arange(start, start + n) + 1000)
        start += n
    wanted = hashes[::3] ^ np.uint64(5)
    expected = [
        (i, j + 1000) for i, w in enumerate(wanted) for j, h in enumerate(hashes) if int(w ^ h).bit_count() <= bits
    ]
    assert index.near(wanted, bits) == expected


def test_an_empty_index_knows_nothing_and_distance_counts_bits() -> None:
    assert HashIndex().near(np.array([1, 2], np.uint64), 5) == []
    assert distance(np.array([0, 2**64 - 1], np.uint64), np.array([7, 0], np.uint64)).tolist() == [3, 64]


units = st.lists(st.text(min_size=1, max_size=12), unique=True, max_size=40)


@given(units, units, st.floats(0, 1), st.floats(0, 1), st.text(max_size=3))
def test_neither_other_artists_nor_a_larger_share_move_one_from_test_to_training(
    some: list[str], more: list[str], low: float, high: float, seed: str
) -> None:
    low, high = sorted((low, high))
    a, b = (Options(test_share=s, split_seed=seed) for s in (low, high))
    before = {u: split_of(u, "", a) for u in some}
    assert {u: split_of(u, "", a) for u in more + some if u in before} == before
    assert all(split_of(u, "", b) == "test" for u, s in before.items() if s == "test")


def test_the_share_of_test_artists_is_about_what_was_asked() -> None:
    options = Options(test_share=0.2)
    assert 0.17 < np.mean([split_of(f"artist {i}", "", options) == "test" for i in range(3000)]) < 0.23


def test_a_stated_split_is_kept_unless_it_is_to_be_drawn_again() -> None:
    assert split_of("anna", "test", Options(test_share=0)) == "test"
    assert split_of("anna", "test", Options(test_share=0, redraw_split=True)) == "train"


def test_artists_are_one_however_they_are_written_and_folders_stand_in_for_names() -> None:
    artist, work = Options(), Options(split_by="work")
    assert unit_of({"author": "Anna  Ñ"}, "x/a.png", "src", artist) == unit_of(
        {"author": "ANNA Ñ"}, "b.png", "s", artist
    )
    assert unit_of({}, "Bo/cats/a.png", "src", artist) == "bo"
    assert unit_of({}, "Bo/cats/a.png", "src", work) == "bo/cats"
    assert unit_of({"work": "Nine Lives"}, "Bo/a.png", "src", work) == "nine lives"
    assert unit_of({}, "a.png", "Src", artist) == unit_of({}, "a.png", "Src", work) == "src"


@given(st.text(max_size=80), st.text(max_size=80), st.sampled_from(["train", "test"]))
def test_names_in_the_set_are_safe_on_any_file_system(path: str, unit: str, split: str) -> None:
    first, folder, name = stem_of(path, "0" * 64, unit, split).split("/")
    assert first == split
    for part in (folder, name):
        assert part
        assert len(part.encode()) < 250
        assert not set(part) & set('<>:"/\\|?*.\0\n ')
    assert slug("con", 9) == "con_"


def test_lists_hold_names_paths_globs_digests_authors_and_licences(tmp_path: Path) -> None:
    digest = "ab" * 32
    file = tmp_path / "deny.txt"
    file.write_text(f"# mine\n\nsketch.png\nold/*\n*.tmp.png\nsha256:{digest.upper()}\nauthor:bo *\nlicence:*-NC-*\n")
    deny = read_lists((file,))
    assert deny.find("a/b/sketch.png", None, "", "") == "sketch.png"
    assert deny.find("old/deep/x.png", None, "", "") == "old/*"
    assert deny.find("x/a.tmp.png", None, "", "") == "*.tmp.png"
    assert deny.find("x.png", digest, "", "") == f"sha256:{digest.upper()}"
    assert deny.find("x.png", None, "Bo Diaz", "") == "author:bo *"
    assert deny.find("x.png", None, "", "CC-BY-NC-4.0") == "licence:*-NC-*"
    assert deny.find("x/old/y.png", None, "Bob", "CC-BY-4.0") is None
    assert FileList([]).find("x.png", None, "", "") is None
    file.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(ColorizeError, match="cannot be read"):
        read_lists((file,))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CC-BY-SA-4.0", "CC-BY-SA-4.0"),
        ("cc by 3.0", "CC-BY-3.0"),
        ("Creative Commons Attribution-NonCommercial-ShareAlike 4.0 International", "CC-BY-NC-SA-4.0"),
        ("https://creativecommons.org/licenses/by-nd/2.0/", "CC-BY-ND-2.0"),
        ("CC0 1.0 Universal\n\nStatement of Purpose", "CC0-1.0"),
        ("Public Domain", "LicenseRef-PublicDomain"),
        ("MIT License\n\nPermission is hereby granted, free of charge, to any person", "MIT"),
        ("Apache License\nVersion 2.0, January 2004", "Apache-2.0"),
        ("GNU GENERAL PUBLIC LICENSE\nVersion 3, 29 June 2007", "GPL-3.0-or-later"),
        ("// SPDX-License-Identifier: OFL-1.1", "OFL-1.1"),
        ("MIT OR Apache-2.0", "MIT OR Apache-2.0"),
        ("Ask Bo first", "LicenseRef-ask-bo-first"),
        ("All rights reserved.", ""),
        ("unknown", ""),
        ("", ""),
    ],
)
def test_licences_are_known_by_what_people_call_them(text: str, expected: str) -> None:
    assert spdx(text) == expected


@settings(max_examples=30)
@given(st.dictionaries(st.text(max_size=8), st.recursive(st.none() | st.text(max_size=9) | st.integers(), st.lists)))
def test_any_json_sidecar_gives_fields_that_are_text(given_: dict[str, object]) -> None:
    assert all(isinstance(v, str) and v for v in fields(given_ | {"artist": given_}).values())


def test_sidecars_are_json_of_any_tool_or_lines_of_text(tmp_path: Path) -> None:
    note = tmp_path / "a.json"
    note.write_text(json.dumps({"artist": {"name": "Bo"}, "License": "cc-by 4.0", "series": ["Nine", "Lives"]}))
    assert read_note(note) == {"author": "Bo", "licence": "CC-BY-4.0", "work": "Nine, Lives"}
    note = tmp_path / "a.txt"
    note.write_text("1girl, red hat\nAuthor: Ann\nLicence: CC0\nsplit: heldout\n")
    assert read_note(note) == {"author": "Ann", "licence": "CC0-1.0", "given": "test"}
    (tmp_path / "b.json").write_text("[1, 2]")
    assert read_note(tmp_path / "b.json") == {}
    (tmp_path / "c.json").write_text("{")
    with pytest.raises(ValueError, match="Expecting"):
        read_note(tmp_path / "c.json")
