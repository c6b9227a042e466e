"""A rank's end of the channel: orders in, beats out, and the end of the leader noticed at once.

It is served by a thread of its own, so that a rank is heard while its main thread is inside a long launch: silence then
means that the process itself has stopped, and beats without progress that it waits for something.
"""

from __future__ import annotations

import faulthandler
import os
import queue
import select
import threading
import traceback

from perwatt.benchmarks.channel import Line, Message

BEAT_S = 0.5


class Link(threading.Thread):
    """The rank's end of the channel, served by a thread: orders in, beats out, and the end of the leader noticed."""

    def __init__(self, line: Line) -> None:
        super().__init__(name="channel", daemon=True)
        self.line = line
        self.orders: queue.Queue[Message] = queue.Queue()
        self.stop = threading.Event()
        self.entered = 0  # launches begun: the rank with the fewest is the one that the others wait for

    def run(self) -> None:
        """Serve the channel; a rank whose channel broke is of no use to anyone."""
        try:
            self._serve()
        except BaseException:
            traceback.print_exc()
            os._exit(1)

    def _serve(self) -> None:
        """Listen, and beat twice a second."""
        while True:
            if select.select([self.line], [], [], BEAT_S)[0]:
                messages = self.line.receive()
                if messages is None:
                    os._exit(1)  # the leader is gone, and with it anyone who wants an answer
                for message in messages:
                    if message["do"] == "stop":
                        self.stop.set()
                    elif message["do"] == "trace":
                        faulthandler.dump_traceback()
                    else:
                        self.orders.put(message)
            self.send({"event": "beat", "entered": self.entered})

    def send(self, message: Message) -> None:
        """Tell the leader."""
        try:
            self.line.send(message)
        except OSError:
            os._exit(1)
