"""Messages between the process that leads a run and the ranks that measure: JSON lines over a local socket.

A rank connects, says who it is and then answers; when either side goes away the other sees it at once. Nothing listens
beyond this machine: the socket is a file in a directory that only its owner may enter.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Message = dict[str, Any]

VARIABLE = "PERWATT_CHANNEL"


class Line:
    """One end of a connection. Sending is safe from several threads; receiving is for one."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._buffer = b""
        self._sending = threading.Lock()

    def fileno(self) -> int:
        """For selectors."""
        return self.connection.fileno()

    def send(self, message: Message) -> None:
        """Send one message. Raises OSError when the other end is gone."""
        data = json.dumps(message, separators=(",", ":")).encode() + b"\n"
        with self._sending:
            self.connection.sendall(data)

    def receive(self) -> list[Message] | None:
        """The messages that have arrived whole, after waiting for something to arrive; None at the end."""
        try:
            data = self.connection.recv(1 << 16)
        except (ConnectionResetError, BrokenPipeError):
            return None
        if not data:
            return None
        *whole, self._buffer = (self._buffer + data).split(b"\n")
        return [json.loads(line) for line in whole]

    def messages(self) -> Iterator[Message]:
        """Every message until the other end goes away."""
        while (arrived := self.receive()) is not None:
            yield from arrived

    def close(self) -> None:
        """Hang up."""
        self.connection.close()


def listen(path: Path) -> socket.socket:
    """A listening socket at ``path``, whose directory must be private to the user."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(str(path))
    server.listen(128)
    return server


def connect(path: str) -> Line:
    """A rank's end of the channel."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(path)
    return Line(connection)
