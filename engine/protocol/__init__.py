"""The wire protocol, the connection file and the client: std lib, pyzmq and msgpack only, Python 3.8 syntax.

The Krita plugin bundles this folder as it is, so imports in here are relative. The client, which alone needs pyzmq, is
imported when it is first asked for: settings and limits are wanted where no socket is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .connection import (
    Connection,
    FolderError,
    connection_file,
    pid_alive,
    read_connection,
    remove_connection,
    runtime_folder,
    write_connection,
)
from .messages import PROTOCOL, Buffer, Message, ProtocolError, decode, digest, encode

if TYPE_CHECKING:
    from .client import Client, Event

__all__ = [
    "PROTOCOL",
    "Buffer",
    "Client",
    "Connection",
    "Event",
    "FolderError",
    "Message",
    "ProtocolError",
    "connection_file",
    "decode",
    "digest",
    "encode",
    "pid_alive",
    "read_connection",
    "remove_connection",
    "runtime_folder",
    "write_connection",
]


def __getattr__(name: str) -> Any:
    if name not in ("Client", "Event"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import client

    return getattr(client, name)
