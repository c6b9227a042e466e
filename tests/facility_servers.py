"""For tests of meters behind a network: free ports, simulators as processes, and a proxy that can be made to fail."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

Fault = Literal["none", "silent", "slow", "garbage", "closed"]
GARBAGE = bytes((7 * i + 131) % 256 for i in range(96))


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port that nobody listens on."""
    with socket.socket(socket.AF_INET, kind) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def until(true: Callable[[], object], seconds: float = 60.0) -> bool:
    """Whether ``true()`` comes to hold within ``seconds``."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.02)
    return False


@contextlib.contextmanager
def running(argv: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends with the block."""
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()


class _Proxy:
    """Stands before a server, does to its answers what ``fault`` says, and keeps the requests in ``asked``."""

    def __init__(self, upstream: int, slow_s: float) -> None:
        self.upstream, self.slow_s = ("127.0.0.1", upstream), slow_s
        self.fault: Fault = "none"
        self.asked: list[bytes] = []
        self._kicks = 0
        self._stop = threading.Event()

    def _answer(self, data: bytes, send: Callable[[bytes], object]) -> None:
        if self.fault == "slow":
            self._stop.wait(self.slow_s)
        if self.fault != "silent":
            with contextlib.suppress(OSError):
                send(GARBAGE if self.fault == "garbage" else data)


class UdpProxy(_Proxy):
    """For SNMP."""

    def __enter__(self) -> UdpProxy:
        self._in = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._in.bind(("127.0.0.1", 0))
        self._in.settimeout(0.05)
        self.port = int(self._in.getsockname()[1])
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._in.close()

    def _run(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            out.settimeout(1)
            while not self._stop.is_set():
                try:
                    request, client = self._in.recvfrom(65535)
                except OSError:
                    continue
                self.asked.append(request)
                with contextlib.suppress(OSError):
                    out.sendto(request, self.upstream)
                    self._answer(out.recv(65535), lambda data, to=client: self._in.sendto(data, to))


class TcpProxy(_Proxy):
    """For Modbus and HTTP."""

    def __enter__(self) -> TcpProxy:
        self._in = socket.create_server(("127.0.0.1", 0))
        self._in.settimeout(0.05)
        self.port = int(self._in.getsockname()[1])
        self._threads = [threading.Thread(target=self._run)]
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._in.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                client, _ = self._in.accept()
            except OSError:
                continue
            if self.fault == "closed":
                client.close()
                continue
            server = socket.create_connection(self.upstream)
            for ways in ((client, server, True), (server, client, False)):
                thread = threading.Thread(target=self._pump, args=ways)
                self._threads.append(thread)
                thread.start()

    def kick(self) -> None:
        """Close the connections that are open, as a gateway does with those that are idle."""
        self._kicks += 1
        time.sleep(0.2)

    def _pump(self, source: socket.socket, sink: socket.socket, request: bool) -> None:
        source.settimeout(0.05)
        born = self._kicks
        while not self._stop.is_set() and born == self._kicks:
            try:
                data = source.recv(65535)
            except TimeoutError:
                if self.fault == "closed":
                    break
                continue
            except OSError:
                break
            if not data or self.fault == "closed":
                break
            if request:
                self.asked.append(data)
                with contextlib.suppress(OSError):
                    sink.sendall(data)
            else:
                self._answer(data, sink.sendall)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
