"""Reads and changes the one line of Krita's settings file that switches the plugin on; every other byte stays."""

from __future__ import annotations

GROUP = b"[python]"
KEY = b"enable_colorize"
RESOURCES = b"ResourceDirectory"
"""In the nameless first group: where the artist moved Krita's resources."""


def is_enabled(text: bytes) -> bool | None:
    """Whether the plugin is switched on; None where the file does not say."""
    values = [_value(line) for line in _lines_of(text, GROUP) if _key(line) == KEY]
    return values[-1].lower() in (b"true", b"1", b"yes", b"on") if values else None


def resource_folder(text: bytes) -> str:
    """Where Krita's resources were moved to; empty when they are at their usual place."""
    values = [_value(line) for line in _lines_of(text, b"") if _key(line) == RESOURCES]
    found = values[-1].decode("utf-8", "replace") if values else ""
    return found.replace("\\\\", "\0").replace("\\s", " ").replace("\0", "\\")


def enable(text: bytes) -> bytes:
    """The file with the plugin switched on."""
    end = b"\r\n" if b"\r\n" in text else b"\n"
    wanted = KEY + b"=true"
    lines, group, header, found = text.splitlines(keepends=True), b"", None, False
    for i, line in enumerate(lines):
        if _is_header(line):
            group = line.strip()
            header = i if group == GROUP and header is None else header
        elif group == GROUP and _key(line) == KEY:
            lines[i], found = wanted + (_ending(line) or end), True
    if found:
        return b"".join(lines)
    if header is None:
        gap = (b"" if not text or _ending(text) else end) + (end if text else b"")
        return text + gap + GROUP + end + wanted + end
    lines[header] = lines[header] if _ending(lines[header]) else lines[header] + end
    lines.insert(header + 1, wanted + end)
    return b"".join(lines)


def forget(text: bytes) -> bytes:
    """The file without a word about the plugin; a group that held nothing else goes too."""
    kept: list[bytes] = []
    header, group, dropped = 0, b"", False

    def close() -> None:
        if dropped and not b"".join(kept[header + 1 :]).strip():
            del kept[header]
            if header and not kept[header - 1].strip():
                del kept[header - 1]

    for line in text.splitlines(keepends=True):
        if _is_header(line):
            close()
            group, header, dropped = line.strip(), len(kept), False
        elif group == GROUP and _key(line) == KEY:
            dropped = True
            continue
        kept.append(line)
    close()
    return b"".join(kept)


def _lines_of(text: bytes, group: bytes) -> list[bytes]:
    found, now = [], b""
    for line in text.splitlines():
        if _is_header(line):
            now = line.strip()
        elif now == group:
            found.append(line)
    return found


def _is_header(line: bytes) -> bool:
    return line.strip().startswith(b"[")


def _key(line: bytes) -> bytes:
    return line.partition(b"=")[0].strip()


def _value(line: bytes) -> bytes:
    return line.partition(b"=")[2].strip()


def _ending(line: bytes) -> bytes:
    return b"\r\n" if line.endswith(b"\r\n") else line[-1:] if line[-1:] in (b"\n", b"\r") else b""
