"""Switching the plugin on and off in Krita's settings file without touching anything else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from installer import kritarc

KEYS = st.sampled_from(
    ["enable_plugin_importer=true", "recentFiles=a[b]=c", "# [python]", "", "name=Zoë", "x", "  y = 1 "]
)
GROUPS = st.sampled_from(["[python]", "[General]", "[python][more]", "[colorize]", "[theme]"])
SECTIONS = st.lists(st.tuples(GROUPS, st.lists(KEYS, max_size=4)), max_size=5)
SWITCHES = st.sampled_from(["enable_colorize=true", "enable_colorize=false", " enable_colorize = false"])


@st.composite
def settings(draw: st.DrawFn, *, switched: bool | None = None) -> bytes:
    """A file of Krita's settings; Krita itself writes no group that holds nothing."""
    lines = draw(st.lists(KEYS, max_size=3))
    for group, keys in draw(SECTIONS):
        lines += [group, "kept=1", *keys]
        if group == "[python]" and (switched or (switched is None and draw(st.booleans()))):
            lines.insert(len(lines) - draw(st.integers(0, len(keys))), draw(SWITCHES))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    return "".join(line + end for line in lines).encode()


def others(text: bytes) -> list[bytes]:
    """The lines that are not about the plugin."""
    return [line for line in text.splitlines(keepends=True) if not line.strip().startswith(b"enable_colorize")]


@given(settings())
def test_an_enabled_plugin_is_enabled_and_enabling_again_changes_nothing(text: bytes) -> None:
    once = kritarc.enable(text)
    assert kritarc.is_enabled(once)
    assert kritarc.enable(once) == once


@given(settings())
def test_enabling_keeps_every_other_byte(text: bytes) -> None:
    after = b"".join(others(kritarc.enable(text)))
    before = b"".join(others(text))
    assert after.startswith(before)
    assert after[len(before) :].strip() in (b"", b"[python]")


@given(settings(switched=False))
def test_forgetting_undoes_enabling(text: bytes) -> None:
    assert kritarc.forget(kritarc.enable(text)) == text


@given(settings())
def test_a_forgotten_plugin_leaves_no_word(text: bytes) -> None:
    after = kritarc.forget(text)
    assert kritarc.is_enabled(after) is None
    assert others(after) == others(text)
    assert kritarc.forget(after) == after


@given(st.binary(max_size=200))
def test_any_file_at_all_can_be_enabled(text: bytes) -> None:
    after = kritarc.enable(text)
    assert kritarc.is_enabled(after)
    assert kritarc.is_enabled(kritarc.forget(after)) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"", None),
        (b"[python]\nenable_colorize=true\n", True),
        (b"[python]\nenable_colorize=false\n", False),
        (b"enable_colorize=true\n[General]\nenable_colorize=true\n", None),
        (b"[python]\nenable_colorize=true\n[x]\n[python]\nenable_colorize=false\n", False),
        (b"[python]\r\nenable_colorize=true", True),
    ],
)
def test_krita_counts_the_last_word_of_the_group_python(text: bytes, found: bool | None) -> None:
    assert kritarc.is_enabled(text) is found


def test_a_last_line_without_an_end_stays_a_line_of_its_own() -> None:
    assert kritarc.enable(b"[python]") == b"[python]\nenable_colorize=true\n"
    assert kritarc.enable(b"a=1") == b"a=1\n\n[python]\nenable_colorize=true\n"


def test_the_moved_resource_folder_is_read_from_the_first_lines_only() -> None:
    assert kritarc.resource_folder(b"a=1\nResourceDirectory=D:\\\\My\\sArt\n[python]\n") == "D:\\My Art"
    assert kritarc.resource_folder(b"[General]\nResourceDirectory=/elsewhere\n") == ""
