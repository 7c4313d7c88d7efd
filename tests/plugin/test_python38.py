"""The plugin and the wire code must run in Krita's oldest Python, 3.8, which the machine of the tests need not have."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted([*(ROOT / "krita_plugin/colorize").rglob("*.py"), *(ROOT / "engine/protocol").rglob("*.py")])
NEWER = {"removeprefix", "removesuffix", "is_relative_to", "with_stem", "readlink", "hardlink_to", "pairwise", "cache"}
"""Methods and functions of the standard library that Python 3.8 has not."""


def _annotations(tree: ast.AST) -> set[int]:
    """Nodes that are part of an annotation, which is not evaluated."""
    found: set[int] = set()
    for node in ast.walk(tree):
        roots: list[ast.AST | None] = []
        if isinstance(node, ast.arg | ast.AnnAssign):
            roots.append(node.annotation)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            roots.append(node.returns)
        found.update(id(inner) for root in roots if root is not None for inner in ast.walk(root))
    return found


def _imported_types(tree: ast.AST) -> set[str]:
    """Names that take no ``[...]`` in Python 3.8."""
    names = {"dict", "list", "tuple", "set", "frozenset", "type"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in ("collections", "collections.abc", "queue", "os", "re"):
            names.update(alias.asname or alias.name for alias in node.names)
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_nothing_newer_than_python_3_8_is_used(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 8))
    future = any(isinstance(n, ast.ImportFrom) and n.module == "__future__" for n in tree.body)
    annotations, types = _annotations(tree), _imported_types(tree)
    assert future or not annotations, "annotations would be evaluated"
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and id(node) not in annotations and isinstance(node.value, ast.Name):
            assert node.value.id not in types, f"line {node.lineno}: {node.value.id}[...] is evaluated"
        if isinstance(node, ast.Attribute):
            assert node.attr not in NEWER, f"line {node.lineno}: {node.attr} is newer"
        if isinstance(node, ast.Call):
            names = {keyword.arg for keyword in node.keywords}
            called = getattr(node.func, "id", "")
            assert not (called == "zip" and "strict" in names), f"line {node.lineno}: zip has no strict"
            assert not (called == "dataclass" and names & {"slots", "kw_only"}), f"line {node.lineno}: dataclass"
