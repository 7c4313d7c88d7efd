"""Loads what the plugin brings along, the wire protocol with pyzmq and msgpack, or says why this Python cannot.

Importing this module does nothing; ``load`` does it all.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import platform
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import Mendable

VENDOR = Path(__file__).resolve().parents[1] / "vendor"
PROTOCOL = f"{__package__.rpartition('.')[0]}.protocol"
"""The package that the installer puts beside this one."""
FOREIGN = ("zmq", "msgpack")
OLDEST = {"zmq": (24, 0), "msgpack": (1, 0)}
"""Releases of copies that are there already and may be used in place of the bundled ones."""
STABLE_ABI = (3, 12)
"""The first Python that pyzmq's file for every later Python serves."""


class BundleError(Mendable):
    """The bundled libraries cannot be used."""


def system_name() -> str:
    """The name of this system's folder in ``vendor``."""
    return {"win32": "windows", "darwin": "macos"}.get(sys.platform, "linux")


def load(vendor: Path | None = None) -> Any:
    """Import the package ``protocol``.

    Args:
        vendor: folder with a folder per system; the plugin's own by default.

    Raises:
        BundleError: it cannot be imported here.
    """
    folder = (VENDOR if vendor is None else vendor) / system_name()
    name = PROTOCOL
    if f"{name}.client" in sys.modules:
        return sys.modules[name]
    importlib.invalidate_caches()
    try:
        # A copy that is there already wins: two copies of a compiled library in one process may not get on.
        with _importable(folder, first=False), _forgotten_on_failure():
            return _import(name)
    except BundleError:
        raise
    except Exception as e:
        if _comes_from(e, name):
            raise BundleError(
                _tr("a part of the plugin is missing (its folder protocol)"),
                _tr("install the plugin again with colorize-install"),
            ) from e
    try:
        with _importable(folder, first=True), _forgotten_on_failure():
            return _import(name)
    except BundleError:
        raise
    except Exception as e:
        raise _explain(e, folder) from e


def _import(name: str) -> Any:
    for foreign in FOREIGN:
        before = foreign in sys.modules
        module = importlib.import_module(foreign)
        found = _release(module)
        if found >= OLDEST[foreign]:
            continue
        if before:
            raise BundleError(
                _tr("another plugin has loaded {library} {version}, which is too old").format(
                    library=foreign, version=".".join(map(str, found))
                ),
                _tr("update that plugin or switch it off, then start Krita again"),
            )
        raise ImportError(f"{foreign} {'.'.join(map(str, found))} is too old")
    module = importlib.import_module(name)
    # The package itself does not need the libraries; what does must find them now.
    importlib.import_module(f"{name}.client")
    return module


def _release(module: Any) -> tuple[int, ...]:
    """The first two numbers of a library's version; none where it does not tell."""
    version = getattr(module, "__version__", None) or ".".join(map(str, getattr(module, "version", ())))
    return tuple(int(n) for n in re.findall(r"\d+", str(version))[:2])


@contextlib.contextmanager
def _importable(folder: Path, first: bool) -> Iterator[None]:
    """Have a folder on ``sys.path`` for a while: all plugins share that list."""
    entry = str(folder)
    sys.path.insert(0 if first else len(sys.path), entry)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(entry)


@contextlib.contextmanager
def _forgotten_on_failure() -> Iterator[None]:
    """Take half imported modules away where an import fails, so that the next try begins anew."""
    before = set(sys.modules)
    try:
        yield
    except BaseException:
        ours = (*FOREIGN, PROTOCOL)
        for name in set(sys.modules) - before:
            if name in ours or name.startswith(tuple(f"{o}." for o in ours)):
                del sys.modules[name]
        raise


def _comes_from(error: Exception, name: str) -> bool:
    missing = getattr(error, "name", None) or ""
    return isinstance(error, ModuleNotFoundError) and (missing == name or missing.startswith(f"{name}."))


def _explain(error: Exception, folder: Path) -> BundleError:
    again = _tr("run colorize-install again for this Krita")
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    compiled = sorted(p.name for p in (folder / "zmq" / "backend" / "cython").glob("_zmq.*") if _is_compiled(p))
    if not compiled:
        there = ", ".join(sorted(p.name for p in folder.parent.glob("*") if p.is_dir()))
        have = _tr("it has them for {systems}").format(systems=there) if there else _tr("it has none at all")
        return BundleError(
            _tr("the plugin lacks the libraries pyzmq and msgpack for {system}: {have}").format(
                system=system_name(), have=have
            ),
            again,
        )
    if not any(_serves(name) for name in compiled):
        return BundleError(
            _tr("the plugin has no pyzmq for Python {python} on {system} ({machine}), only for Python {others}").format(
                python=python,
                system=system_name(),
                machine=platform.machine(),
                others=", ".join(_pythons(compiled)),
            ),
            again,
        )
    reason = " ".join(str(error).split()) or type(error).__name__
    return BundleError(
        _tr("the plugin's libraries cannot be loaded by Python {python}: {reason}").format(
            python=python, reason=reason
        ),
        again,
    )


def _is_compiled(path: Path) -> bool:
    return path.suffix in (".so", ".pyd")


def _serves(name: str) -> bool:
    """Whether a compiled file is meant for this Python."""
    if "cp" not in name and "cpython" not in name:
        return sys.version_info[:2] >= STABLE_ABI
    return any(name == f"_zmq{suffix}" for suffix in importlib.machinery.EXTENSION_SUFFIXES)


def _pythons(names: list[str]) -> list[str]:
    """The Pythons that compiled files are for, in words."""
    found = set()
    for name in names:
        tag = re.search(r"cp(?:ython-)?3(\d+)", name)
        found.add(f"3.{int(tag.group(1)):02d}" if tag else f"3.{STABLE_ABI[1]:02d}+")
    return [f.replace("3.0", "3.") for f in sorted(found)]


def _tr(text: str) -> str:
    # Imported here: this module must do nothing, and need nothing, when it is imported.
    from ..i18n import tr

    return tr(text)
