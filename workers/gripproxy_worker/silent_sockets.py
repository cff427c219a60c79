"""WebSocket clients that are silent for too long: the kernel is asked, so nothing is kept or noted for it."""

import socket
import struct
from collections.abc import Callable, Sequence

from gripproxy.engine.timer_wheel import TICK_S
from gripproxy_worker.client_sockets import Record
from gripproxy_worker.ws_input import WsKind

SILENT_MAX_S = 1800.0  # without a byte to or from a client, same as Pushpin
ROUND_S = 300.0  # in which all are looked at: half a millisecond in each tick for half a million clients
_ROUND_STEPS = int(ROUND_S / TICK_S)
_TCP_INFO = struct.Struct("=44xI4xI")  # of Linux's tcp_info: milliseconds since data was last sent, and received


class SilentSockets:
    """Looks for them, a few in each step.

    Args:
        records: of all sockets, by fd.
        end: closes one.
    """

    def __init__(self, records: Sequence[Record | None], end: Callable[[int], None]) -> None:
        self._records = records
        self._end = end
        self._next_fd = 0

    def step(self) -> None:
        """Look at the next ones; called once in a tick."""
        records = self._records
        first = self._next_fd if self._next_fd < len(records) else 0
        self._next_fd = first + -(-len(records) // _ROUND_STEPS)
        for fd, record in enumerate(records[first : self._next_fd], first):
            if type(record) is WsKind and silence_s(fd) > SILENT_MAX_S:
                self._end(fd)


def silence_s(fd: int) -> float:
    """Give for how long no data has been sent to a client nor received from it.

    On a unix socket it is 0: that client is on this host, and the kernel hears of its end.
    """
    client = socket.socket(socket.AF_INET, socket.SOCK_STREAM, fileno=fd)
    try:
        info = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        sent_ms, received_ms = _TCP_INFO.unpack(info)
        return float(min(sent_ms, received_ms)) / 1000
    except OSError:
        return 0.0
    finally:
        client.detach()
