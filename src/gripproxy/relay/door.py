"""Who may come in on one side of a relay: ZeroMQ asks about each connection before anything is sent on it (RFC 27)."""

import asyncio
from collections.abc import Callable

import zmq
import zmq.utils.z85

from gripproxy.bus.watched_socket import AnyContext, AnySocket, WatchedSocket

DOMAIN = b"gripproxy-relay"  # without one ZeroMQ does not ask about connections that have no CURVE
_ADDRESS = "inproc://zeromq.zap.01"


class Door:
    """Answers ZeroMQ's questions in a context.

    Args:
        keys: in Z85, of those who may come in; empty lets everybody in.
        on_refused: called with the address of who may not.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        context: AnyContext,
        keys: frozenset[bytes],
        on_refused: Callable[[str], None],
    ) -> None:
        self._keys = {zmq.utils.z85.decode(key) for key in keys}
        self._on_refused = on_refused
        self._is_shut = False
        self._socket: AnySocket = context.socket(zmq.REP)
        self._socket.bind(_ADDRESS)
        self._watch = WatchedSocket(loop, self._socket, self._answer)

    def shut(self) -> None:
        """Answer no more: whoever comes now waits, has not sent anything, and tries again when the relay has ended."""
        self._is_shut = True

    def close(self) -> None:
        self._watch.close()

    def _answer(self) -> bool:
        if self._is_shut:
            self._socket.getsockopt(zmq.EVENTS)  # or its descriptor stays readable
            return False
        try:
            version, request_id, _, address, _, mechanism, *credentials = self._socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return False
        is_known = not self._keys or (mechanism == b"CURVE" and credentials[0] in self._keys)
        status = (b"200", b"OK") if is_known else (b"400", b"No access")
        self._socket.send_multipart([version, request_id, *status, b"", b""])
        if not is_known:
            self._on_refused(address.decode("ascii", "replace"))
        return True
