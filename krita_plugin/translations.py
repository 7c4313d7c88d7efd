"""Takes all texts of the plugin into its .ts files; for developers, not a part of the installed plugin."""

from __future__ import annotations

import ast
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

PLUGIN = Path(__file__).resolve().parent / "colorize"
sys.path.append(str(PLUGIN.parent.parent))

from engine.protocol.settings import SETTINGS  # noqa: E402 (run as a program, only the folder of this file is on the path)


class _Texts(ast.NodeVisitor):
    def __init__(self, file: Path) -> None:
        self.file = file
        self.found: list[str] = []

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if node.name != "_tr":  # it only hands its text on to tr()
            self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name) and node.func.id in ("tr", "_tr"):
            text = node.args[0]
            if not isinstance(text, ast.Constant) or not isinstance(text.value, str):
                sys.exit(f"{self.file}:{node.lineno}: tr() takes one literal text, so that it can be translated")
            self.found.append(text.value)
        self.generic_visit(node)


def literals(folder: Path = PLUGIN) -> list[str]:
    """Every text given to tr() in the modules of a folder, once, in the order of the files."""
    found: dict[str, None] = {}
    for file in sorted(folder.rglob("*.py")):
        texts = _Texts(file)
        texts.visit(ast.parse(file.read_text(encoding="utf-8")))
        found.update(dict.fromkeys(texts.found))
    return list(found)


def texts() -> list[str]:
    """Every text that is to be translated, once: those given to tr(), and those of the settings of a job."""
    settings = [text for setting in SETTINGS.values() for text in setting.texts()]
    return list(dict.fromkeys([*literals(), *settings]))


def translations(file: Path) -> dict[str, str]:
    """The finished texts of a .ts file by source."""
    finished = {}
    for message in ET.parse(file).getroot().iter("message"):  # noqa: S314 (our own file)
        translation = message.find("translation")
        if translation is not None and translation.get("type") is None and translation.text:
            finished[message.findtext("source", "")] = translation.text
    return finished


def update(file: Path, wanted: list[str]) -> list[str]:
    """Write a .ts file with these texts, keep its translations, and return the texts that have none."""
    known = translations(file) if file.is_file() else {}
    root = ET.Element("TS", version="2.1", language=file.stem.split("_")[-1], sourcelanguage="en")
    context = ET.SubElement(root, "context")
    ET.SubElement(context, "name").text = "Colorize"
    for text in wanted:
        message = ET.SubElement(context, "message")
        ET.SubElement(message, "source").text = text
        translation = ET.SubElement(message, "translation")
        translation.text = known.get(text)
        if text not in known:
            translation.set("type", "unfinished")
    ET.indent(root, "    ")
    head = '<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE TS>\n'
    file.write_text(head + ET.tostring(root, encoding="unicode") + "\n", encoding="utf-8")
    return [text for text in wanted if text not in known]


def main() -> int:
    """Update every .ts and list what is to be translated."""
    missing = 0
    for file in sorted((PLUGIN / "translations").glob("*.ts")):
        for text in update(file, texts()):
            missing += 1
            print(f"{file.name}: to be translated: {text!r}")  # noqa: T201
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
