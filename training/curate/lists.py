"""The user's own allow and deny lists: names, globs, SHA-256 digests, authors, licences."""

from __future__ import annotations

import re
from fnmatch import translate
from pathlib import Path

from engine.errors import ColorizeError

_DIGEST = re.compile(r"(?:sha256:)?([0-9a-fA-F]{64})")
_FIELDS = ("author", "licence")


class FileList:
    """Entries of list files, one a line; empty lines and what follows ``# `` at a line's beginning do not count.

    An entry is a file's name or its path in the source, either with ``*``, ``?`` and ``[...]``; a SHA-256 digest;
    ``author:GLOB`` or ``licence:GLOB``. An entry with a slash is compared with the path, one without with the name.
    Millions of plain names and digests are as quick as one.
    """

    def __init__(self, entries: list[str]) -> None:
        """Args: the entries."""
        self._exact: dict[str, str] = {}
        self._globs: dict[str, list[tuple[re.Pattern[str], str]]] = {k: [] for k in ("name", "path", *_FIELDS)}
        for entry in entries:
            field, _, glob = entry.partition(":")
            if found := _DIGEST.fullmatch(entry):
                self._exact[found[1].lower()] = entry
            elif field in _FIELDS and glob.strip():
                self._globs[field].append((re.compile(translate(glob.strip().casefold())), entry))
            elif any(c in entry for c in "*?["):
                self._globs["path" if "/" in entry else "name"].append((re.compile(translate(entry)), entry))
            else:
                self._exact[entry.removeprefix("./")] = entry

    def find(self, path: str, sha: str | None, author: str, licence: str) -> str | None:
        """The entry that a file matches, if any: by its path in the source with slashes, digest, author or licence."""
        name = path.rpartition("/")[2]
        for key in (path, name, sha):
            if key in self._exact:
                return self._exact[key]
        asked = {"path": path, "name": name, "author": author.casefold(), "licence": licence.casefold()}
        return next((e for key, globs in self._globs.items() for glob, e in globs if glob.match(asked[key])), None)


def read_lists(files: tuple[Path, ...]) -> FileList:
    """Read list files.

    Raises:
        ColorizeError: one cannot be read.
    """
    entries: list[str] = []
    for file in files:
        try:
            text = file.read_text(encoding="utf-8-sig")
        except (OSError, ValueError) as e:
            raise ColorizeError(f"the list {file} cannot be read: {e}", "save it as plain UTF-8 text") from e
        entries += [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return FileList(entries)
