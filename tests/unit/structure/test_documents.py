"""What the Markdown files name is there: pages they link to, files, modules of commands, options."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from engine.cli.main import main

ROOT = Path(__file__).resolve().parents[3]
FOLDERS = ("benchmarks", "docs", "engine", "examples", "installer", "krita_plugin", "tests", "training")
PAGES = sorted([*ROOT.glob("*.md"), *(p for folder in FOLDERS for p in (ROOT / folder).rglob("*.md"))])
NAMES = {p.name for folder in FOLDERS for p in (ROOT / folder).rglob("*.*")}
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
ADDRESS = re.compile(r"https?://\S+")
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
PLACE = re.compile(rf"(?<![\w./~$%<*-])(?:{'|'.join(FOLDERS)})/[\w./-]*[\w/]")
"""A path that begins with a folder of the repository."""
SCRIPT = re.compile(r"(?<![\w./~$%<*-])[\w-]+(?:/[\w-]+)*\.(?:py|sh)\b")
"""Any other file of code, by its path or its bare name."""
MODULE = re.compile(r"-m ((?:benchmarks|engine|installer|training)(?:\.\w+)*)")


def titled(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def anchors(page: Path) -> set[str]:
    """The fragments that a page's headings can be reached by."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def named_files(page: Path) -> Iterator[str]:
    """Files and folders of the repository that a page speaks of in code."""
    for code in CODE.findall(ADDRESS.sub("", page.read_text(encoding="utf-8"))):
        yield from PLACE.findall(code)
        yield from SCRIPT.findall(code)


@pytest.mark.parametrize("page", PAGES, ids=titled)
def test_links_lead_to_a_file_and_a_heading_that_exist(page: Path) -> None:
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if ADDRESS.match(link):
            continue
        place, _, fragment = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        assert target.exists(), link
        assert not fragment or fragment in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=titled)
def test_files_of_the_repository_are_named_as_they_are(page: Path) -> None:
    wrong = [n for n in named_files(page) if not (ROOT / n).exists() and ("/" in n or n not in NAMES)]
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=titled)
def test_modules_of_commands_can_be_found(page: Path) -> None:
    for name in set(MODULE.findall(page.read_text(encoding="utf-8"))):
        assert importlib.util.find_spec(name) is not None, name


@pytest.mark.parametrize("command", ["colorize", "batch"])
def test_the_page_on_usage_has_every_option(command: str) -> None:
    page = (ROOT / "docs" / "usage.md").read_text(encoding="utf-8")
    part = page.partition(f"`engine {command}`")[2].partition("\n## ")[0]
    options = [o for p in main.commands[command].params if isinstance(p, click.Option) for o in p.opts]
    assert [o for o in options if f"`{o}`" not in part] == []


def test_the_readme_stays_short() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 90
    assert max(map(len, lines)) <= 120
