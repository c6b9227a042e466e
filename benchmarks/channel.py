"""Messages between the process that leads a run and the ranks that measure: JSON lines over a socket.

A rank connects, says who it is and then answers; when either side goes away the other sees it at once. On one machine
the socket is a file in a directory that only its owner may enter. Ranks on other machines find the leader's address
and a secret in a file that only its owner may read; whoever connects without the secret is hung up on.
"""

from __future__ import annotations

import hmac
import json
import os
import resource
import secrets
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Message = dict[str, Any]

VARIABLE = "PERWATT_CHANNEL"
MOST = 65536  # files and connections; some programs look at each number up to the limit


class Line:
    """One end of a connection. Sending is safe from several threads; receiving is for one. ``secret`` is what the rank
    must say with its first words; empty where the file system lets nobody else in."""

    def __init__(self, connection: socket.socket, secret: str = "") -> None:
        self.connection, self.secret = connection, secret
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


def allow_connections() -> None:
    """Let this process have as many files and connections as it may without asking anybody: the limit that a login
    shell sets is often 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def knows(message: Message, secret: str) -> bool:
    """Whether these first words have the secret."""
    return hmac.compare_digest(str(message.get("secret", "")), secret)


def listen(path: Path) -> socket.socket:
    """A listening socket at ``path``, whose directory must be private to the user."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(str(path))
    server.listen(128)
    return server


def listen_on_network(path: Path, towards: str) -> tuple[socket.socket, str]:
    """A listening socket at the address by which this machine reaches the host ``towards``, and its secret; both are
    written to the file ``path``. Raises OSError for a host that is not known or cannot be reached."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:  # nothing is sent: it asks for the route
        probe.connect((towards, 9))
        address = probe.getsockname()[0]
    server = socket.create_server((address, 0), backlog=1024)
    secret = secrets.token_hex(16)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump({"address": server.getsockname(), "secret": secret}, file)
        file.flush()
        os.fsync(file.fileno())  # read on other machines at once
    return server, secret


def connect(path: str, timeout_s: float | None = None) -> Line:
    """A rank's end of the channel, whose socket is at ``path``, or whose address stands in that file.
    ``timeout_s``: for the other end to be reached, and for each message."""
    if stat.S_ISSOCK(os.stat(path).st_mode):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(path)
        return Line(connection)
    found = json.loads(Path(path).read_text())
    connection = socket.create_connection(tuple(found["address"]), timeout_s)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Line(connection, found["secret"])
