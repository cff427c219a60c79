"""Drive a ZeroMQ socket from the event loop.

ZeroMQ's file descriptor is edge-triggered: it becomes readable when the socket's state may have changed, and stays
silent until somebody has asked the socket and was told that there is nothing more. So each edge is followed by reads
until the socket would block, in bounded batches that let the loop turn in between, and every send on the same socket,
which may swallow an edge, is followed by `look` or `wake`.
"""

import asyncio
import errno
import os
from collections.abc import Callable
from typing import Any

import zmq

from gripproxy.errors import ConfigError

BATCH_MAX_COUNT = 200  # frames read in one turn of the loop: 1-3 ms of a hub's work
AnySocket = zmq.Socket[Any]
AnyContext = zmq.Context[AnySocket]


class WatchedSocket:
    """A ZeroMQ socket whose `read_batch` runs whenever there may be something to read.

    `read_batch` returns False only when the socket would block, or when it does not want to read on by itself:
    then somebody has to call `wake` later.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, zmq_socket: AnySocket, read_batch: Callable[[], bool]) -> None:
        self._loop = loop
        self._read_batch = read_batch
        self._is_scheduled = False
        self._is_open = True
        self.zmq_socket = zmq_socket
        self._fd = zmq_socket.fileno()
        loop.add_reader(self._fd, self._on_edge)
        self.wake()

    def wake(self) -> None:
        """Look at the socket in the loop's next turn. Cheap when that is already arranged."""
        if not self._is_scheduled and self._is_open:
            self._is_scheduled = True
            self._loop.call_soon(self._on_turn)

    def look(self) -> None:
        """Ask the socket now, and `wake` if there is something to read. Cheaper than `wake` if mostly there is not."""
        if int(self.zmq_socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            self.wake()

    def close(self, linger_ms: int = 0) -> None:
        self._is_open = False
        self._loop.remove_reader(self._fd)
        self.zmq_socket.close(linger_ms)

    def _on_turn(self) -> None:
        self._is_scheduled = False
        self._on_edge()

    def _on_edge(self) -> None:
        if not self._is_open:
            return
        is_more = True  # also when read_batch raises: the rest must not wait for another edge
        try:
            is_more = self._read_batch()
        finally:
            if is_more:
                self.wake()


def bind(
    zmq_socket: AnySocket, key: str, spec: str, file_mode: int | None = None, listener_fd: int | None = None
) -> None:
    """Bind to `spec`; set the mode of an ipc socket's file. `listener_fd` listens there already: it is taken over.

    Raises:
        ConfigError: it cannot be bound; names the setting or option `key`, the spec and the system's reason.
    """
    try:
        if listener_fd is not None:
            zmq_socket.setsockopt(zmq.USE_FD, listener_fd)
        zmq_socket.bind(spec)
        if file_mode is not None and spec.startswith("ipc://"):
            os.chmod(spec.removeprefix("ipc://"), file_mode)
    except (zmq.ZMQError, OSError) as error:
        advice = ""
        if error.errno == errno.EADDRINUSE and not key.startswith("--"):
            advice = "; change it, or run with --id N beside another instance"
        raise ConfigError(f"{key} {spec}: {_reason(error)}{advice}") from error


def connect(zmq_socket: AnySocket, key: str, spec: str) -> None:
    """Connect to `spec`, whether or not somebody is there yet.

    Raises:
        ConfigError: the spec is not one that ZeroMQ can connect to.
    """
    try:
        zmq_socket.connect(spec)
    except zmq.ZMQError as error:
        raise ConfigError(f"{key} {spec}: {_reason(error)}") from error


def _reason(error: OSError | zmq.ZMQError) -> str:
    return zmq.strerror(error.errno or 0).lower()  # the error's own text may repeat the address
