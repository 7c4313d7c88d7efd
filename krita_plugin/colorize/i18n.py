"""Texts in the artist's language: `tr` for every text for people, `install` for the language.

After a change of texts run in the root of the repository (lrelease is in Debian's qttools5-dev-tools):

    python krita_plugin/translations.py
    lrelease krita_plugin/colorize/translations/colorize_fr.ts

The first takes every tr("literal") and the texts of the settings of a job into the .ts, where new texts wait for a
translation; the second compiles it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .qt import QtCore

CONTEXT = "Colorize"
FOLDER = Path(__file__).resolve().parent / "translations"
# Qt keeps no reference to a translator, and installs none twice.
_installed: list[Any] = []


def tr(text: str) -> str:
    """The text in the language of `install`, else as it is."""
    return translated(text)


def translated(text: str) -> str:
    """As `tr`, for a text that stands in the table of settings, from where the .ts has it too."""
    return str(QtCore.QCoreApplication.translate(CONTEXT, text))


def install(language: str = "") -> bool:
    """Show the texts of widgets made from now on in this language; false where they stay English.

    Args:
        language: such as "fr" or "fr_CA"; empty = the language that the program runs in.
    """
    while _installed:
        QtCore.QCoreApplication.removeTranslator(_installed.pop())
    name = language or QtCore.QLocale().name()
    file = FOLDER / ("colorize_" + name.replace("-", "_").split("_")[0].lower() + ".qm")
    translator = QtCore.QTranslator()
    if not file.is_file() or not translator.load(str(file)):
        return False
    _installed.append(translator)
    return bool(QtCore.QCoreApplication.installTranslator(translator))
