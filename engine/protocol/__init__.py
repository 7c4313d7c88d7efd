"""The wire protocol, the connection file and the client: std lib, pyzmq and msgpack only, Python 3.8 syntax.

The Krita plugin bundles this folder as it is, so imports in here are relative.
"""

from .client import Client, Event
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
