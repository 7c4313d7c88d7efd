"""Every text for the artist has a finished French one, and the compiled file that is shipped says the same."""

from __future__ import annotations

import importlib.util
import re
import string
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "krita_plugin" / "colorize" / "translations"
HOW = "run the two commands at the top of krita_plugin/colorize/i18n.py"


@pytest.fixture(scope="module")
def tool() -> Any:
    spec = importlib.util.spec_from_file_location("plugin_translations", ROOT / "krita_plugin" / "translations.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def french(tool: Any) -> dict[str, str]:
    texts: dict[str, str] = tool.translations(FOLDER / "colorize_fr.ts")
    return texts


def test_every_text_of_the_plugin_has_a_finished_french_one(tool: Any, french: dict[str, str]) -> None:
    missing = [text for text in tool.texts() if text not in french]
    assert not missing, f"{HOW}, and translate these: {missing}"


def test_no_french_text_is_left_over(tool: Any, french: dict[str, str]) -> None:
    left = sorted(set(french) - set(tool.texts()))
    assert not left, f"{HOW}: {left}"


def test_the_compiled_file_says_what_its_source_says(app: Any, french: dict[str, str]) -> None:  # noqa: ARG001
    from colorize.qt import QtCore

    translator = QtCore.QTranslator()
    assert translator.load(str(FOLDER / "colorize_fr.qm"))
    old = [text for text, said in french.items() if translator.translate("Colorize", text) != said]
    assert not old, f"{HOW}: {old}"


def test_french_texts_have_the_same_blanks_and_at_most_one_mnemonic(french: dict[str, str]) -> None:
    for text, said in french.items():
        fields = [sorted(str(f[1]) for f in string.Formatter().parse(t) if f[1] is not None) for t in (text, said)]
        assert fields[0] == fields[1], text
        assert text.count("&") == said.count("&") <= 1, text
        assert text.endswith("...") == said.endswith("..."), text
        assert text[:1].isspace() == said[:1].isspace(), text


def test_french_addresses_people_as_vous(french: dict[str, str]) -> None:
    familiar = {"tu", "te", "ton", "ta", "tes", "toi"}
    for said in french.values():
        assert not familiar & set(said.lower().replace("’", " ").replace(".", " ").split()), said


def test_the_language_can_be_chosen_and_left_again(app: Any) -> None:  # noqa: ARG001
    from colorize import i18n

    try:
        assert i18n.install("fr_CA")
        assert i18n.tr("Hints") == "Touches"
        assert not i18n.install("xx")
        assert i18n.tr("Hints") == "Hints"
    finally:
        i18n.install("en")


def test_a_text_that_is_no_literal_is_refused(tool: Any, tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("tr(name)\n", encoding="utf-8")
    with pytest.raises(SystemExit, match=r"module\.py:1: tr\(\) takes one literal"):
        tool.literals(tmp_path)


def test_an_update_keeps_translations_takes_new_texts_and_drops_old_ones(tool: Any, tmp_path: Path) -> None:
    file = tmp_path / "colorize_fr.ts"
    assert tool.update(file, ["Mask", "Old & <new>"]) == ["Mask", "Old & <new>"]
    file.write_text(
        file.read_text(encoding="utf-8").replace(
            '<translation type="unfinished" />', "<translation>x</translation>", 1
        ),
        encoding="utf-8",
    )
    assert tool.update(file, ["Mask", "Hints"]) == ["Hints"]
    assert tool.translations(file) == {"Mask": "x"}


@pytest.mark.parametrize("tag", ["b", "i"])
def test_both_manuals_call_things_as_the_docker_does(tool: Any, french: dict[str, str], tag: str) -> None:
    pages = [(FOLDER.parent / name).read_text(encoding="utf-8") for name in ("manual.html", "manual_fr.html")]
    skeletons = [re.findall(r"<(?:h\d|p|li|td|th|b|i|img src=\S+)", page.split("<body>")[1]) for page in pages]
    assert skeletons[0] == skeletons[1]
    # The button is what the manual means by "Colorize" in bold, not the product.
    texts = sorted(tool.texts(), key=lambda text: "&" in text)
    said = {text.replace("&", ""): french[text].replace("&", "") for text in texts}
    layers = {"Hints", "Mask", "Colouring", "Colorize"} if tag == "i" else set()  # they keep their English names
    pairs = list(zip(*(re.findall(rf"<{tag}>([^<]*)</{tag}>", page) for page in pages), strict=True))
    checked = [(there, said[here]) for here, there in pairs if here in said and here not in layers]
    assert len(checked) > 3
    assert [there for there, _ in checked] == [wanted for _, wanted in checked]
